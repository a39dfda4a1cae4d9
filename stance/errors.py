"""Everything that can go wrong on purpose.

::

    StanceError
    ├── UsageError    the call is wrong: a missing file, column, option or extra   exit code 2
    ├── ConfigError   a configuration has faults; all of them are listed           exit code 2
    ├── DataError     the data fail a check, with file, line and field             exit code 1
    ├── BundleError   a model directory is damaged, foreign or too new             exit code 1
    └── ExportError   an exported model does not answer as its checkpoint does     exit code 1

The library raises these and nothing else on bad input; only the command line
catches them, prints the message and ends with ``exit_code``.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType


class StanceError(Exception):
    """Base of all errors of this package."""

    exit_code = 1


class UsageError(StanceError):
    """The call is wrong: a file, column, option or extra that is not there."""

    exit_code = 2


class ConfigError(StanceError):
    """A configuration has faults; the message lists every one of them."""

    exit_code = 2


class DataError(StanceError):
    """The data fail a check."""


class BundleError(StanceError):
    """A model directory is damaged, foreign, or of a newer format."""


class ExportError(StanceError):
    """An exported model does not answer as its checkpoint does."""


@dataclass(frozen=True)
class Fault:
    """One row that could not be used: where it stands, and what would be right."""

    file: str
    line: int | None
    field: str | None
    problem: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.field}: {self.problem}" if self.field else f"{place}: {self.problem}"


def require(module: str, *, extra: str) -> ModuleType:
    """Import `module`, or say in one sentence how to install the extra that holds it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"this needs the package {error.name!r}; install it with: pip install 'stance[{extra}]'"
        ) from error
