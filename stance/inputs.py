"""Statement → the text a model sees → token arrays; the same in training and prediction.

A model reads the statement's text as first segment and its sentence of context, if
any, as second. By default the actor's name is masked in both, so that the words
decide and not the name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stance.records import Statement

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

MASK = "the speaker"

# Names that hold the target of the stance: masking them would hide what is asked about.
_TARGET = re.compile(r"\b(?:ukrain|kyiv|kiev|zelensk)", re.IGNORECASE)
_HONORIFIC = re.compile(
    r"^(?:(?:mr|mrs|ms|dr|sen|rep|senator|congressman|congresswoman|president|vice|prime|minister|chancellor|"
    r"secretary|general|speaker|sir|lord|lady|baroness|chairman|ambassador|foreign|defence|defense)\.?\s+)+",
    re.IGNORECASE,
)
# Last words of institutions and roles; alone they would mask too much.
_COMMON = frozenset(
    {
        "alliance",
        "allies",
        "army",
        "assembly",
        "bank",
        "bloc",
        "bundestag",
        "chamber",
        "chief",
        "coalition",
        "commission",
        "committee",
        "company",
        "congress",
        "correspondent",
        "council",
        "democrats",
        "department",
        "duma",
        "envoy",
        "federation",
        "force",
        "forces",
        "foundation",
        "government",
        "group",
        "house",
        "institute",
        "lawmakers",
        "leader",
        "leadership",
        "member",
        "members",
        "minister",
        "ministers",
        "ministry",
        "mission",
        "movement",
        "nations",
        "office",
        "official",
        "officials",
        "opposition",
        "organisation",
        "organization",
        "parliament",
        "party",
        "pentagon",
        "president",
        "republic",
        "republicans",
        "secretary",
        "senate",
        "senator",
        "sources",
        "spokesman",
        "spokesperson",
        "spokeswoman",
        "states",
        "treasury",
        "union",
    }
)


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of one input (at most the model's limit), their segments, and what was cut."""

    ids: list[int]
    type_ids: list[int]
    n_tokens: int
    truncated: bool


def render(statement: Statement, *, mask_actor: bool, context: bool) -> tuple[str, str]:
    """The two segments a model reads: the text, and the context or an empty string."""
    text = _clean(statement.text)
    second = _clean(statement.context) if context else ""
    if mask_actor and statement.actor:
        pattern = _names(statement.actor)
        if pattern is not None:
            text, second = pattern.sub(MASK, text), pattern.sub(MASK, second)
    return text, second


def _clean(text: str) -> str:
    """NFC text with single spaces; lone surrogates, which have no UTF-8 form, become U+FFFD."""
    text = " ".join(text.split())
    if not text.isascii():
        text = (
            unicodedata.normalize("NFC", text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        )
    return text


@lru_cache(maxsize=4096)
def _names(actor: str) -> re.Pattern[str] | None:
    """What to mask for an actor: the full name, the name without titles, the surname."""
    full = " ".join(re.sub(r"\([^()]*\)", " ", actor).split())
    if not full or _TARGET.search(full) or len(full) > 200:
        return None
    bare = _HONORIFIC.sub("", full)
    names = {name for name in (full, bare) if name[:1].isupper()}
    last = bare.split()[-1] if bare else ""
    if len(last) > 2 and last[0].isupper() and last.lower().strip(".") not in _COMMON:
        names.add(last)
    if not names:
        return None
    forms = {form for name in names for form in (name, name.upper(), name.title())}
    alternatives = "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
    title = r"(?:(?:Mr|Mrs|Ms|MR|MRS|MS|Sen|Rep)\.? )?"
    return re.compile(rf"(?<!\w){title}(?:{alternatives})(?!\w)")


def bare(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer without padding and truncation of its own, which would reach every input.

    A ``tokenizer.json`` may bring both; `encode` cuts, and `batch_arrays` pads.
    """
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def encode(
    tokenizer: Tokenizer, statements: Sequence[Statement], *, mask_actor: bool, context: bool, max_tokens: int
) -> list[Encoded]:
    """Tokens of statements, each at most `max_tokens` long, special tokens counted; see `bare`.

    What is too long loses its context first, then the end of its text.
    """
    segments = [render(s, mask_actor=mask_actor, context=context) for s in statements]
    texts = tokenizer.encode_batch([text for text, _ in segments], add_special_tokens=False)
    seconds: dict[int, Encoding] = {}
    with_context = [i for i, (_, second) in enumerate(segments) if second]
    if with_context:
        encoded = tokenizer.encode_batch([segments[i][1] for i in with_context], add_special_tokens=False)
        seconds = dict(zip(with_context, encoded, strict=True))
    return [_join(tokenizer, text, seconds.get(i), max_tokens) for i, text in enumerate(texts)]


def _join(tokenizer: Tokenizer, text: Encoding, second: Encoding | None, max_tokens: int) -> Encoded:
    length, second_length = len(text), len(second) if second is not None else 0
    full = length + second_length + tokenizer.num_special_tokens_to_add(second_length > 0)
    if full > max_tokens:
        single = max_tokens - tokenizer.num_special_tokens_to_add(False)
        room = max_tokens - tokenizer.num_special_tokens_to_add(True) - length
        text.truncate(min(length, single))
        if second is not None and room > 0:
            second.truncate(min(second_length, room))
        else:
            second = None
    joined = tokenizer.post_process(text, second, True)
    return Encoded(joined.ids, joined.type_ids, full, full > max_tokens)


def batch_arrays(batch: Sequence[Encoded], *, pad_id: int, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The arrays a graph declares, each int64 of shape (batch, longest), padded at the end."""
    width = max(len(item.ids) for item in batch)
    arrays = {name: np.zeros((len(batch), width), dtype=np.int64) for name in names}
    for row, item in enumerate(batch):
        length = len(item.ids)
        for name, array in arrays.items():
            if name == "input_ids":
                array[row, :length] = item.ids
                array[row, length:] = pad_id
            elif name == "attention_mask":
                array[row, :length] = 1
            elif name == "token_type_ids":
                array[row, :length] = item.type_ids
    return arrays
