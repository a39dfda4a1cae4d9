"""Annotations of several annotators → agreement and adjudicated gold.

Cohen's kappa (J. Cohen, "A coefficient of agreement for nominal scales", 1960) comes
from scikit-learn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from stance.errors import UsageError, require
from stance.records import LABELS, Annotation, Stance

ADJUDICATED = "adjudicated"
"""Annotator name of a label that settles the others' disagreement."""


@dataclass(frozen=True)
class PairAgreement:
    """Agreement of two annotators over the items both labelled."""

    first: str
    second: str
    n_items: int
    agreed: float
    kappa: float


def item_key(annotation: Annotation) -> tuple[str, str]:
    """What makes two annotations labels of the same item: id, or else text."""
    statement = annotation.statement
    return (statement.id, statement.text)


def by_item(annotations: Sequence[Annotation]) -> list[list[Annotation]]:
    """The annotations of each item together, in the order items first appear."""
    items: dict[tuple[str, str], list[Annotation]] = {}
    for annotation in annotations:
        items.setdefault(item_key(annotation), []).append(annotation)
    return list(items.values())


def cohen_kappa(annotations: Sequence[Annotation]) -> list[PairAgreement]:
    """Agreement of every pair of annotators; the adjudicator is none of them.

    Raises:
        UsageError: no two annotators labelled the same item.
    """
    metrics = require("sklearn.metrics", extra="evaluation")
    labels: dict[str, dict[tuple[str, str], Stance]] = {}
    for a in annotations:
        if a.annotator != ADJUDICATED:
            labels.setdefault(a.annotator, {})[item_key(a)] = a.stance
    pairs = []
    for first, second in combinations(labels, 2):
        both = [key for key in labels[first] if key in labels[second]]
        if not both:
            continue
        one = [labels[first][key].value for key in both]
        two = [labels[second][key].value for key in both]
        same = sum(x == y for x, y in zip(one, two, strict=True)) / len(both)
        # kappa is 0/0 where both gave one and the same label throughout
        kappa = 1.0 if len({*one, *two}) == 1 else float(metrics.cohen_kappa_score(one, two))
        pairs.append(PairAgreement(first or "first", second, len(both), same, kappa))
    if not pairs:
        raise UsageError("no two annotators labelled the same item, so there is no agreement to compute")
    return pairs


@dataclass(frozen=True)
class Gold:
    """One label an item, and the items whose annotators are tied and not adjudicated."""

    annotations: list[Annotation]
    ties: list[list[Annotation]]


def adjudicate(annotations: Sequence[Annotation]) -> Gold:
    """One annotation an item: the adjudicated one, else the majority's; ties are listed."""
    gold, ties = [], []
    for item in by_item(annotations):
        settled = [a for a in item if a.annotator == ADJUDICATED]
        votes = Counter(a.stance for a in settled or item)
        top = max(votes.values())
        winners = [stance for stance in LABELS if votes[stance] == top]
        if len(winners) > 1:
            ties.append(item)
        else:
            gold.append(next(a for a in settled or item if a.stance is winners[0]))
    return Gold(gold, ties)
