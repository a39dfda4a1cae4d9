"""The nouns of the package: frozen records that all other modules pass on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Stance(StrEnum):
    """Stance of one statement towards giving aid to Ukraine (see ``data/guideline.md``).

    The order of the members is the order of every model's outputs.
    """

    SUPPORTIVE = "supportive"
    CONDITIONAL = "conditional"
    OPPOSED = "opposed"
    NONE = "none"

    @property
    def position(self) -> int:
        """Position of this label in a model's outputs."""
        return LABELS.index(self)


LABELS: tuple[Stance, ...] = tuple(Stance)

Span = tuple[int, int]
"""Start and end of a piece of text, in characters (code points), end exclusive."""


@dataclass(frozen=True, slots=True)
class Article:
    """A document with the statements of one or more actors."""

    id: str
    text: str
    title: str = ""
    date: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """What one actor says, or is reported to say, decide or do as policy.

    ``spans``, ``kind``, ``cue`` and ``actor_as_written`` are known only where the
    statement was cut from an article: ``spans`` are character offsets into its text.
    """

    text: str
    id: str = ""
    actor: str = ""
    context: str = ""
    article_id: str = ""
    date: str = ""
    source: str = ""
    genre: str = ""
    group: str = ""
    spans: tuple[Span, ...] = ()
    kind: str = ""
    cue: str = ""
    actor_as_written: str = ""


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotator's label of one statement, and the line it was read from.

    ``certainty`` runs from 1 (a guess) to 3 (sure); ``None`` where it was not recorded.
    """

    statement: Statement
    stance: Stance
    annotator: str = ""
    certainty: int | None = None
    time: str = ""
    note: str = ""
    file: str = ""
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says of one statement.

    ``stance`` is the label with the highest probability, also where the model
    abstains. ``probabilities`` has one entry a label and sums to 1. ``n_tokens``
    counts the whole input with its special tokens, before anything is cut;
    ``truncated`` says that something was.
    """

    statement: Statement
    stance: Stance
    probabilities: Mapping[Stance, float]
    abstained: bool
    truncated: bool
    n_tokens: int
    model: str

    @property
    def confidence(self) -> float:
        """Probability of the answered label."""
        return self.probabilities[self.stance]
