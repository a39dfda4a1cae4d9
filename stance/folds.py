"""Labels and groups → folds in which no group is torn apart, on data of any size."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold


def fold_count(labels: Sequence[int], groups: Sequence[Hashable], *, most: int) -> int:
    """Number of folds that can be made, at most `most`; below 2 none can.

    A fold needs a group, and the commonest label one item a fold.
    """
    return min(most, len(set(groups)), max(Counter(labels).values(), default=0))


def grouped_folds(
    labels: Sequence[int], groups: Sequence[Hashable], *, n_folds: int, seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Kept and held positions of each fold: shuffled, stratified by label, whole groups."""
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # a label rarer than there are folds is missing from some; that is how small data are
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        return list(splitter.split(np.zeros(len(labels)), labels, groups))
