"""Gold and predictions → figures. Every figure is scikit-learn's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from stance.records import LABELS

Indices = NDArray[np.int64]
"""Labels as positions in `LABELS`, shape (items,)."""


def figures(gold: Indices, predicted: Indices) -> dict[str, float]:
    """Macro-F1, accuracy, and F1 of each label, by name."""
    per_class = f1_score(gold, predicted, labels=range(len(LABELS)), average=None, zero_division=0.0)
    return {
        "macro_f1": macro_f1(gold, predicted),
        "accuracy": float((gold == predicted).mean()),
        **{f"f1_{label}": float(f1) for label, f1 in zip(LABELS, per_class, strict=True)},
    }


def macro_f1(gold: Indices, predicted: Indices) -> float:
    """Mean F1 over the classes that the gold labels hold.

    A class the gold lacks has no F1 to average; predicting it still costs the others.
    """
    present = np.unique(gold)
    return float(f1_score(gold, predicted, labels=present, average="macro", zero_division=0.0))
