"""Labelled statements from files: every annotator's label is kept, every bad row reported.

A format is one function, `Source` → annotations and faults, and one line in `READERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stance.annotations.standoff import is_standoff, read_standoff
from stance.annotations.tabular import read_tabular
from stance.config import SourceConfig
from stance.errors import Fault, UsageError
from stance.records import Annotation, Stance
from stance.tables import FORMATS, format_of


@dataclass(frozen=True)
class Source:
    """A file of annotations, and how its columns and labels are called.

    ``columns`` maps our names to the file's, ``labels`` the file's labels to ours;
    ``corpus`` is the folder of the articles that a standoff file points into.
    """

    path: Path
    format: str = "auto"
    columns: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, Stance] = field(default_factory=dict)
    corpus: Path | None = None

    @classmethod
    def from_config(cls, config: SourceConfig) -> Source:
        """The source that one entry of a configuration names."""
        return cls(
            path=Path(config.path),
            format=config.format,
            columns=config.columns,
            labels=config.labels,
            corpus=Path(config.corpus) if config.corpus else None,
        )


@dataclass(frozen=True)
class Reading:
    """What a source holds: annotations in the order of the file, and the rows left out."""

    annotations: list[Annotation]
    faults: list[Fault]


Reader = Callable[[Source], Iterator[Annotation | Fault]]

READERS: dict[str, Reader] = {
    "csv": read_tabular,
    "tsv": read_tabular,
    "jsonl": read_tabular,
    "parquet": read_tabular,
    "standoff": read_standoff,
}


def read_annotations(source: Source | str | Path) -> Reading:
    """Read a file of annotations in any format of `READERS`.

    Raises:
        UsageError: the file, a mapped column or the corpus is not there.
        DataError: an article of a standoff corpus differs from the annotated one.
    """
    if not isinstance(source, Source):
        source = Source(Path(source))
    annotations: list[Annotation] = []
    faults: list[Fault] = []
    for item in READERS[detect_format(source)](source):
        if isinstance(item, Fault):
            faults.append(item)
        else:
            annotations.append(item)
    return Reading(annotations, faults)


def detect_format(source: Source) -> str:
    """The key of `READERS` for a source: the given one, else by ending and content."""
    if source.format != "auto":
        if source.format not in READERS:
            raise UsageError(f"{source.path}: no format {source.format!r}; known: {', '.join(READERS)}")
        return source.format
    kind = format_of(source.path)
    if kind not in READERS:
        known = ", ".join(ending for ending, name in FORMATS.items() if name in READERS)
        raise UsageError(f"{source.path}: annotations need columns; known endings: {known}")
    if kind == "jsonl" and is_standoff(source.path):
        return "standoff"
    return kind


__all__ = ["READERS", "Reader", "Reading", "Source", "detect_format", "read_annotations"]
