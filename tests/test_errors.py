"""Errors: one tree, exit codes, faults that name their place, extras that say how to install them."""

from __future__ import annotations

import pytest

import stance.errors
from stance.errors import (
    BundleError,
    ConfigError,
    DataError,
    ExportError,
    Fault,
    StanceError,
    UsageError,
    require,
)


def test_the_tree_in_the_docstring_is_the_tree_of_the_code() -> None:
    drawn = stance.errors.__doc__ or ""
    lines = [line.split() for line in drawn.splitlines() if "──" in line]
    exit_codes = {words[1]: int(words[-1]) for words in lines}
    assert exit_codes == {child.__name__: child.exit_code for child in StanceError.__subclasses__()}


def test_there_are_at_most_five_children() -> None:
    assert set(StanceError.__subclasses__()) == {
        UsageError,
        ConfigError,
        DataError,
        BundleError,
        ExportError,
    }


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault("a.csv", 3, "stance", "empty"), "a.csv:3: stance: empty"),
        (Fault("a.csv", 3, None, "not JSON"), "a.csv:3: not JSON"),
        (Fault("a.csv", None, "stance", "empty"), "a.csv: stance: empty"),
        (Fault("a.csv", None, None, "empty"), "a.csv: empty"),
    ],
)
def test_fault_reads_as_place_field_problem(fault: Fault, text: str) -> None:
    assert str(fault) == text


def test_require_gives_the_module() -> None:
    assert require("json", extra="train").dumps([1]) == "[1]"


def test_require_of_a_missing_package_says_what_to_type() -> None:
    with pytest.raises(
        UsageError, match=r"package 'no_such_package'; .* pip install 'stance\[train\]'"
    ) as caught:
        require("no_such_package.deep", extra="train")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)
