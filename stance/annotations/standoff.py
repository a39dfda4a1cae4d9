"""Annotations that hold no text: offsets into articles which the user has.

One JSON object a line::

    {"id": "a01-01", "article": "a01.txt", "sha256": "…", "spans": [[120, 188], [201, 240]],
     "context": [60, 119], "kind": "direct", "actor": "Mira Holt", "actor_span": [189, 193],
     "cue": [194, 198], "labels": {"a": {"stance": "supportive", "certainty": 3}, …}}

Offsets count characters (code points) of the file decoded as UTF-8 with its line ends
as they are. Each article is verified against its checksum before anything is read
from it. Pieces of a discontinuous statement are joined by one space.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stance.bundle import sha256
from stance.errors import DataError, Fault, UsageError
from stance.records import Annotation, Span, Stance, Statement
from stance.tables import Row, read_rows

if TYPE_CHECKING:
    from stance.annotations import Source

CORPUS_VARIABLE = "STANCE_CORPUS"
Content = TypeVar("Content", bound=BaseModel)


class Label(BaseModel):
    """One annotator's label; `certainty` from 1 (a guess) to 3 (sure)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stance: Stance
    certainty: int | None = Field(default=None, ge=1, le=3)
    note: str = ""


class Unit(BaseModel):
    """One line of a standoff file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    article: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    spans: list[Span] = Field(min_length=1)
    context: Span | None = None
    kind: str = ""
    actor: str = ""
    actor_span: Span | None = None
    cue: Span | None = None
    labels: dict[str, Label] = Field(min_length=1)


def is_standoff(path: Path) -> bool:
    """Whether a JSONL file's first row is one of the standoff format."""
    first = next((row for row in read_rows(path, "jsonl") if isinstance(row, Row)), None)
    return first is not None and {"article", "sha256", "spans"} <= set(first.cells)


def read_standoff(source: Source) -> Iterator[Annotation | Fault]:
    """Yield the annotations of a standoff file, with their text from the corpus.

    Raises:
        UsageError: no corpus was given.
        DataError: articles are missing or differ; each is named.
    """
    file = str(source.path)
    units: list[tuple[int, Unit]] = []
    for item in read_units(source.path, Unit):
        if isinstance(item, Fault):
            yield item
        else:
            units.append(item)
    texts = _articles(source, [unit for _, unit in units])
    for line, unit in units:
        text = texts[unit.article]
        outside = next((s for s in _all_spans(unit) if not 0 <= s[0] < s[1] <= len(text)), None)
        if outside is not None:
            problem = f"{list(outside)} does not lie in {unit.article}, which has {len(text)} characters"
            yield Fault(file, line, "spans", problem)
            continue
        yield from labelled(_statement(unit, text), unit.labels, file=file, line=line)


def read_units(path: Path, kind: type[Content]) -> Iterator[tuple[int, Content] | Fault]:
    """Yield the line and content of each row of a JSONL file, and a fault for each that is not of `kind`."""
    for row in read_rows(path, "jsonl"):
        if isinstance(row, Fault):
            yield row
            continue
        try:
            yield row.line, kind.model_validate(row.cells)
        except ValidationError as error:
            first = error.errors()[0]
            yield Fault(str(path), row.line, ".".join(map(str, first["loc"])), first["msg"])


def labelled(
    statement: Statement, labels: Mapping[str, Label], *, file: str, line: int
) -> Iterator[Annotation]:
    """One annotation for each annotator's label of a statement."""
    for annotator, label in labels.items():
        yield Annotation(
            statement,
            label.stance,
            annotator=annotator,
            certainty=label.certainty,
            note=label.note,
            file=file,
            line=line,
        )


def corpus_directory(source: Source) -> Path:
    """The folder of the articles: the source's, else ``STANCE_CORPUS``."""
    directory = source.corpus or (
        Path(os.environ[CORPUS_VARIABLE]) if os.environ.get(CORPUS_VARIABLE) else None
    )
    if directory is None:
        raise UsageError(
            f"{source.path} holds offsets, not text: give the folder of its articles"
            f" (--corpus DIR, or the variable {CORPUS_VARIABLE})"
        )
    if not directory.is_dir():
        raise UsageError(f"corpus {directory}: no such folder")
    return directory


def _articles(source: Source, units: list[Unit]) -> dict[str, str]:
    directory = corpus_directory(source)
    texts: dict[str, str] = {}
    problems: list[str] = []
    for name, expected in sorted({(unit.article, unit.sha256) for unit in units}):
        path = directory / name
        if Path(name).name != name:
            problems.append(f"{name!r}: not a plain file name")
        elif not path.is_file():
            problems.append(f"{path}: missing")
        elif (found := sha256(path)) != expected:
            problems.append(
                f"{path}: sha256 is {found[:12]}…, annotated was {expected[:12]}…; offsets would be wrong"
            )
        else:
            try:
                texts[name] = path.read_bytes().decode("utf-8")
            except UnicodeDecodeError as error:
                problems.append(f"{path}: not UTF-8 text (byte {error.start})")
    if problems:
        raise DataError("\n".join(problems))
    return texts


def _all_spans(unit: Unit) -> list[Span]:
    return [*unit.spans, *(s for s in (unit.context, unit.actor_span, unit.cue) if s is not None)]


def _cut(text: str, span: Span | None) -> str:
    return "" if span is None else text[span[0] : span[1]]


def _statement(unit: Unit, text: str) -> Statement:
    return Statement(
        text=" ".join(_cut(text, span) for span in unit.spans),
        id=unit.id,
        actor=unit.actor,
        context=_cut(text, unit.context),
        article_id=Path(unit.article).stem,
        source=unit.article,
        spans=tuple(unit.spans),
        kind=unit.kind,
        cue=_cut(text, unit.cue),
        actor_as_written=_cut(text, unit.actor_span),
    )


def write_standoff(path: Path, units: list[Unit]) -> None:
    """Write a standoff file, one unit a line."""
    lines = (json.dumps(unit.model_dump(mode="json"), ensure_ascii=False) for unit in units)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
