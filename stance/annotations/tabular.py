"""Annotations in a table: CSV, TSV, JSONL, Parquet, one row an item or an annotation.

Columns of an item: ``text`` and ``stance``, optionally those of `Statement` and
``annotator``, ``certainty``, ``time``, ``note``. Where a second label stands in the
same row (``second``, ``second_certainty``), it becomes an annotation of its own.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from stance.errors import Fault, UsageError
from stance.records import Annotation, Stance, Statement
from stance.tables import Row, columns_of, format_of, read_rows

if TYPE_CHECKING:
    from stance.annotations import Source

STATEMENT_COLUMNS = ("id", "actor", "context", "article_id", "date", "source", "genre", "group")
"""Fields of `Statement` that a column may hold, beside its text."""
COLUMNS = ("text", "stance", *STATEMENT_COLUMNS, "annotator", "certainty", "time", "note")
_SECOND = {"stance": "second", "certainty": "second_certainty"}


def read_tabular(source: Source) -> Iterator[Annotation | Fault]:
    """Yield the annotations of a table, and a fault for each row that holds none."""
    path, kind = source.path, format_of(source.path, source.format)
    names = {name: source.columns.get(name, name) for name in (*COLUMNS, *_SECOND.values())}
    _refuse_unknown(source, names)
    _refuse_missing(source, names, ("text", "stance", *source.columns))
    for row in read_rows(path, kind):
        if isinstance(row, Fault):
            yield row
        else:
            yield from _annotations(row, source, names)


def read_statements(source: Source) -> Iterator[Statement | Fault]:
    """Yield the statements of a table, which needs no labels, and a fault for each row without text.

    Raises:
        UsageError: the file or a mapped column is not there.
    """
    path, kind = source.path, format_of(source.path, source.format)
    names = {name: source.columns.get(name, name) for name in ("text", *STATEMENT_COLUMNS)}
    _refuse_unknown(source, (*COLUMNS, *_SECOND.values()))
    _refuse_missing(source, names, ("text", *(field for field in source.columns if field in names)))
    for row in read_rows(path, kind):
        if isinstance(row, Fault):
            yield row
            continue
        cells = {name: row.cells.get(column) for name, column in names.items()}
        fields: dict[str, Any] = {n: "" if cell is None else str(cell).strip() for n, cell in cells.items()}
        if fields["text"]:
            yield Statement(**fields)
        else:
            yield Fault(str(path), row.line, names["text"], "empty; expected the words of a statement")


def _refuse_unknown(source: Source, fields: Iterable[str]) -> None:
    unknown = sorted(set(source.columns) - set(fields))
    if unknown:
        raise UsageError(f"{source.path}: columns: no field {unknown[0]!r}; fields: {', '.join(fields)}")


def _refuse_missing(source: Source, names: Mapping[str, str], needed: Iterable[str]) -> None:
    present = columns_of(source.path, format_of(source.path, source.format))
    for name in dict.fromkeys(needed):
        if names[name] not in present:
            raise UsageError(missing_column(str(source.path), names[name], present, field=name))


def missing_column(path: str, column: str, present: list[str], *, field: str) -> str:
    """What to say where a table lacks the column that holds `field`."""
    close = difflib.get_close_matches(column, present, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else f"; it has: {', '.join(present)}"
    if column == "text" and {"sha256", "labels"} <= set(present):
        hint = "; it holds labels by checksum: join them to their texts with 'stance annotations resolve'"
    return f"{path}: no column {column!r} for the {field}{hint}"


def _annotations(row: Row, source: Source, names: Mapping[str, str]) -> Iterator[Annotation | Fault]:
    file = str(source.path)

    def cell(name: str) -> str:
        value = row.cells.get(names[name])
        return "" if value is None else str(value).strip()

    if not cell("text"):
        yield Fault(file, row.line, names["text"], "empty; expected the words of a statement")
        return
    fields: dict[str, Any] = {name: cell(name) for name in ("text", *STATEMENT_COLUMNS)}
    statement = Statement(**fields)
    stance = parse_label(row.cells.get(names["stance"]), source.labels)
    certainty = _certainty(cell("certainty"))
    if isinstance(stance, str) and not isinstance(stance, Stance):
        yield Fault(file, row.line, names["stance"], stance)
        return
    if isinstance(certainty, str):
        yield Fault(file, row.line, names["certainty"], certainty)
        return
    yield Annotation(
        statement,
        stance,
        annotator=cell("annotator"),
        certainty=certainty,
        time=cell("time"),
        note=cell("note"),
        file=file,
        line=row.line,
    )
    if cell(_SECOND["stance"]):
        second = parse_label(row.cells[names["second"]], source.labels)
        second_certainty = _certainty(cell("second_certainty"))
        if not isinstance(second, Stance):
            yield Fault(file, row.line, names["second"], second)
        elif isinstance(second_certainty, str):
            yield Fault(file, row.line, names["second_certainty"], second_certainty)
        else:
            yield Annotation(
                statement,
                second,
                annotator="second",
                certainty=second_certainty,
                file=file,
                line=row.line,
            )


def parse_label(value: Any, labels: Mapping[str, Stance]) -> Stance | str:
    """A label of the guideline from a cell, or what is wrong with it."""
    text = "" if value is None else str(value).strip()
    if text in labels:
        return labels[text]
    folded = text.casefold()
    if folded in {label.value for label in Stance}:
        return Stance(folded)
    known = ", ".join([*labels, *(label.value for label in Stance)])
    if not text:
        return f"empty; expected one of {known}"
    close = difflib.get_close_matches(folded, [*labels, *(label.value for label in Stance)], n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "; map it under `labels` in the config"
    return f"{text!r} is no label; expected one of {known}{hint}"


def _certainty(text: str) -> int | str | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0
    return int(value) if value in (1, 2, 3) else f"{text!r} is no certainty; expected 1, 2 or 3"


def annotation_cells(annotation: Annotation) -> dict[str, Any]:
    """The cells of one row under `COLUMNS`; reading them gives the annotation again."""
    statement = {name: getattr(annotation.statement, name) for name in ("text", *STATEMENT_COLUMNS)}
    return {
        **statement,
        "stance": annotation.stance.value,
        "annotator": annotation.annotator,
        "certainty": annotation.certainty,
        "time": annotation.time,
        "note": annotation.note,
    }
