"""Models + statements → the soft labels of their average, which smaller models learn from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stance import baselines
from stance.classifier import StanceClassifier
from stance.distillation import statement_key, write_soft_labels
from stance.errors import DataError
from stance.records import Annotation, Statement


def teach(
    teachers: Sequence[StanceClassifier],
    statements: Sequence[Statement],
    output: Path,
    *,
    ngram_data: Sequence[Annotation] = (),
    seed: int = 13,
) -> int:
    """Write the mean of the teachers' probabilities of each distinct statement.

    Args:
        teachers: trained models.
        statements: what to label; repeats are labelled once.
        output: the Parquet file.
        ngram_data: labelled statements of which TF-IDF + LR becomes one more teacher; those
            among `statements` are answered by a model that did not see them.
        seed: of the folds for that.

    Returns:
        the number of distinct statements.

    Raises:
        DataError: there is no statement, or no teacher.
    """
    distinct = list({statement_key(s): s for s in statements if s.text.strip()}.values())
    if not distinct:
        raise DataError("no statement to label")
    answers: list[NDArray[np.float64]] = [
        np.array([list(p.probabilities.values()) for p in teacher.predict_iter(distinct)])
        for teacher in teachers
    ]
    names = [teacher.name for teacher in teachers]
    if ngram_data:
        answers.append(baselines.ngram_probabilities(ngram_data, distinct, seed=seed))
        names.append(baselines.NGRAMS)
    if not answers:
        raise DataError("no teacher: name a model, or labelled statements for n-grams")
    write_soft_labels(output, distinct, np.mean(answers, axis=0).astype(np.float32), teachers=names)
    return len(distinct)
