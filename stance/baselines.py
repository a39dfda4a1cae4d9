"""What a model has to beat: the most frequent label, and a linear model over n-grams."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline, make_union

from stance.errors import DataError
from stance.folds import fold_count, grouped_folds
from stance.records import LABELS, Annotation, Statement

NGRAMS = "TF-IDF + LR"
BASELINES = ("majority", NGRAMS)
_FOLDS = 5
_FEW = 20
"""Below so many training items no n-gram is left out as rare."""


def build(name: str, n_items: int) -> Pipeline:
    """The untrained baseline of that name (see `BASELINES`), to be trained on so many items."""
    if name == "majority":
        return make_pipeline(DummyClassifier(strategy="most_frequent"))
    words, characters = (1, 1) if n_items < _FEW else (2, 3)
    ngrams = make_union(
        TfidfVectorizer(ngram_range=(1, 2), min_df=words, sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), min_df=characters, sublinear_tf=True),
    )
    return make_pipeline(ngrams, LogisticRegression(C=4.0, max_iter=300))


def predict(name: str, train: Sequence[Annotation], gold: Sequence[Annotation]) -> NDArray[np.int64]:
    """Labels of `gold` by a baseline trained on `train`, shape (items,)."""
    return _fit_predict(name, list(map(_text, train)), _labels(train), list(map(_text, gold)))


def out_of_fold_count(gold: Sequence[Annotation]) -> int:
    """Number of folds that `predict_out_of_fold` makes of `gold`; below 2 it cannot."""
    return fold_count(_labels(gold).tolist(), _groups(gold), most=_FOLDS)


def predict_out_of_fold(name: str, gold: Sequence[Annotation], *, seed: int) -> NDArray[np.int64]:
    """Labels of `gold` by a baseline trained on the other folds of it, shape (items,).

    Items of one article or contrast group stay in one fold.
    """
    texts, labels = list(map(_text, gold)), _labels(gold)
    folds = grouped_folds(labels.tolist(), _groups(gold), n_folds=out_of_fold_count(gold), seed=seed)
    predicted = np.empty(len(gold), dtype=np.int64)
    for kept, held in folds:
        learnt, asked = [texts[i] for i in kept], [texts[i] for i in held]
        predicted[held] = _fit_predict(name, learnt, labels[kept], asked)
    return predicted


def ngram_probabilities(
    train: Sequence[Annotation], statements: Sequence[Statement], *, seed: int
) -> NDArray[np.float64]:
    """Probabilities that TF-IDF + LR gives, shape (statements, labels).

    A statement that stands in `train` is answered by a model of the other folds of it.

    Raises:
        DataError: `train` cannot be parted into folds.
    """
    texts, labels = list(map(_text, train)), _labels(train)
    first = {text: i for i, text in reversed(list(enumerate(texts)))}
    # copies of one text stand in one fold, wherever they come from
    groups = [
        item if item else f"text {first[text]}" for item, text in zip(_shared(train), texts, strict=True)
    ]
    n_folds = fold_count(labels.tolist(), groups, most=_FOLDS)
    if n_folds < 2:
        raise DataError("n-grams need labelled statements of several articles and labels to learn from")
    held_out = np.zeros((len(train), len(LABELS)))
    for kept, held in grouped_folds(labels.tolist(), groups, n_folds=n_folds, seed=seed):
        learnt, asked = [texts[i] for i in kept], [texts[i] for i in held]
        held_out[held] = _fit_probabilities(learnt, labels[kept], asked)
    wanted = [_words(statement) for statement in statements]
    result = np.zeros((len(statements), len(LABELS)))
    unseen = [i for i, text in enumerate(wanted) if text not in first]
    if unseen:
        result[unseen] = _fit_probabilities(texts, labels, [wanted[i] for i in unseen])
    seen = [i for i, text in enumerate(wanted) if text in first]
    result[seen] = held_out[[first[wanted[i]] for i in seen]]
    return result


def _fit_probabilities(
    texts: Sequence[str], labels: NDArray[np.int64], asked: Sequence[str]
) -> NDArray[np.float64]:
    kind = NGRAMS if len(set(labels)) > 1 else "majority"
    model = build(kind, len(texts)).fit(texts, labels)
    given = np.zeros((len(asked), len(LABELS)))
    given[:, model.classes_] = model.predict_proba(asked)
    return given


def _fit_predict(
    name: str, texts: Sequence[str], labels: NDArray[np.int64], asked: Sequence[str]
) -> NDArray[np.int64]:
    # one label alone is no classification; the answer is then that label
    kind = name if len(set(labels)) > 1 else "majority"
    return np.asarray(build(kind, len(texts)).fit(texts, labels).predict(asked), dtype=np.int64)


def _groups(gold: Sequence[Annotation]) -> list[str]:
    return [group or f"item {i}" for i, group in enumerate(_shared(gold))]


def _shared(gold: Sequence[Annotation]) -> list[str]:
    return [a.statement.article_id or a.statement.group for a in gold]


def _text(item: Annotation) -> str:
    return _words(item.statement)


def _words(statement: Statement) -> str:
    return " ".join(f"{statement.text} {statement.context}".split())


def _labels(items: Sequence[Annotation]) -> NDArray[np.int64]:
    return np.array([item.stance.position for item in items], dtype=np.int64)
