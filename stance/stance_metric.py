"""The figures of `stance.metrics` as a metric of the library `evaluate`; needs no network.

``evaluate.load("stance/stance_metric.py")`` finds it, too.
"""

from __future__ import annotations

from collections.abc import Sequence

import datasets
import evaluate
import numpy as np

from stance.metrics import figures


class StanceMetric(evaluate.Metric):  # type: ignore[misc]
    """Macro-F1, accuracy and F1 of each stance.

    Predictions and references are positions in `stance.records.LABELS`.
    """

    def _info(self) -> evaluate.MetricInfo:
        feature = datasets.Value("int64")
        return evaluate.MetricInfo(
            description="Macro-F1, accuracy and F1 per class over the four stances.",
            citation="",
            inputs_description="predictions and references: positions in stance.records.LABELS",
            features=datasets.Features({"predictions": feature, "references": feature}),
        )

    def _compute(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        return figures(np.asarray(references), np.asarray(predictions))
