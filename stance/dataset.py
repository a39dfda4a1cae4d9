"""Gold annotations → a `datasets.DatasetDict` whose splits share no article, group or near-duplicate."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from datasets import Dataset, DatasetDict
from datasketch import MinHash, MinHashLSH
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from stance.agreement import adjudicate
from stance.annotations import Source, read_annotations
from stance.config import DataConfig, SourceConfig
from stance.errors import DataError, Fault
from stance.folds import fold_count, grouped_folds
from stance.records import LABELS, Annotation

_WORD = re.compile(r"\w+")
_SHINGLE = 3
_PERMUTATIONS = 128


Place = tuple[str, int | None]
"""File and line of an annotation."""
Shares = NDArray[np.float32]
"""How much of each label an item has, shape (items, labels), rows summing to 1."""


@dataclass(frozen=True)
class Gold:
    """One label an item for training and validation, and the rows left out.

    ``votes`` holds the shares of the labels of items whose annotators are tied, under
    their file and line; such an item stands in ``train`` with the first of its labels.
    """

    train: list[Annotation]
    validation: list[Annotation]
    faults: list[Fault]
    votes: Mapping[Place, Shares] = field(default_factory=dict)

    def targets(self) -> Shares:
        """Shares of the labels of ``train``: all of its label, or the votes where annotators are tied."""
        own = one_hot(self.train)
        return np.stack([self.votes.get(_place(a), row) for a, row in zip(self.train, own, strict=True)])

    def to_datasets(self) -> DatasetDict:
        """The splits with the columns of `Statement`, ``stance`` and ``label`` (its index)."""
        return DatasetDict({"train": _dataset(self.train), "validation": _dataset(self.validation)})


def load_gold(config: DataConfig, *, seed: int) -> Gold:
    """Read what a configuration names, settle one label an item, and split.

    Raises:
        UsageError: a file is not there.
        DataError: too few usable statements are left to train on.
    """
    faults: list[Fault] = []
    train, votes = _gather(config.train, faults, seed, share_ties=config.ties == "share")
    validation, _ = _gather(config.validation, faults, seed, share_ties=False)
    if not config.validation:
        if len(train) < 10:
            listed = "".join(f"\n  {fault}" for fault in faults[:20])
            raise DataError(f"only {len(train)} usable statements; training needs at least 10{listed}")
        train, validation = split(
            train, fraction=config.validation_fraction, seed=seed, threshold=config.near_duplicate
        )
        # what annotators could not agree on measures nothing, and on this side it may not teach
        validation = [item for item in validation if _place(item) not in votes]
    if not train or not validation:
        raise DataError(f"{len(train)} statements to train on, {len(validation)} to validate on: need both")
    return Gold(train, validation, faults, votes)


def _gather(
    sources: Sequence[SourceConfig], faults: list[Fault], seed: int, *, share_ties: bool
) -> tuple[list[Annotation], dict[Place, Shares]]:
    gold: list[Annotation] = []
    votes: dict[Place, Shares] = {}
    for config in sources:
        reading = read_annotations(Source.from_config(config))
        faults.extend(reading.faults)
        settled = adjudicate(reading.annotations)
        items = settled.annotations
        for tie in settled.ties:
            if share_ties:
                counts = np.bincount([a.stance.position for a in tie], minlength=len(LABELS))
                votes[_place(tie[0])] = (counts / counts.sum()).astype(np.float32)
                items.append(tie[0])
            else:
                listed = ", ".join(f"{a.annotator or '?'}: {a.stance}" for a in tie)
                faults.append(Fault(tie[0].file, tie[0].line, "stance", f"annotators are tied ({listed})"))
        if config.sample is not None and config.sample < len(items):
            chosen = np.random.default_rng(seed).choice(len(items), config.sample, replace=False)
            items = [items[i] for i in sorted(chosen)]
        gold.extend(items)
    return gold, votes


def _place(item: Annotation) -> Place:
    return (item.file, item.line)


def one_hot(items: Sequence[Annotation]) -> Shares:
    """Shares of the labels of items that have one each."""
    return np.eye(len(LABELS), dtype=np.float32)[[item.stance.position for item in items]]


def split(
    items: Sequence[Annotation], *, fraction: float, seed: int, threshold: float
) -> tuple[list[Annotation], list[Annotation]]:
    """Train and validation parts: stratified by label, grouped so that nothing leaks.

    Args:
        items: one annotation an item.
        fraction: about the share of the items that go to validation.
        seed: of the shuffle.
        threshold: Jaccard similarity from which two texts are near-duplicates.

    Raises:
        DataError: all items belong together, or no label stands twice.
    """
    groups = leakage_groups(items, threshold=threshold).tolist()
    labels = [item.stance.position for item in items]
    n_folds = fold_count(labels, groups, most=round(1 / fraction))
    if n_folds < 2:
        raise DataError(
            "all statements are of one article, group or near-duplicate cluster, or each has a label of"
            " its own, so none can be held out; name files under data.validation"
        )
    folds = grouped_folds(labels, groups, n_folds=n_folds, seed=seed)
    kept, held = next(parts for parts in folds if len(parts[1]))
    return [items[i] for i in kept], [items[i] for i in held]


def leakage_groups(items: Sequence[Annotation], *, threshold: float) -> NDArray[np.int64]:
    """A group number an item; items of one article, contrast group or near-duplicate cluster share it."""
    first: dict[tuple[str, str], int] = {}
    edges = near_duplicates([item.statement.text for item in items], threshold=threshold)
    for i, item in enumerate(items):
        for key in (("article", item.statement.article_id), ("group", item.statement.group)):
            if key[1]:
                edges.append((first.setdefault(key, i), i))
    rows, columns = (
        (np.array(ends, dtype=np.int64) for ends in zip(*edges, strict=True)) if edges else ([], [])
    )
    graph = coo_array((np.ones(len(edges)), (rows, columns)), shape=(len(items), len(items)))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def near_duplicates(texts: Sequence[str], *, threshold: float) -> list[tuple[int, int]]:
    """Pairs of texts whose word 3-shingles have about that Jaccard similarity (MinHash LSH).

    A. Broder, "On the resemblance and containment of documents", 1997; library datasketch.
    """
    index = MinHashLSH(threshold=threshold, num_perm=_PERMUTATIONS)
    pairs: list[tuple[int, int]] = []
    for i, hashed in enumerate(MinHash.generator([_shingles(t) for t in texts], num_perm=_PERMUTATIONS)):
        pairs.extend((int(j), i) for j in index.query(hashed))
        index.insert(i, hashed)
    return pairs


def _shingles(text: str) -> list[bytes]:
    words = _WORD.findall(text.casefold())
    count = max(len(words) - _SHINGLE + 1, 1)
    return [" ".join(words[i : i + _SHINGLE]).encode("utf-8", "replace") for i in range(count)]


def _dataset(items: Sequence[Annotation]) -> Dataset:
    fields = ("id", "text", "actor", "context", "article_id", "date", "source", "genre", "group")
    rows = []
    for item in items:
        statement = asdict(item.statement)
        row = {name: statement[name] for name in fields}
        rows.append({**row, "stance": item.stance.value, "label": item.stance.position})
    return Dataset.from_list(rows)
