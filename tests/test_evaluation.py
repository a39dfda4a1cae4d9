"""Figures, their intervals, and the baselines that a model has to beat."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_score, recall_score

from stance import baselines
from stance.calibration import fit_temperature, probabilities
from stance.classifier import StanceClassifier
from stance.errors import DataError, UsageError
from stance.evaluation import evaluate, score
from stance.records import LABELS, Annotation, Stance, Statement

RNG = np.random.default_rng(11)
GOLD = RNG.integers(0, 4, 150)
# right in about two of three
ANSWERS = np.where(RNG.random(150) < 0.6, GOLD, RNG.integers(0, 4, 150))
SURE = {"send aid": "supportive", "aid if": "conditional", "stop the aid": "opposed", "weather": "none"}


def item(text: str, stance: str, article: str = "", group: str = "") -> Annotation:
    return Annotation(Statement(text, article_id=article, group=group), Stance(stance))


def gold_items(repeats: int) -> list[Annotation]:
    return [item(text, stance) for text, stance in SURE.items()] * repeats


def test_figures_equal_those_of_sklearn() -> None:
    scores = score("m", GOLD, ANSWERS)
    assert scores.n_items == 150
    assert scores.accuracy.value == pytest.approx(accuracy_score(GOLD, ANSWERS))
    assert scores.macro_f1.value == pytest.approx(f1_score(GOLD, ANSWERS, average="macro"))
    assert [c.precision for c in scores.classes] == pytest.approx(
        precision_score(GOLD, ANSWERS, average=None).tolist()
    )
    assert [c.recall for c in scores.classes] == pytest.approx(
        recall_score(GOLD, ANSWERS, average=None).tolist()
    )
    assert [c.f1.value for c in scores.classes] == pytest.approx(
        f1_score(GOLD, ANSWERS, average=None).tolist()
    )
    assert [c.support for c in scores.classes] == np.bincount(GOLD).tolist()
    assert [c.label for c in scores.classes] == list(LABELS)
    assert scores.confusion == confusion_matrix(GOLD, ANSWERS).tolist()


def test_intervals_equal_those_of_resampled_items() -> None:
    rng = np.random.default_rng(1)
    drawn = []
    for _ in range(1000):
        rows = rng.integers(0, len(GOLD), len(GOLD))
        gold, answers = GOLD[rows], ANSWERS[rows]
        drawn.append((f1_score(gold, answers, average="macro"), (gold == answers).mean()))
    expected = np.percentile(drawn, [2.5, 97.5], axis=0)
    scores = score("m", GOLD, ANSWERS)
    assert [scores.macro_f1.low, scores.macro_f1.high] == pytest.approx(expected[:, 0].tolist(), abs=0.01)
    assert [scores.accuracy.low, scores.accuracy.high] == pytest.approx(expected[:, 1].tolist(), abs=0.01)


def test_an_interval_around_perfect_answers_is_a_point() -> None:
    scores = score("m", GOLD, GOLD)
    assert (scores.macro_f1.low, scores.macro_f1.value, scores.macro_f1.high) == (1.0, 1.0, 1.0)


def test_more_items_give_a_narrower_interval() -> None:
    few, many = score("m", GOLD, ANSWERS).macro_f1, score("m", np.tile(GOLD, 9), np.tile(ANSWERS, 9)).macro_f1
    assert many.value == pytest.approx(few.value)
    assert many.high - many.low == pytest.approx((few.high - few.low) / 3, rel=0.1)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    first, again, other = (score("m", GOLD, ANSWERS, seed=seed).macro_f1 for seed in (1, 1, 2))
    assert first == again != other


def test_macro_f1_leaves_out_a_class_that_the_gold_lacks() -> None:
    gold, answers = np.array([0, 0, 1, 1]), np.array([0, 3, 1, 1])
    scores = score("m", gold, answers)
    assert scores.macro_f1.value == pytest.approx((2 / 3 + 1) / 2)
    assert [c.support for c in scores.classes] == [2, 2, 0, 0]
    assert scores.classes[3].f1.value == 0.0
    assert scores.macro_f1.low <= scores.macro_f1.value <= scores.macro_f1.high


def test_a_model_and_both_baselines_are_compared_on_the_same_items(tiny: StanceClassifier) -> None:
    result = evaluate(tiny, gold_items(6), train=gold_items(5), train_name="20 statements")
    assert (result.model.name, result.model.macro_f1.value) == ("tiny", 1.0)
    assert [(s.name, s.trained_on, s.n_items) for s in result.baselines] == [
        ("majority", "20 statements", 24),
        ("TF-IDF + LR", "20 statements", 24),
    ]


def test_the_figures_are_these_and_no_calibration_error_is_among_them(tiny: StanceClassifier) -> None:
    content = evaluate(tiny, gold_items(6)).to_json()
    assert set(content) == {"model", "baselines", "parts"}
    assert set(content["model"]) == {
        "name",
        "trained_on",
        "n_items",
        "macro_f1",
        "accuracy",
        "classes",
        "confusion",
    }
    assert set(content["model"]["macro_f1"]) == {"value", "low", "high"}
    assert set(content["model"]["classes"][0]) == {"label", "precision", "recall", "f1", "support"}


def test_no_gold_is_a_data_error(tiny: StanceClassifier) -> None:
    with pytest.raises(DataError, match="no gold items"):
        evaluate(tiny, [])


@pytest.mark.parametrize(
    "gold",
    [
        [item("send aid", "supportive")],
        [item("send aid", "supportive", article="a1"), item("send", "supportive", article="a1")],
        [item(text, stance) for text, stance in SURE.items()],
    ],
    ids=["one item", "one article", "every label once"],
)
def test_gold_too_small_for_folds_is_scored_without_baselines(
    tiny: StanceClassifier, gold: list[Annotation]
) -> None:
    result = evaluate(tiny, gold)
    assert result.model.accuracy.value == 1.0
    assert result.baselines == []


def test_a_label_rarer_than_there_are_folds_is_no_obstacle(tiny: StanceClassifier) -> None:
    gold = [*gold_items(6)[:-1], item("stop it all", "opposed")]
    rare = [a for a in gold if a.stance is not Stance.CONDITIONAL] + [item("aid if", "conditional")]
    assert [s.n_items for s in evaluate(tiny, rare).baselines] == [len(rare)] * 2


@pytest.mark.parametrize("train", [gold_items(1), gold_items(1)[:1], gold_items(9)[::4]])
def test_baselines_learn_from_a_few_items_or_one_label(
    tiny: StanceClassifier, train: list[Annotation]
) -> None:
    result = evaluate(tiny, gold_items(2), train=train)
    expected = len({a.stance for a in train}) / len(SURE)
    assert result.baselines[1].accuracy.value == expected


def test_majority_answers_the_commonest_label_of_its_training_data() -> None:
    train = [item("a", "opposed")] * 3 + [item("b", "none")] * 2
    assert set(baselines.predict("majority", train, gold_items(1))) == {Stance.OPPOSED.position}


def test_ngrams_learn_what_tells_labels_apart() -> None:
    gold = gold_items(1)
    assert baselines.predict("TF-IDF + LR", gold_items(10), gold).tolist() == [
        a.stance.position for a in gold
    ]


def test_ngrams_read_the_context_too() -> None:
    train = [
        Annotation(Statement("Yes indeed", context=context), Stance(stance))
        for context, stance in (("send", "supportive"), ("stop", "opposed"))
        for _ in range(10)
    ]
    assert baselines.predict("TF-IDF + LR", train, [train[0], train[-1]]).tolist() == [0, 2]


@pytest.mark.parametrize("field", ["article", "group"])
@pytest.mark.parametrize("name", baselines.BASELINES)
def test_out_of_fold_never_sees_an_items_own_article_or_group(name: str, field: str) -> None:
    # each label stands in one article only, so whoever has not seen that article cannot answer it
    gold = [item(text, stance, **{field: stance}) for text, stance in SURE.items() for _ in range(6)]
    answers = baselines.predict_out_of_fold(name, gold, seed=13)
    assert not any(answers == [a.stance.position for a in gold])


def test_out_of_fold_sees_the_other_articles() -> None:
    gold = [item(text, stance, article=f"{i}") for i in range(6) for text, stance in SURE.items()]
    answers = baselines.predict_out_of_fold("TF-IDF + LR", gold, seed=13)
    assert answers.tolist() == [a.stance.position for a in gold]


def test_the_fitted_temperature_is_the_one_the_labels_were_drawn_with() -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 4, (4000, 4)).astype(np.float32)
    gold = np.array([rng.choice(4, p=p) for p in probabilities(logits, 2.5)])
    assert fit_temperature(logits, gold) == pytest.approx(2.5, rel=0.08)


def test_baselines_of_the_annotated_articles_do_not_warn(tiny: StanceClassifier) -> None:
    from stance.agreement import adjudicate
    from stance.annotations import Source, read_annotations

    source = Source(Path("data/annotations/articles/annotations.jsonl"), corpus=Path("data/articles"))
    gold = adjudicate(read_annotations(source).annotations).annotations
    assert [s.n_items for s in evaluate(tiny, gold).baselines] == [84, 84]


def test_figures_of_the_parts_are_those_of_the_parts_alone(tiny: StanceClassifier) -> None:
    words = {"send": Stance.SUPPORTIVE, "stop": Stance.OPPOSED, "weather": Stance.OPPOSED}
    gold = [
        Annotation(Statement(text=f"{word} aid", genre=genre), stance)
        for genre, count in (("news", 3), ("post", 2))
        for word, stance in words.items()
        for _ in range(count)
    ]
    parts = evaluate(tiny, gold, by="genre").parts
    assert [(part.name, part.n_items) for part in parts] == [("news", 9), ("post", 6)]
    alone = evaluate(tiny, [item for item in gold if item.statement.genre == "post"]).model
    assert (parts[1].macro_f1, parts[1].confusion) == (alone.macro_f1, alone.confusion)


def test_an_unknown_part_is_refused_with_those_there_are(tiny: StanceClassifier) -> None:
    with pytest.raises(UsageError, match="genre, actor"):
        evaluate(tiny, [Annotation(Statement(text="send"), Stance.SUPPORTIVE)], by="party")
