"""The classifier on a model whose answers are known; see the table in conftest.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stance.bundle import find_bundle, sha256
from stance.calibration import probabilities
from stance.classifier import StanceClassifier
from stance.config import InputConfig
from stance.errors import BundleError, DataError, UsageError
from stance.records import LABELS, Prediction, Stance, Statement

MakeBundle = Callable[..., Path]

# Lengths from 1 to 60 words, in no order, so that batches mix and pad.
RNG = np.random.default_rng(5)
MIXED = [
    " ".join(RNG.choice(["send", "aid", "if", "stop", "weather", "the"], size=n))
    for n in RNG.integers(1, 60, size=75)
]


def rows(predictions: list[Prediction]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([[p.probabilities[label] for label in LABELS] for p in predictions])


@pytest.mark.parametrize(
    ("text", "stance"),
    [
        ("Send aid!", Stance.SUPPORTIVE),
        ("Aid if", Stance.CONDITIONAL),
        ("Stop the aid", Stance.OPPOSED),
        ("The weather", Stance.NONE),
    ],
)
def test_the_models_four_outputs_are_the_four_stances(
    tiny: StanceClassifier, text: str, stance: Stance
) -> None:
    assert [p.stance for p in tiny.predict([text])] == [stance]


def test_one_text_gives_a_list_of_one(tiny: StanceClassifier) -> None:
    assert tiny.predict("send aid") == tiny.predict(["send aid"])


def test_one_statement_gives_a_list_of_one(tiny: StanceClassifier) -> None:
    statement = Statement("send aid", actor="Mira Holt")
    assert [p.statement for p in tiny.predict(statement)] == [statement]


def test_nothing_gives_an_empty_list(tiny: StanceClassifier) -> None:
    assert tiny.predict([]) == []


def test_texts_and_statements_may_be_mixed(tiny: StanceClassifier) -> None:
    first, second = tiny.predict(["send aid", Statement("send aid")])
    assert first == second


@pytest.mark.parametrize("batch_size", [1, 7, 32])
def test_order_is_kept_over_mixed_lengths(tiny_bundle: Path, batch_size: int) -> None:
    clf = StanceClassifier(tiny_bundle, batch_size=batch_size, threads=1)
    assert [p.statement.text for p in clf.predict(MIXED)] == MIXED


@pytest.mark.parametrize("batch_size", [1, 7, 32])
def test_answers_do_not_depend_on_the_batch(tiny_bundle: Path, batch_size: int) -> None:
    clf = StanceClassifier(tiny_bundle, batch_size=batch_size, threads=1)
    alone = [clf.predict(text)[0] for text in MIXED]
    together = clf.predict(MIXED)
    assert [p.stance for p in together] == [p.stance for p in alone]
    np.testing.assert_allclose(rows(together), rows(alone), atol=1e-6)


def test_probabilities_sum_to_one(tiny: StanceClassifier) -> None:
    np.testing.assert_allclose(rows(tiny.predict(MIXED)).sum(axis=1), 1.0, atol=1e-12)


def test_the_answer_is_the_most_probable_stance(tiny: StanceClassifier) -> None:
    for prediction in tiny.predict(MIXED):
        assert prediction.confidence == max(prediction.probabilities.values())


def test_probabilities_are_the_softmax_of_logits_by_temperature(
    tmp_path: Path, make_bundle: MakeBundle
) -> None:
    clf = StanceClassifier(make_bundle(tmp_path / "warm", temperature=2.5), threads=1)
    logits = clf.logits([Statement("send if")])
    np.testing.assert_allclose(logits, [[3.0, 5.5, 0.0, 0.0]], atol=1e-6)
    expected = np.exp(np.array([3.0, 5.5, 0.0, 0.0]) / 2.5)
    np.testing.assert_allclose(rows(clf.predict("send if"))[0], expected / expected.sum(), atol=1e-6)


def test_softmax_of_large_logits_does_not_overflow() -> None:
    found = probabilities(np.array([[1e4, 0.0, -1e4, 1e4]], dtype=np.float32), 1.0)
    np.testing.assert_allclose(found, [[0.5, 0.0, 0.0, 0.5]])


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_an_empty_text_is_refused_by_its_index(tiny: StanceClassifier, text: str) -> None:
    with pytest.raises(DataError, match="statement 2: empty text"):
        tiny.predict(["send", "stop", text])


def test_the_index_in_a_stream_counts_from_its_start(tiny: StanceClassifier) -> None:
    stream = tiny.predict_iter("send" if i != 1500 else " " for i in count())
    assert len(list(islice(stream, 1024))) == 1024
    with pytest.raises(DataError, match="statement 1500: empty text"):
        next(stream)


@pytest.mark.parametrize("item", [None, 7, b"send", ["send"], {"text": "send"}])
def test_an_item_of_another_type_is_refused_by_its_index(tiny: StanceClassifier, item: Any) -> None:
    with pytest.raises(
        DataError, match=f"statement 1: expected a str or a Statement, not {type(item).__name__}"
    ):
        tiny.predict(["send", item])


def test_a_stream_is_read_as_it_is_asked_for(tiny: StanceClassifier) -> None:
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield "send aid"

    stream = tiny.predict_iter(endless())
    assert taken == 0
    next(stream)
    assert 0 < taken <= 2048


def test_a_stream_gives_what_a_list_gives(tiny: StanceClassifier) -> None:
    texts = MIXED * 15  # more than one chunk
    assert list(tiny.predict_iter(iter(texts))) == tiny.predict(texts)


def test_several_threads_may_share_a_classifier(tiny: StanceClassifier) -> None:
    expected = tiny.predict(MIXED)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: tiny.predict(MIXED), range(12)))
    assert all(answer == expected for answer in answers)


def test_below_min_confidence_it_abstains_and_still_says_the_top_stance(tiny_bundle: Path) -> None:
    clf = StanceClassifier(tiny_bundle, min_confidence=0.9, threads=1)
    sure, unsure = clf.predict(["stop", "send"])
    assert (sure.stance, sure.abstained) == (Stance.OPPOSED, False)
    assert (unsure.stance, unsure.abstained) == (Stance.SUPPORTIVE, True)


def test_min_confidence_of_the_bundle_is_the_default(tmp_path: Path, make_bundle: MakeBundle) -> None:
    bundle = make_bundle(tmp_path / "strict", min_confidence=0.999)
    assert StanceClassifier(bundle, threads=1).predict("send")[0].abstained
    assert not StanceClassifier(bundle, threads=1, min_confidence=0.0).predict("send")[0].abstained


def test_three_way_shares_the_probability_of_none(tiny_bundle: Path) -> None:
    clf = StanceClassifier(tiny_bundle, three_way=True, threads=1)
    [four], [three] = (
        StanceClassifier(tiny_bundle, threads=1).predict("weather aid"),
        clf.predict("weather aid"),
    )
    assert (four.stance, three.stance) == (Stance.NONE, Stance.SUPPORTIVE)
    assert three.probabilities[Stance.NONE] == 0.0
    rest = 1 - four.probabilities[Stance.NONE]
    for label in LABELS[:3]:
        assert three.probabilities[label] == pytest.approx(four.probabilities[label] / rest, abs=1e-6)


def test_three_way_never_answers_none(tiny_bundle: Path) -> None:
    predictions = StanceClassifier(tiny_bundle, three_way=True, threads=1).predict(MIXED)
    assert Stance.NONE not in {p.stance for p in predictions}
    np.testing.assert_allclose(rows(predictions).sum(axis=1), 1.0, atol=1e-12)


def test_a_long_text_is_cut_and_says_so(tiny: StanceClassifier) -> None:
    [prediction] = tiny.predict("send " * 30 + "stop " * 30)
    assert (prediction.stance, prediction.truncated, prediction.n_tokens) == (Stance.SUPPORTIVE, True, 62)


def test_a_short_text_is_not_cut(tiny: StanceClassifier) -> None:
    [prediction] = tiny.predict("send aid")
    assert (prediction.truncated, prediction.n_tokens) == (False, 4)


def test_context_counts(tiny: StanceClassifier) -> None:
    assert tiny.predict(Statement("aid", context="stop"))[0].stance is Stance.OPPOSED


def test_a_bundle_without_context_does_not_read_it(tmp_path: Path, make_bundle: MakeBundle) -> None:
    bundle = make_bundle(tmp_path / "text_only", inputs=InputConfig(context=False))
    statement = Statement("send", context="stop stop stop")
    assert StanceClassifier(bundle, threads=1).predict(statement)[0].stance is Stance.SUPPORTIVE


def test_the_name_of_the_actor_does_not_count(tiny: StanceClassifier) -> None:
    text = "Kirby would send aid"
    assert tiny.predict(text)[0].stance is Stance.OPPOSED
    assert tiny.predict(Statement(text, actor="John Kirby"))[0].stance is Stance.SUPPORTIVE


def test_predictions_carry_the_models_name(tiny: StanceClassifier) -> None:
    assert tiny.predict("send")[0].model == tiny.name == "tiny"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"threads": 0}, "threads must be at least 1, not 0"),
        ({"min_confidence": 1.5}, r"min_confidence must lie between 0 and 1, not 1\.5"),
        ({"min_confidence": float("nan")}, "min_confidence must lie between 0 and 1, not nan"),
    ],
)
def test_an_argument_out_of_range_is_refused(
    tiny_bundle: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        StanceClassifier(tiny_bundle, **options)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_file_that_is_no_model_is_refused_by_its_name(
    tmp_path: Path, make_bundle: MakeBundle, name: str
) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    before = sha256(bundle / name)
    (bundle / name).write_bytes(b"junk")
    manifest = (bundle / "stance.json").read_text()
    (bundle / "stance.json").write_text(manifest.replace(before, sha256(bundle / name)))
    with pytest.raises(BundleError, match=name):
        StanceClassifier(bundle, threads=1)


def test_the_shipped_model_knows_the_three_stances() -> None:
    try:
        bundle = find_bundle("default")
    except UsageError:
        pytest.skip("this checkout holds no shipped model yet")
    texts = [
        "We will send Ukraine more air defence this month.",
        "We will send Ukraine more only if Kyiv first passes the anti-corruption reforms.",
        "Not one more shell for Kyiv; we must stop all aid to Ukraine.",
    ]
    predictions = StanceClassifier(bundle, threads=1).predict(texts)
    assert [p.stance for p in predictions] == [Stance.SUPPORTIVE, Stance.CONDITIONAL, Stance.OPPOSED]
