"""A teacher's soft labels: what to learn from an average of models, kept by checksum of the text.

G. Hinton et al., "Distilling the Knowledge in a Neural Network", 2015. A file of soft
labels holds no text, so that students can be trained again by whoever has the texts,
without the teachers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stance.annotations import Source
from stance.annotations.tabular import read_statements
from stance.config import DistillationConfig, SourceConfig
from stance.dataset import Gold, Shares
from stance.errors import DataError, Fault, UsageError
from stance.records import LABELS, Statement
from stance.tables import whole_file

KEY = "sha256"
TEACHERS = b"teachers"
_ROUNDING = 0.01
"""By how much shares in half precision may miss their sum."""


@dataclass(frozen=True)
class Lessons:
    """What a model learns from: statements, and the share of each label in each of them."""

    statements: list[Statement]
    targets: Shares


def statement_key(statement: Statement) -> bytes:
    """Checksum (32 bytes) of a statement's text and context, runs of white space made one space."""
    words = _words(statement.text) + "\n" + _words(statement.context)
    return hashlib.sha256(words.encode("utf-8", "replace")).digest()


def write_soft_labels(
    path: Path, statements: Sequence[Statement], shares: Shares, *, teachers: Sequence[str]
) -> None:
    """Write soft labels as Parquet: checksum and one half-precision share a label.

    Args:
        path: the file, which appears only when it is whole.
        statements: distinct statements.
        shares: shape (statements, labels), rows summing to 1.
        teachers: names of the models that gave them, kept in the file's metadata.
    """
    columns: dict[str, pa.Array] = {
        KEY: pa.array([statement_key(s) for s in statements], type=pa.binary(32)),
        **{
            label.value: pa.array(shares[:, i].astype(np.float16), type=pa.float16())
            for i, label in enumerate(LABELS)
        },
    }
    table = pa.table(columns).replace_schema_metadata({TEACHERS: ", ".join(teachers).encode()})
    with whole_file(path) as file:
        pq.write_table(table, file, compression="zstd")


def read_soft_labels(path: str | Path) -> dict[bytes, NDArray[np.float32]]:
    """Checksum → shares of the labels, shape (labels,).

    Raises:
        UsageError: there is no such file.
        DataError: it is no file of soft labels.
    """
    try:
        table = pq.read_table(path)
        keys = table.column(KEY).to_pylist()
        columns = [table.column(label.value).to_numpy().astype(np.float32) for label in LABELS]
    except OSError as error:
        raise UsageError(f"cannot read the soft labels {path}: {error}") from error
    except (pa.ArrowInvalid, KeyError, ValueError) as error:
        raise DataError(f"{path}: no file of soft labels: {error}") from error
    shares = np.stack(columns, axis=1)
    wrong = np.flatnonzero(~(np.abs(shares.sum(axis=1) - 1) < _ROUNDING))
    if len(wrong):
        raise DataError(f"{path}: row {wrong[0]}: the shares of the labels do not sum to 1")
    return dict(zip(keys, shares, strict=True))


def lessons(gold: Gold, config: DistillationConfig | None, faults: list[Fault], *, seed: int = 0) -> Lessons:
    """What `gold` teaches, mixed with a teacher's soft labels and with unlabelled statements that have some.

    Args:
        gold: labelled statements; those without a soft label keep their own alone.
        config: of the distillation; without one the gold labels teach alone.
        faults: rows that could not be used are appended.
        seed: of the samples of unlabelled statements.

    Raises:
        UsageError: a file is not there.
        DataError: no statement at all has a soft label.
    """
    statements, targets = [item.statement for item in gold.train], gold.targets()
    if config is None:
        return Lessons(statements, targets)
    soft = read_soft_labels(config.soft_labels)
    mixed = [_mix(s, own, soft, config.weight) for s, own in zip(statements, targets, strict=True)]
    learnt = {statement_key(statement) for statement in statements}
    measured = {_words(part) for item in gold.validation for part in _parts(item.statement)}
    more = {
        key: s
        for s in _statements(config.unlabelled, faults, seed=seed)
        if (key := statement_key(s)) in soft and key not in learnt
        # a statement that stands beside a held out one would tell of it
        if measured.isdisjoint(_words(part) for part in _parts(s))
    }
    if not more and not any(statement_key(s) in soft for s in statements):
        raise DataError(f"{config.soft_labels} has a soft label for none of the statements")
    return Lessons([*statements, *more.values()], np.stack([*mixed, *(soft[key] for key in more)]))


def _parts(statement: Statement) -> list[str]:
    return [part for part in (statement.text, statement.context) if part]


def _words(text: str) -> str:
    return " ".join(text.split())


def _mix(
    statement: Statement, own: NDArray[np.float32], soft: Mapping[bytes, NDArray[np.float32]], weight: float
) -> NDArray[np.float32]:
    taught = soft.get(statement_key(statement))
    return own if taught is None else (weight * taught + (1 - weight) * own).astype(np.float32)


def _statements(sources: Sequence[SourceConfig], faults: list[Fault], *, seed: int) -> list[Statement]:
    found: list[Statement] = []
    for source in sources:
        items = list(read_statements(Source.from_config(source)))
        faults.extend(item for item in items if isinstance(item, Fault))
        statements = [item for item in items if isinstance(item, Statement)]
        if source.sample is not None and source.sample < len(statements):
            chosen = np.random.default_rng(seed).choice(len(statements), source.sample, replace=False)
            statements = [statements[i] for i in sorted(chosen)]
        found.extend(statements)
    return found
