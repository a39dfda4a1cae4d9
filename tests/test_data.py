"""The data of the repository: schemas, labels, no leaks between files, agreement, verified offsets."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from stance.agreement import ADJUDICATED, cohen_kappa
from stance.annotations import Reading, Source, read_annotations
from stance.annotations.standoff import Unit
from stance.bundle import sha256
from stance.dataset import near_duplicates
from stance.records import LABELS

ROOT = Path(__file__).parent.parent
DATA = ROOT / "data"
ARTICLES = DATA / "articles"
STATEMENTS = {
    "natural": (4994, {"id", "text", "actor", "register", "stance"}),
    "messy": (800, {"id", "text", "actor", "register", "stance"}),
    "contrast": (420, {"id", "text", "context", "actor", "register", "group", "stance"}),
    "indirect": (420, {"id", "text", "context", "actor", "register", "group", "stance"}),
    "hard": (1800, {"id", "text", "actor", "register", "group", "tags", "stance"}),
}
"""Number of rows and keys of each file of training statements."""
REGISTERS = {
    "act",
    "analysis",
    "bare_quote",
    "briefing",
    "communique",
    "debate",
    "headline",
    "interview",
    "news",
    "post",
    "press_release",
    "quote",
    "reported",
    "speech",
}
ANNOTATED = ["articles", "seed"]
UNIT_KEYS = {
    "id",
    "article",
    "sha256",
    "spans",
    "context",
    "kind",
    "actor",
    "actor_span",
    "cue",
    "labels",
}
LABEL_KEYS = {"stance", "certainty"}


@cache
def statements(name: str) -> list[dict[str, Any]]:
    lines = (DATA / "statements" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@cache
def units(name: str) -> list[dict[str, Any]]:
    lines = (DATA / "annotations" / name / "annotations.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def corpus_of(name: str) -> Path:
    """The folder of the annotated articles; those of the seed are not in the repository."""
    if name == "articles":
        return ARTICLES
    folder = Path(os.environ.get("STANCE_CORPUS") or ROOT.parent / "shared" / "corpus")
    if not folder.is_dir():
        pytest.skip(f"the seed's articles are not here ({folder}); set STANCE_CORPUS to their folder")
    return folder


@cache
def reading(name: str) -> Reading:
    path = DATA / "annotations" / name / "annotations.jsonl"
    return read_annotations(Source(path, corpus=corpus_of(name)))


def normal(text: str) -> str:
    """The words of a text, so that quotation marks, case and line ends make no difference."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def n_grams(text: str, n: int) -> Iterator[str]:
    words = normal(text).split()
    for i in range(len(words) - n + 1):
        yield " ".join(words[i : i + n])


# training statements


def test_there_are_no_other_files_of_statements() -> None:
    assert {path.stem for path in (DATA / "statements").glob("*.jsonl")} == set(STATEMENTS)


@pytest.mark.parametrize("name", STATEMENTS)
def test_file_has_its_number_of_rows(name: str) -> None:
    assert len(statements(name)) == STATEMENTS[name][0]


@pytest.mark.parametrize("name", STATEMENTS)
def test_rows_have_the_keys_of_their_file(name: str) -> None:
    assert {frozenset(row) for row in statements(name)} == {frozenset(STATEMENTS[name][1])}


@pytest.mark.parametrize("name", STATEMENTS)
def test_cells_are_words_without_blanks_around(name: str) -> None:
    cells = [
        (row["id"], key, row[key])
        for row in statements(name)
        for key in ("id", "text", "actor", "register", "stance")
    ]
    assert [cell for cell in cells if not isinstance(cell[2], str) or cell[2] != cell[2].strip()] == []
    assert [cell for cell in cells if cell[2] == ""] == []


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_label_is_valid_and_in_use(name: str) -> None:
    assert {row["stance"] for row in statements(name)} == {label.value for label in LABELS}


@pytest.mark.parametrize("name", STATEMENTS)
def test_labels_are_balanced_within_a_factor_of_two(name: str) -> None:
    counts = Counter(row["stance"] for row in statements(name))
    assert max(counts.values()) < 2 * min(counts.values())


@pytest.mark.parametrize("name", STATEMENTS)
def test_registers_are_of_the_known_ones(name: str) -> None:
    assert {row["register"] for row in statements(name)} <= REGISTERS


@pytest.mark.parametrize("name", STATEMENTS)
def test_file_is_read_without_a_fault(name: str) -> None:
    found = read_annotations(DATA / "statements" / f"{name}.jsonl")
    assert found.faults == []
    assert [(a.statement.id, a.stance.value) for a in found.annotations] == [
        (row["id"], row["stance"]) for row in statements(name)
    ]


def test_ids_are_unique_over_all_files() -> None:
    counts = Counter(row["id"] for name in STATEMENTS for row in statements(name))
    assert [name for name, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("name", ["contrast", "indirect", "hard"])
def test_contrast_groups_hold_different_labels(name: str) -> None:
    groups: dict[str, set[str]] = {}
    for row in statements(name):
        if row["group"]:
            groups.setdefault(row["group"], set()).add(row["stance"])
    assert groups
    assert [group for group, stances in groups.items() if len(stances) < 2] == []


def test_tags_are_lists_of_words() -> None:
    tags = [row["tags"] for row in statements("hard")]
    assert all(isinstance(listed, list) for listed in tags)
    assert [tag for listed in tags for tag in listed if not re.fullmatch(r"[A-Za-z0-9_-]+", tag)] == []


def test_near_duplicates_stand_only_within_a_contrast_group() -> None:
    rows = [(name, row) for name in STATEMENTS for row in statements(name)]
    pairs = near_duplicates([row["text"] for _, row in rows], threshold=0.7)
    across = [
        (rows[i][1]["id"], rows[j][1]["id"])
        for i, j in pairs
        if not rows[i][1].get("group") or rows[i][1]["group"] != rows[j][1].get("group")
    ]
    assert across == []


@pytest.mark.parametrize("corpus", ANNOTATED)
def test_no_training_statement_holds_an_annotated_one(corpus: str) -> None:
    annotated = {normal(a.statement.text) for a in reading(corpus).annotations}
    pattern = re.compile("|".join(rf"\b{re.escape(text)}\b" for text in annotated))
    found = [
        row["id"] for name in STATEMENTS for row in statements(name) if pattern.search(normal(row["text"]))
    ]
    assert found == []


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_training_statement_shares_eight_words_with_an_article(name: str) -> None:
    ours = {gram for path in ARTICLES.glob("*.txt") for gram in n_grams(path.read_text("utf-8"), 8)}
    assert len(ours) > 1000
    assert [row["id"] for row in statements(name) if not ours.isdisjoint(n_grams(row["text"], 8))] == []


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_training_statement_shares_twelve_words_with_the_seed_corpus(name: str) -> None:
    # real politicians' stock phrases reach nine ("make sure that Ukraine has what it needs to")
    texts = [path.read_text("utf-8") for path in corpus_of("seed").glob("*.txt")]
    theirs = {gram for text in texts for gram in n_grams(text, 12)}
    assert theirs
    assert [row["id"] for row in statements(name) if not theirs.isdisjoint(n_grams(row["text"], 12))] == []


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_training_statement_repeats_a_real_one_that_is_measured_on(name: str) -> None:
    path = ROOT.parent / "shared" / "eval" / "real_statements.jsonl"
    if not path.is_file():
        pytest.skip("the real statements are not here")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    theirs = {gram for row in rows for gram in n_grams(f"{row['text']} {row['context']}", 5)}
    for row in statements(name):
        ours = set(n_grams(row["text"], 5))
        # as near as stock phrases bring them ("stand with Ukraine for as long as it takes")
        assert len(ours & theirs) <= 0.4 * len(ours) or len(ours) < 12, row["id"]


# annotations


@pytest.mark.parametrize("name", ANNOTATED)
def test_lines_are_valid_units(name: str) -> None:
    assert [Unit.model_validate(unit).id for unit in units(name)] == [unit["id"] for unit in units(name)]


@pytest.mark.parametrize("name", ANNOTATED)
def test_units_hold_offsets_and_no_text(name: str) -> None:
    assert {key for unit in units(name) for key in unit} <= UNIT_KEYS
    assert {key for unit in units(name) for label in unit["labels"].values() for key in label} <= LABEL_KEYS
    # what words there are, are names and kinds, never a sentence
    assert max(len(unit[key].split()) for unit in units(name) for key in ("id", "kind", "actor")) <= 8


@pytest.mark.parametrize("name", ANNOTATED)
def test_unit_ids_are_unique(name: str) -> None:
    counts = Counter(unit["id"] for unit in units(name))
    assert [unit for unit, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("name", ANNOTATED)
def test_both_annotators_and_the_adjudicator_labelled_every_unit(name: str) -> None:
    assert {frozenset(unit["labels"]) for unit in units(name)} == {frozenset({"a", "b", ADJUDICATED})}


@pytest.mark.parametrize("name", ANNOTATED)
def test_adjudicated_label_is_the_one_both_annotators_gave(name: str) -> None:
    stances = [
        (unit["id"], *(unit["labels"][by]["stance"] for by in ("a", "b", ADJUDICATED)))
        for unit in units(name)
    ]
    assert [unit for unit, a, b, settled in stances if a == b and settled != a] == []


@pytest.mark.parametrize("name", ANNOTATED)
def test_articles_are_those_that_were_annotated(name: str) -> None:
    folder = corpus_of(name)
    recorded = {unit["article"]: unit["sha256"] for unit in units(name)}
    assert {article: sha256(folder / article) for article in recorded} == recorded


def test_every_article_of_the_repository_is_annotated() -> None:
    assert {unit["article"] for unit in units("articles")} == {path.name for path in ARTICLES.glob("*")}


@pytest.mark.parametrize("name", ANNOTATED)
def test_annotations_are_read_without_a_fault(name: str) -> None:
    assert reading(name).faults == []
    assert len(reading(name).annotations) == 3 * len(units(name))


@pytest.mark.parametrize("name", ANNOTATED)
def test_spans_neither_begin_nor_end_on_whitespace(name: str) -> None:
    folder = corpus_of(name)
    texts = {unit["article"]: (folder / unit["article"]).read_bytes().decode() for unit in units(name)}
    pieces = [
        (unit["id"], key, texts[unit["article"]][start:end])
        for unit in units(name)
        for key in ("spans", "context", "actor_span", "cue")
        for start, end in (unit["spans"] if key == "spans" else [unit[key]] if unit.get(key) else [])
    ]
    assert [piece for piece in pieces if piece[2] != piece[2].strip()] == []


@pytest.mark.parametrize("name", ANNOTATED)
def test_annotators_agree_beyond_chance(name: str) -> None:
    [pair] = cohen_kappa(reading(name).annotations)
    assert {pair.first, pair.second} == {"a", "b"}
    assert pair.n_items == len(units(name))
    assert pair.kappa >= 0.8
