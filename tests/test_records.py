"""Records: the order of the labels, frozen nouns, the confidence of a prediction."""

from __future__ import annotations

import dataclasses

import pytest

from stance.records import LABELS, Annotation, Article, Prediction, Stance, Statement

STATEMENT = Statement("We will send more.")
PREDICTION = Prediction(
    STATEMENT,
    Stance.OPPOSED,
    dict(zip(LABELS, (0.1, 0.2, 0.6, 0.1), strict=True)),
    abstained=False,
    truncated=False,
    n_tokens=6,
    model="m",
)


def test_labels_stand_in_the_order_of_the_outputs() -> None:
    assert [label.value for label in LABELS] == ["supportive", "conditional", "opposed", "none"]


def test_position_of_a_label_is_its_index() -> None:
    assert [label.position for label in LABELS] == [0, 1, 2, 3]


def test_confidence_is_the_probability_of_the_answered_label() -> None:
    assert PREDICTION.confidence == 0.6


@pytest.mark.parametrize(
    "record",
    [STATEMENT, Article("a", "text"), Annotation(STATEMENT, Stance.NONE), PREDICTION],
    ids=lambda record: type(record).__name__,
)
def test_records_are_frozen(record: Statement | Article | Annotation | Prediction) -> None:
    name = dataclasses.fields(record)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(record, name, None)
