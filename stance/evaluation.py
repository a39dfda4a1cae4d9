"""Classifier + gold → figures with intervals, beside what they have to beat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

from stance import baselines
from stance.annotations import Reading, Source, read_annotations
from stance.classifier import StanceClassifier
from stance.config import SourceConfig
from stance.errors import DataError, UsageError
from stance.metrics import Indices, macro_f1
from stance.records import LABELS, Annotation

RESAMPLES = 2000
BREAKDOWNS = ("genre", "actor", "source", "article_id", "date", "group")
"""Fields of a statement by whose values figures can be given."""


@dataclass(frozen=True)
class Interval:
    """A figure and its 95 % bootstrap interval (percentile; Efron 1979)."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class ClassScores:
    """Figures of one label; `support` counts its gold items."""

    label: str
    precision: float
    recall: float
    f1: Interval
    support: int


@dataclass(frozen=True)
class Scores:
    """Figures of one classifier on one gold set.

    ``confusion`` has the gold labels as rows and the answers as columns, both in the
    order of `LABELS`. ``macro_f1`` averages over the labels that the gold holds.
    """

    name: str
    trained_on: str
    n_items: int
    macro_f1: Interval
    accuracy: Interval
    classes: list[ClassScores]
    confusion: list[list[int]]


@dataclass(frozen=True)
class Evaluation:
    """A model's figures and those of the baselines on the same items."""

    model: Scores
    baselines: list[Scores]
    parts: list[Scores] = field(default_factory=list)
    """The model's figures on the items of each value of a field, most items first."""

    def to_json(self) -> dict[str, Any]:
        """All figures as plain values."""
        return asdict(self)


def evaluate(
    classifier: StanceClassifier,
    gold: Sequence[Annotation],
    *,
    train: Sequence[Annotation] = (),
    train_name: str = "",
    by: str | None = None,
    seed: int = 13,
) -> Evaluation:
    """Compare a classifier and the baselines with gold labels.

    Args:
        classifier: the model.
        gold: one annotation an item (see `stance.agreement.adjudicate`).
        train: what the baselines learn from; empty: out of fold from the gold itself, and
            no baselines where that holds too few items or articles.
        train_name: what `train` is called in the result.
        by: a field of `BREAKDOWNS`; the model's figures are also given for each of its values.
        seed: of the bootstrap and the folds.

    Raises:
        DataError: there are no items.
        UsageError: there is no such field to break down by.
    """
    if not gold:
        raise DataError("no gold items to evaluate on")
    if by is not None and by not in BREAKDOWNS:
        raise UsageError(f"cannot break down by {by!r}; choose one of {', '.join(BREAKDOWNS)}")
    labels = np.array([item.stance.position for item in gold], dtype=np.int64)
    predictions = classifier.predict(item.statement for item in gold)
    answers = np.array([p.stance.position for p in predictions], dtype=np.int64)
    rivals = []
    for name in baselines.BASELINES if train or baselines.out_of_fold_count(gold) > 1 else ():
        if train:
            rival = baselines.predict(name, train, gold)
        else:
            rival = baselines.predict_out_of_fold(name, gold, seed=seed)
        rivals.append(score(name, labels, rival, trained_on=train_name or "gold, out of fold", seed=seed))
    learnt = ", ".join(Path(source.path).name for source in _training_sources(classifier))
    model = score(classifier.name, labels, answers, trained_on=learnt or "unknown", seed=seed)
    parts = []
    if by is not None:
        values = np.array([getattr(item.statement, by) or "(none)" for item in gold])
        for value, _ in Counter(values.tolist()).most_common():
            here = values == value
            parts.append(score(value, labels[here], answers[here], seed=seed))
    return Evaluation(model, rivals, parts)


def score(name: str, gold: Indices, answers: Indices, *, trained_on: str = "", seed: int = 13) -> Scores:
    """Figures of answers against gold labels, both of shape (items,)."""
    n = len(LABELS)
    confusion = confusion_matrix(gold, answers, labels=range(n))
    precision, recall, f1, support = precision_recall_fscore_support(
        gold, answers, labels=range(n), zero_division=0.0
    )
    drawn = _resampled(confusion, seed=seed)
    f1_drawn = _f1(drawn)
    present = support > 0
    classes = [
        ClassScores(
            label=LABELS[i].value,
            precision=float(precision[i]),
            recall=float(recall[i]),
            f1=_interval(float(f1[i]), f1_drawn[:, i]),
            support=int(support[i]),
        )
        for i in range(n)
    ]
    accuracy_drawn = np.trace(drawn, axis1=1, axis2=2) / len(gold)
    return Scores(
        name=name,
        trained_on=trained_on,
        n_items=len(gold),
        macro_f1=_interval(macro_f1(gold, answers), f1_drawn[:, present].mean(axis=1)),
        accuracy=_interval(float(accuracy_score(gold, answers)), accuracy_drawn),
        classes=classes,
        confusion=confusion.tolist(),
    )


def _resampled(confusion: NDArray[np.int64], *, seed: int) -> NDArray[np.int64]:
    """Confusion matrices of resampled items, shape (resamples, labels, labels).

    Drawing items with replacement is drawing the cells of their confusion matrix from a
    multinomial, so no item needs to be touched again.
    """
    total = int(confusion.sum())
    cells = np.random.default_rng(seed).multinomial(total, confusion.ravel() / total, size=RESAMPLES)
    return cells.reshape(RESAMPLES, *confusion.shape)


def _f1(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """F1 per label of confusion matrices, shape (resamples, labels); 0 where a label never occurs."""
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    total = confusion.sum(axis=1) + confusion.sum(axis=2)
    f1: NDArray[np.float64] = np.divide(2 * hits, total, out=np.zeros(hits.shape), where=total > 0)
    return f1


def _interval(value: float, drawn: NDArray[np.float64]) -> Interval:
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(value, float(low), float(high))


def training_readings(classifier: StanceClassifier) -> list[Reading]:
    """What a model was trained on, where the files its config names are here; else nothing."""
    sources = _training_sources(classifier)
    if not all(Path(source.path).is_file() for source in sources):
        return []
    return [read_annotations(Source.from_config(source)) for source in sources]


def _training_sources(classifier: StanceClassifier) -> list[SourceConfig]:
    config = classifier.manifest.config
    return [] if config is None else config.data.train
