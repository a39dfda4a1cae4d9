"""Labels of texts that are known by their checksum alone, because the texts belong to others.

One JSON object a line::

    {"id": "ru-0001", "sha256": "…", "source": "https://…", "genre": "news", "date": "2024-03-01",
     "actor": "Mira Holt", "labels": {"first": {"stance": "opposed", "certainty": 2}, …}}

``sha256`` is that of the text in UTF-8 with every run of white space made one space.
Whoever has the texts joins them to the labels with `resolve`.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from stance.annotations.standoff import Label, labelled, read_units
from stance.annotations.tabular import read_statements
from stance.errors import Fault
from stance.records import Annotation, Statement
from stance.tables import whole_file

if TYPE_CHECKING:
    from stance.annotations import Source

_CARRIED = ("id", "source", "genre", "date", "actor")
"""Fields of a statement that a unit carries."""


class Unit(BaseModel):
    """One line of a file of labels by checksum."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = ""
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    source: str = ""
    genre: str = ""
    date: str = ""
    actor: str = ""
    labels: dict[str, Label] = Field(min_length=1)


@dataclass(frozen=True)
class Resolution:
    """Labels joined to texts.

    ``missing`` counts, by source, the units whose text was in no file; ``faults`` are
    texts that differ from the annotated ones, and rows that could not be read.
    """

    annotations: list[Annotation]
    found: int
    missing: Counter[str]
    faults: list[Fault]


def text_sha256(text: str) -> str:
    """Checksum of a text whose runs of white space count as one space, as 64 hex digits."""
    return hashlib.sha256(" ".join(text.split()).encode("utf-8", "replace")).hexdigest()


def resolve(path: Path, texts: Sequence[Source]) -> Resolution:
    """Join the labels of a file to the texts of others.

    A text is taken by its checksum, whatever id it has. One that has a unit's id and
    another checksum is refused: it is not what was annotated.

    Raises:
        UsageError: a file or its column of texts is not there.
    """
    faults: list[Fault] = []
    by_sum: dict[str, list[Statement]] = {}
    by_id: dict[str, str] = {}
    for source in texts:
        for item in read_statements(source):
            if isinstance(item, Fault):
                faults.append(item)
                continue
            by_sum.setdefault(text_sha256(item.text), []).append(item)
            if item.id:
                by_id.setdefault(item.id, str(source.path))
    annotations: list[Annotation] = []
    missing: Counter[str] = Counter()
    found = 0
    for row in read_units(path, Unit):
        if isinstance(row, Fault):
            faults.append(row)
            continue
        line, unit = row
        statements = by_sum.get(unit.sha256, [])
        # one text may stand in two contexts: then its id says which is meant
        statement = next((s for s in statements if s.id == unit.id), statements[0] if statements else None)
        if statement is not None:
            found += 1
            known = {name: value for name in _CARRIED if (value := getattr(unit, name))}
            annotations.extend(labelled(replace(statement, **known), unit.labels, file=str(path), line=line))
        elif unit.id in by_id:
            problem = f"{by_id[unit.id]} has another text under the id {unit.id!r} than the annotated one"
            faults.append(Fault(str(path), line, "sha256", problem))
        else:
            missing[unit.source] += 1
    return Resolution(annotations, found, missing, faults)


def write_hashed(path: Path, items: Sequence[Sequence[Annotation]]) -> None:
    """Write the labels of items without their text, one item a line.

    An annotator without a name is called by the place of the label: first, second, and so on.
    Notes stay out, because they may quote the text.

    Args:
        path: the file, which appears only when it is whole.
        items: the annotations of each item together (see `stance.agreement.by_item`).
    """
    with whole_file(path) as file:
        for annotations in items:
            statement = annotations[0].statement
            labels: dict[str, Label] = {}
            for i, a in enumerate(annotations):
                name = a.annotator if a.annotator and a.annotator not in labels else _place(i)
                labels[name] = Label(stance=a.stance, certainty=a.certainty)
            unit = Unit(
                sha256=text_sha256(statement.text),
                labels=labels,
                **{name: getattr(statement, name) for name in _CARRIED},
            )
            row = unit.model_dump(mode="json", exclude_defaults=True)
            file.write((json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))


def _place(i: int) -> str:
    return ("first", "second", "third")[i] if i < 3 else f"annotator {i + 1}"
