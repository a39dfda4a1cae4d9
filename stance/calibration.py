"""Logits + gold → temperature; logits → calibrated probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float32]
"""Raw outputs of a model, shape (items, labels)."""


def probabilities(logits: Logits, temperature: float) -> NDArray[np.float64]:
    """Softmax of ``logits / temperature``, shape (items, labels), rows summing to 1."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def fit_temperature(logits: Logits, gold: NDArray[np.int64]) -> float:
    """The temperature with the smallest log loss.

    C. Guo et al., "On Calibration of Modern Neural Networks", 2017.

    Args:
        logits: shape (items, labels), of items that were not trained on.
        gold: positions of the right labels, shape (items,).
    """
    from scipy.optimize import minimize_scalar

    def log_loss(log_temperature: float) -> float:
        right = probabilities(logits, float(np.exp(log_temperature)))[np.arange(len(gold)), gold]
        return float(-np.log(np.maximum(right, 1e-12)).mean())

    best = minimize_scalar(log_loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded")
    return float(np.exp(best.x))
