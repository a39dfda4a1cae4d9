"""What a model has to beat: the most frequent label, and a linear model over n-grams."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline, make_union

from stance.records import Annotation

BASELINES = ("majority", "TF-IDF + LR")
_FOLDS = 5


def build(name: str) -> Pipeline:
    """The untrained baseline of that name (see `BASELINES`)."""
    if name == "majority":
        return make_pipeline(DummyClassifier(strategy="most_frequent"))
    ngrams = make_union(
        TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), min_df=3, sublinear_tf=True),
    )
    return make_pipeline(ngrams, LogisticRegression(C=4.0, max_iter=300))


def predict(name: str, train: Sequence[Annotation], gold: Sequence[Annotation]) -> NDArray[np.int64]:
    """Labels of `gold` by a baseline trained on `train`, shape (items,)."""
    model = build(name).fit([_text(item) for item in train], _labels(train))
    return np.asarray(model.predict([_text(item) for item in gold]), dtype=np.int64)


def predict_out_of_fold(name: str, gold: Sequence[Annotation], *, seed: int) -> NDArray[np.int64]:
    """Labels of `gold` by a baseline trained on the other folds of it, shape (items,).

    Items of one article or contrast group stay in one fold.
    """
    texts, labels = np.array([_text(item) for item in gold], dtype=object), _labels(gold)
    groups = [a.statement.article_id or a.statement.group or f"item {i}" for i, a in enumerate(gold)]
    folds = min(_FOLDS, len(set(groups)))
    predicted = np.empty(len(gold), dtype=np.int64)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for kept, held in splitter.split(texts, labels, groups):
        # one label alone is no classification; the fold then answers with it
        kind = name if len(set(labels[kept])) > 1 else "majority"
        predicted[held] = build(kind).fit(texts[kept], labels[kept]).predict(texts[held])
    return predicted


def _text(item: Annotation) -> str:
    return f"{item.statement.text} {item.statement.context}".strip()


def _labels(items: Sequence[Annotation]) -> NDArray[np.int64]:
    return np.array([item.stance.position for item in items], dtype=np.int64)
