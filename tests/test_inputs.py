"""Statement → what the model reads: masking, truncation, token arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from stance.inputs import Encoded, batch_arrays, encode, render
from stance.records import Statement

WORDS = st.text(st.sampled_from("send aid if stop weather the , . '"), max_size=200)
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=60)


def masked(text: str, actor: str) -> str:
    return render(Statement(text, actor=actor), mask_actor=True, context=True)[0]


def encode_one(tokenizer: Tokenizer, statement: Statement, max_tokens: int = 32) -> Encoded:
    [encoded] = encode(tokenizer, [statement], mask_actor=True, context=True, max_tokens=max_tokens)
    return encoded


@pytest.mark.parametrize(
    ("actor", "text", "expected"),
    [
        ("Mira Holt", "Mira Holt wants to send aid.", "the speaker wants to send aid."),
        ("Mira Holt", "We send aid, said Holt.", "We send aid, said the speaker."),
        ("John Kirby", "Mr. KIRBY: We send aid.", "the speaker: We send aid."),
        ("John Kirby", "KIRBY: We send aid.", "the speaker: We send aid."),
        ("Senator Mira Holt", "Mira Holt said no.", "the speaker said no."),
        ("Foreign Minister Mira Holt", "Foreign Minister Mira Holt said no.", "the speaker said no."),
        ("Mira Holt (D)", "Mira Holt said no.", "the speaker said no."),
        ("Mira Holt", "Holt's plan is to send aid.", "the speaker's plan is to send aid."),
        (
            "Mira Holt",
            "Holt\N{RIGHT SINGLE QUOTATION MARK}s plan.",
            "the speaker\N{RIGHT SINGLE QUOTATION MARK}s plan.",
        ),
        ("Green Party", "The Green Party sends aid.", "The the speaker sends aid."),
        ("Zoë Grün", "Gru\N{COMBINING DIAERESIS}n said no.", "the speaker said no."),
    ],
)
def test_every_form_of_the_actors_name_is_masked(actor: str, text: str, expected: str) -> None:
    assert masked(text, actor) == expected


@pytest.mark.parametrize(
    ("actor", "text"),
    [
        ("Ukrainian Government", "The Ukrainian Government asks for aid."),
        ("Volodymyr Zelenskyy", "Zelenskyy asks for aid."),
        ("Mayor of Kyiv", "The Mayor of Kyiv asks for aid."),
        ("Mayor of Kiev", "The Mayor of Kiev asks for aid."),
        ("the minister", "The minister said that the minister sends aid."),
        ("Green Party", "No Party sends aid."),
        ("Finance Minister", "The Minister sends aid."),
        ("Mira Holt", "Holtmann and Upholt send aid."),
        ("Jo Li", "Li River weather."),
        ("", "Mira Holt sends aid."),
    ],
)
def test_targets_roles_and_parts_of_words_are_not_masked(actor: str, text: str) -> None:
    assert masked(text, actor) == text


@pytest.mark.parametrize("other", ["Ansel Brandt", "Ottoline Varga", "Bo Quist-Larsen", "Zoë O'Malley"])
def test_the_name_of_the_actor_does_not_change_the_input(other: str) -> None:
    def rendered(name: str) -> tuple[str, str]:
        surname = name.split()[-1]
        text = f"{name} would stop aid; Mr. {surname.upper()}'s party would not, {surname} says."
        statement = Statement(
            text, actor=f"Senator {name} (R)", context=f"{surname} was asked about Ukraine."
        )
        return render(statement, mask_actor=True, context=True)

    assert rendered(other) == rendered("Mira Holt")


def test_the_name_stays_where_masking_is_off() -> None:
    statement = Statement("Holt sends aid.", actor="Mira Holt")
    assert render(statement, mask_actor=False, context=True) == ("Holt sends aid.", "")


def test_context_is_the_second_segment_and_masked_too() -> None:
    statement = Statement("Send aid.", actor="Mira Holt", context="Holt was asked.")
    assert render(statement, mask_actor=True, context=True) == ("Send aid.", "the speaker was asked.")


def test_context_is_left_out_where_the_model_does_not_read_it() -> None:
    statement = Statement("Send aid.", context="Stop.")
    assert render(statement, mask_actor=True, context=False) == ("Send aid.", "")


def test_white_space_becomes_single_spaces() -> None:
    assert masked("  Send\r\n\taid\N{NO-BREAK SPACE}now ", "") == "Send aid now"


def test_a_lone_surrogate_becomes_the_replacement_character() -> None:
    assert masked("send \ud83d aid", "") == "send \N{REPLACEMENT CHARACTER} aid"


@settings(max_examples=150, deadline=None)
@given(text=ANY_TEXT, actor=ANY_TEXT, context=ANY_TEXT)
def test_any_unicode_encodes_within_the_limit(
    tokenizer: Tokenizer, text: str, actor: str, context: str
) -> None:
    encoded = encode_one(tokenizer, Statement(text, actor=actor, context=context), max_tokens=8)
    assert len(encoded.ids) == len(encoded.type_ids) == min(encoded.n_tokens, 8) or encoded.truncated
    assert len(encoded.ids) <= 8


@settings(max_examples=60, deadline=None)
@given(text=WORDS, context=WORDS)
def test_an_input_that_fits_is_what_the_tokenizer_itself_encodes(
    tokenizer: Tokenizer, text: str, context: str
) -> None:
    encoded = encode_one(tokenizer, Statement(text, context=context), max_tokens=500)
    text, context = " ".join(text.split()), " ".join(context.split())
    expected = tokenizer.encode(text, context) if context else tokenizer.encode(text)
    assert encoded == Encoded(expected.ids, expected.type_ids, len(expected.ids), False)


@settings(max_examples=100, deadline=None)
@given(n_text=st.integers(0, 30), n_context=st.integers(0, 30), max_tokens=st.integers(8, 40), data=st.data())
def test_truncation_takes_the_context_first_and_then_the_end_of_the_text(
    tokenizer: Tokenizer, n_text: int, n_context: int, max_tokens: int, data: st.DataObject
) -> None:
    some = st.sampled_from(["send", "aid", "if", "stop", "weather"])
    text = data.draw(st.lists(some, min_size=n_text, max_size=n_text))
    context = data.draw(st.lists(some, min_size=n_context, max_size=n_context))
    encoded = encode_one(tokenizer, Statement(" ".join(text), context=" ".join(context)), max_tokens)

    full = len(text) + len(context) + (3 if context else 2)
    kept_text = text[: max_tokens - 2] if full > max_tokens else text
    kept_context = context[: max(max_tokens - 3 - len(text), 0)] if full > max_tokens else context
    expected = ["[CLS]", *kept_text, "[SEP]", *([*kept_context, "[SEP]"] if kept_context else [])]
    assert [tokenizer.id_to_token(i) for i in encoded.ids] == expected
    assert encoded.n_tokens == full
    assert encoded.truncated == (full > max_tokens)
    assert len(encoded.ids) <= max_tokens


def test_an_input_of_exactly_the_limit_is_not_truncated(tokenizer: Tokenizer) -> None:
    encoded = encode_one(tokenizer, Statement("send aid stop", context="if weather if"), max_tokens=9)
    assert (len(encoded.ids), encoded.n_tokens, encoded.truncated) == (9, 9, False)


def test_many_statements_are_encoded_as_each_alone(tokenizer: Tokenizer) -> None:
    statements = [Statement("send", context="if"), Statement("stop aid"), Statement("", context="weather")]
    together = encode(tokenizer, statements, mask_actor=True, context=True, max_tokens=32)
    assert together == [encode_one(tokenizer, statement) for statement in statements]


def test_arrays_are_padded_at_the_end_to_the_longest_input() -> None:
    batch = [Encoded([2, 4, 3], [0, 0, 0], 3, False), Encoded([2, 5, 3, 6, 3], [0, 0, 0, 1, 1], 5, False)]
    arrays = batch_arrays(batch, pad_id=7, names=["input_ids", "attention_mask", "token_type_ids"])
    assert {name: array.tolist() for name, array in arrays.items()} == {
        "input_ids": [[2, 4, 3, 7, 7], [2, 5, 3, 6, 3]],
        "attention_mask": [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]],
        "token_type_ids": [[0, 0, 0, 0, 0], [0, 0, 0, 1, 1]],
    }
    assert all(array.dtype == np.int64 for array in arrays.values())


def test_only_the_arrays_that_the_graph_declares_are_made() -> None:
    arrays = batch_arrays([Encoded([2, 3], [0, 0], 2, False)], pad_id=0, names=["input_ids"])
    assert list(arrays) == ["input_ids"]
