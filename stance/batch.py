"""Table in → table out: every input column and row kept in order, predictions added.

Rows stream through in chunks, so memory does not grow with the input. The output
appears under its name only when whole; rows that cannot be used go to
``OUT.errors.jsonl``.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from stance.annotations.tabular import missing_column
from stance.classifier import StanceClassifier
from stance.errors import Fault, UsageError
from stance.records import LABELS, Prediction, Statement
from stance.tables import (
    Row,
    Writer,
    columns_of,
    count_rows,
    format_of,
    open_writer,
    read_rows,
    sniff_format,
    whole_file,
)

STDIO = "-"
ADDED = ("stance", *(f"p_{label}" for label in LABELS), "abstained", "truncated", "model")
"""Columns that prediction adds, in this order, after the input's."""
FIELDS = ("text", "context", "actor", "date", "id")
"""Fields of a statement that a column may hold; a column of the same name is used when present."""
_CHUNK = 1024
_MAX_ACTORS = 10_000
OTHER_ACTORS = "(other actors)"


@dataclass
class Summary:
    """What a run did: counts of rows, and of stances by actor."""

    predicted: int = 0
    abstained: int = 0
    truncated: int = 0
    faults: int = 0
    first_faults: list[Fault] = field(default_factory=list)
    by_actor: dict[str, Counter[str]] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    errors_path: Path | None = None

    def count(self, prediction: Prediction) -> None:
        """Count one prediction."""
        self.predicted += 1
        self.abstained += prediction.abstained
        self.truncated += prediction.truncated
        actor = prediction.statement.actor
        if actor not in self.by_actor and len(self.by_actor) >= _MAX_ACTORS:
            actor = OTHER_ACTORS
        self.by_actor.setdefault(actor, Counter())[prediction.stance.value] += 1


@dataclass(frozen=True)
class _Input:
    path: Path
    format: str
    name: str
    columns: list[str]


def predict_tables(
    inputs: Sequence[str | Path],
    output: str | Path,
    *,
    classifier: StanceClassifier,
    columns: Mapping[str, str] | None = None,
    input_format: str = "auto",
    output_format: str = "auto",
    on_start: Callable[[int], None] = lambda total: None,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Summary:
    """Classify the statements of tables into one table.

    Args:
        inputs: CSV, TSV, JSONL, Parquet or text files, or ``-`` for standard input.
        output: a CSV, TSV, JSONL or Parquet file, or ``-`` for standard output.
        classifier: what to predict with.
        columns: field (see `FIELDS`) → the column that holds it, where the names differ.
        input_format: where the ending does not say it.
        output_format: likewise.
        on_start: called once with the number of rows to come.
        on_rows: called with the number of rows read since the last call.

    Raises:
        UsageError: a file or column is not there, or the output is one of the inputs.
    """
    summary = Summary()
    with ExitStack() as stack:
        tables = [_open_input(path, input_format, stack) for path in inputs]
        _refuse_overwriting(tables, output)
        used = [_used_columns(table, columns or {}) for table in tables]
        on_start(sum(count_rows(table.path, table.format) for table in tables))
        present = list(dict.fromkeys(name for table in tables for name in table.columns))
        names = _kept_names(present)
        summary.renamed = {old: new for old, new in names.items() if old != new}
        kind = _output_format(output, output_format, tables[0].format)
        types = _types(tables, names) if kind == "parquet" else {}
        writer = stack.enter_context(open_writer(output, [*names.values(), *ADDED], given=kind, types=types))
        log = stack.enter_context(_error_log(output, summary))
        for table, fields in zip(tables, used, strict=True):
            _predict_table(table, fields, names, classifier, writer, log, summary, on_rows)
    return summary


def _open_input(path: str | Path, given: str, stack: ExitStack) -> _Input:
    if str(path) == STDIO:
        spool = stack.enter_context(tempfile.NamedTemporaryFile(prefix="stance-"))  # noqa: SIM115
        shutil.copyfileobj(sys.stdin.buffer, spool)
        spool.flush()
        kind = sniff_format(spool.name) if given == "auto" else given
        return _Input(Path(spool.name), kind, "stdin", columns_of(spool.name, kind))
    kind = format_of(path, given)
    return _Input(Path(path), kind, str(path), columns_of(path, kind))


def _refuse_overwriting(tables: Sequence[_Input], output: str | Path) -> None:
    for table in tables:
        if str(output) != STDIO and Path(output).exists() and table.path.samefile(output):
            raise UsageError(f"{output} is an input, too; give the output another name")


def _used_columns(table: _Input, given: Mapping[str, str]) -> dict[str, str]:
    """Field → column of a table: the given ones, and those that are called like the field."""
    used = {name: name for name in FIELDS if name in table.columns} | dict(given)
    for name, column in {"text": "text", **used}.items():
        if column not in table.columns:
            option = f" (--{name}-column)" if name not in given else ""
            raise UsageError(missing_column(table.name, column, table.columns, field=name) + option)
    return used


def _kept_names(present: Sequence[str]) -> dict[str, str]:
    """Input column → its name in the output; one that prediction adds gets the prefix ``input_``."""
    names: dict[str, str] = {}
    for name in present:
        kept = name
        while kept in ADDED or kept in names.values() or (kept != name and kept in present):
            kept = f"input_{kept}"
        names[name] = kept
    return names


def _output_format(output: str | Path, given: str, like: str) -> str:
    if given != "auto" or str(output) != STDIO:
        return format_of(output, given)
    return "csv" if like in ("text", "parquet") else like


def _types(tables: Sequence[_Input], names: Mapping[str, str]) -> dict[str, Any]:
    """Arrow types of the output's columns, for Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types: dict[str, Any] = {f"p_{label}": pa.float64() for label in LABELS}
    types |= {"abstained": pa.bool_(), "truncated": pa.bool_()}
    if all(table.format == "parquet" for table in tables):
        schemas = [pq.read_schema(table.path) for table in tables]
        for name, kept in names.items():
            found = {schema.field(name).type for schema in schemas if name in schema.names}
            if len(found) == 1:
                types[kept] = found.pop()
    return types


@contextmanager
def _error_log(output: str | Path, summary: Summary) -> Iterator[Callable[[Fault], None]]:
    """Where faults go: a file beside the output, there only if there are any; else the summary."""
    path = None if str(output) == STDIO else Path(f"{output}.errors.jsonl")
    with ExitStack() as stack:
        file = None

        def log(fault: Fault) -> None:
            nonlocal file
            summary.faults += 1
            if len(summary.first_faults) < 20:
                summary.first_faults.append(fault)
            if path is not None:
                file = file or stack.enter_context(whole_file(path))
                file.write((json.dumps(vars(fault), ensure_ascii=True) + "\n").encode())

        yield log
    if path is not None and file is None:
        path.unlink(missing_ok=True)
    summary.errors_path = path if file is not None else None


def _predict_table(
    table: _Input,
    fields: Mapping[str, str],
    names: Mapping[str, str],
    classifier: StanceClassifier,
    writer: Writer,
    log: Callable[[Fault], None],
    summary: Summary,
    on_rows: Callable[[int], None],
) -> None:
    rows = read_rows(table.path, table.format)
    while chunk := list(islice(rows, _CHUNK)):
        good: list[tuple[Row, Statement]] = []
        for row in chunk:
            item = row if isinstance(row, Fault) else _statement(row, fields, table.name)
            if isinstance(item, Fault):
                log(Fault(table.name, item.line, item.field, item.problem))
            elif isinstance(row, Row):
                good.append((row, item))
        written = []
        for (row, _), prediction in zip(good, classifier.predict([s for _, s in good]), strict=True):
            summary.count(prediction)
            kept = {names[name]: value for name, value in row.cells.items() if name in names}
            written.append({**kept, **prediction_cells(prediction)})
        writer.write(written)
        on_rows(len(chunk))


def _statement(row: Row, fields: Mapping[str, str], file: str) -> Statement | Fault:
    cells = {name: row.cells.get(column) for name, column in fields.items()}
    text = cells["text"]
    if not isinstance(text, str) or not text.strip():
        found = "empty" if text is None or isinstance(text, str) else repr(text)
        return Fault(file, row.line, fields["text"], f"{found}; expected the words of a statement")
    words = {name: "" if value is None else str(value) for name, value in cells.items()}
    return Statement(
        text=text,
        id=words.get("id", ""),
        actor=words.get("actor", ""),
        context=words.get("context", ""),
        date=words.get("date", ""),
    )


def prediction_cells(prediction: Prediction) -> dict[str, Any]:
    """The columns that prediction adds, for one row."""
    probabilities = {f"p_{label}": round(p, 6) for label, p in prediction.probabilities.items()}
    return {
        "stance": prediction.stance.value,
        **probabilities,
        "abstained": prediction.abstained,
        "truncated": prediction.truncated,
        "model": prediction.model,
    }
