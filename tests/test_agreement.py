"""Agreement: kappa equals scikit-learn's and a worked example; adjudication settles one label an item."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from stance.agreement import ADJUDICATED, PairAgreement, adjudicate, by_item, cohen_kappa
from stance.errors import UsageError
from stance.records import Annotation, Stance, Statement

S = Stance


def labels(annotator: str, stances: Sequence[Stance | None]) -> list[Annotation]:
    """One annotator's labels of the items 0, 1, …; none where it is ``None``."""
    return [
        Annotation(Statement(f"text {i}", id=str(i)), stance, annotator=annotator)
        for i, stance in enumerate(stances)
        if stance is not None
    ]


def test_kappa_of_a_worked_example() -> None:
    # Cohen's table [[20, 5], [10, 15]]: agreed 35/50, by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5
    one = [S.SUPPORTIVE] * 25 + [S.OPPOSED] * 25
    two = [S.SUPPORTIVE] * 20 + [S.OPPOSED] * 5 + [S.SUPPORTIVE] * 10 + [S.OPPOSED] * 15
    [pair] = cohen_kappa([*labels("a", one), *labels("b", two)])
    assert (pair.first, pair.second, pair.n_items, pair.agreed) == ("a", "b", 50, 0.7)
    assert pair.kappa == pytest.approx(0.4)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(Stance), st.sampled_from(Stance)), min_size=2, max_size=30),
    st.randoms(use_true_random=False),
)
def test_kappa_equals_scikit_learn_in_any_order(pairs: list[tuple[Stance, Stance]], random: Random) -> None:
    one, two = [a for a, _ in pairs], [b for _, b in pairs]
    assume(len({*one, *two}) > 1)
    given_in_any_order = [*labels("a", one), *labels("b", two)]
    random.shuffle(given_in_any_order)
    [pair] = cohen_kappa(given_in_any_order)
    assert pair.kappa == pytest.approx(cohen_kappa_score([s.value for s in one], [s.value for s in two]))


def test_kappa_is_one_where_both_gave_one_label_throughout() -> None:
    [pair] = cohen_kappa([*labels("a", [S.NONE] * 3), *labels("b", [S.NONE] * 3)])
    assert pair == PairAgreement("a", "b", n_items=3, agreed=1.0, kappa=1.0)


def test_kappa_is_zero_where_both_gave_a_label_of_their_own_throughout() -> None:
    [pair] = cohen_kappa([*labels("a", [S.NONE] * 3), *labels("b", [S.OPPOSED] * 3)])
    assert (pair.agreed, pair.kappa) == (0.0, 0.0)


def test_adjudicator_is_no_annotator() -> None:
    one = labels("a", [S.NONE, S.OPPOSED])
    two = labels("b", [S.NONE, S.NONE])
    settled = labels(ADJUDICATED, [S.NONE, S.OPPOSED])
    assert cohen_kappa([*settled, *one, *two]) == cohen_kappa([*one, *two])


def test_only_items_that_both_labelled_count() -> None:
    one = labels("a", [S.NONE, S.OPPOSED, S.OPPOSED])
    two = labels("b", [S.NONE, S.OPPOSED, None])
    [pair] = cohen_kappa([*one, *two])
    assert (pair.n_items, pair.agreed, pair.kappa) == (2, 1.0, 1.0)


def test_three_annotators_are_three_pairs() -> None:
    stances = [S.NONE, S.OPPOSED]
    pairs = cohen_kappa([*labels("a", stances), *labels("b", stances), *labels("c", stances)])
    assert [(pair.first, pair.second) for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]


def test_pair_without_a_common_item_is_left_out() -> None:
    one, two = labels("a", [S.NONE, S.OPPOSED]), labels("b", [S.NONE, None])
    three = labels("c", [None, S.OPPOSED])
    pairs = cohen_kappa([*one, *two, *three])
    assert [(pair.first, pair.second) for pair in pairs] == [("a", "b"), ("a", "c")]


def test_annotator_without_a_name_is_called_the_first() -> None:
    [pair] = cohen_kappa([*labels("", [S.NONE]), *labels("second", [S.NONE])])
    assert (pair.first, pair.second) == ("first", "second")


@pytest.mark.parametrize("settled", [[], labels(ADJUDICATED, [S.NONE])])
def test_agreement_of_one_annotator_is_a_usage_error(settled: list[Annotation]) -> None:
    with pytest.raises(UsageError, match="no two annotators labelled the same item"):
        cohen_kappa([*labels("a", [S.NONE]), *settled])


def test_items_without_ids_are_told_apart_by_their_text() -> None:
    one, two = Statement("one"), Statement("two")
    annotations = [Annotation(one, S.NONE), Annotation(two, S.NONE), Annotation(one, S.OPPOSED)]
    assert [[a.stance for a in item] for item in by_item(annotations)] == [[S.NONE, S.OPPOSED], [S.NONE]]


def test_majority_settles_an_item() -> None:
    votes = [*labels("a", [S.NONE]), *labels("b", [S.OPPOSED]), *labels("c", [S.OPPOSED])]
    gold = adjudicate(votes)
    assert gold.annotations == [votes[1]]
    assert gold.ties == []


def test_tie_is_listed_and_gets_no_label() -> None:
    votes = [*labels("a", [S.NONE, S.OPPOSED]), *labels("b", [S.OPPOSED, S.OPPOSED])]
    gold = adjudicate(votes)
    assert gold.ties == [[votes[0], votes[2]]]
    assert gold.annotations == [votes[1]]


def test_adjudicated_label_wins_over_the_majority_and_over_a_tie() -> None:
    votes = [*labels("a", [S.NONE, S.NONE]), *labels("b", [S.NONE, S.OPPOSED])]
    settled = labels(ADJUDICATED, [S.CONDITIONAL, S.OPPOSED])
    gold = adjudicate([*votes, *settled])
    assert gold.annotations == settled
    assert gold.ties == []


def test_gold_keeps_the_order_in_which_items_first_appear() -> None:
    annotations = labels("a", [S.NONE, S.OPPOSED, S.SUPPORTIVE])[::-1]
    assert [a.statement.id for a in adjudicate(annotations).annotations] == ["2", "1", "0"]
