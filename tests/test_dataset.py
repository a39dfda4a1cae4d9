"""Dataset: splits leak nothing and repeat with their seed; near-duplicates are found; faults are carried."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stance.annotations import read_annotations
from stance.annotations.tabular import COLUMNS, annotation_cells
from stance.config import DataConfig, SourceConfig
from stance.dataset import Gold, leakage_groups, load_gold, near_duplicates, split
from stance.errors import DataError, UsageError
from stance.records import LABELS, Annotation, Stance, Statement
from stance.tables import open_writer

ROOT = Path(__file__).parent.parent
SHARES = (0.4, 0.3, 0.2, 0.1)


def text(seed: int) -> str:
    """Twenty words that no other text shares a 3-shingle with."""
    return " ".join(f"w{seed}x{i}" for i in range(20))


def edited(original: str) -> str:
    """The same text with one word of twenty changed: 17 of 19 shingles are in both."""
    words = original.split()
    words[-1] = "otherwise"
    return " ".join(words)


def items(n: int, stances: tuple[Stance, ...] = LABELS) -> list[Annotation]:
    """Different statements whose labels take turns."""
    return [Annotation(Statement(text(i), id=f"s{i}"), stances[i % len(stances)]) for i in range(n)]


def ids(annotations: list[Annotation]) -> list[str]:
    return [annotation.statement.id for annotation in annotations]


def save(path: Path, annotations: list[Annotation]) -> SourceConfig:
    with open_writer(path, COLUMNS) as writer:
        writer.write([annotation_cells(annotation) for annotation in annotations])
    return SourceConfig(path=str(path))


# near-duplicates


def test_edited_copies_are_near_duplicates_and_different_texts_are_not() -> None:
    texts = [text(0), text(1), edited(text(0)), text(2), text(1).upper() + "!"]
    assert sorted(near_duplicates(texts, threshold=0.7)) == [(0, 2), (1, 4)]


def test_real_statements_are_near_duplicates_of_their_edited_copies_only() -> None:
    path = ROOT / "data" / "statements" / "natural.jsonl"
    texts = [a.statement.text for a in read_annotations(path).annotations]
    chosen = random.Random(0).sample([t for t in texts if len(t.split()) >= 25], 40)
    copies = [f"{t} Thank you." for t in chosen]
    assert sorted(near_duplicates([*chosen, *copies], threshold=0.7)) == [(i, 40 + i) for i in range(40)]


def test_threshold_says_how_alike_near_duplicates_are() -> None:
    words = text(0).split()
    half = " ".join([*words[:14], *text(1).split()[:6]])  # 12 of 24 shingles
    assert near_duplicates([text(0), half], threshold=0.3) == [(0, 1)]
    assert near_duplicates([text(0), half], threshold=0.9) == []


def test_texts_shorter_than_a_shingle_are_compared_as_a_whole() -> None:
    assert near_duplicates(["No.", "Never again.", "no", "Yes."], threshold=0.7) == [(0, 2)]


def test_the_largest_threshold_that_a_configuration_allows_works() -> None:
    limit = DataConfig.model_json_schema()["properties"]["near_duplicate"]["maximum"]
    assert near_duplicates([text(0), text(0), text(1)], threshold=limit) == [(0, 1)]


def test_lone_surrogate_does_not_stop_the_comparison() -> None:
    assert near_duplicates(["a b c \ud83d", "a b c \ud83d"], threshold=0.7) == [(0, 1)]


# groups


def test_articles_groups_and_near_duplicates_chain_into_one_group() -> None:
    statements = [
        Statement(text(0), article_id="a1"),
        Statement(text(1), article_id="a1", group="g1"),
        Statement(text(2), group="g1"),
        Statement(edited(text(2))),
        Statement(text(3)),
        Statement(text(4), article_id="g1"),
    ]
    groups = leakage_groups([Annotation(s, Stance.NONE) for s in statements], threshold=0.7).tolist()
    assert groups[:4] == [groups[0]] * 4
    assert len({groups[0], groups[4], groups[5]}) == 3


# splits


def shares_nothing(
    train: list[Annotation], validation: list[Annotation], key: Callable[[Statement], str]
) -> bool:
    return not {key(a.statement) for a in train} & {key(a.statement) for a in validation}


@pytest.fixture(scope="module")
def tangled() -> list[Annotation]:
    """Items of 40 articles, 40 contrast groups and 40 pairs of near-duplicates, in a random order."""
    made = items(200)
    for i in range(40):
        made[i] = replace(made[i], statement=replace(made[i].statement, article_id=f"a{i // 2}"))
        made[40 + i] = replace(made[40 + i], statement=replace(made[40 + i].statement, group=f"g{i // 2}"))
        twin = made[80 + i].statement
        made[120 + i] = replace(made[120 + i], statement=replace(twin, id=f"twin{i}", text=edited(twin.text)))
    random.Random(0).shuffle(made)
    return made


@pytest.mark.parametrize("seed", range(3))
def test_split_leaks_no_article_group_or_near_duplicate(tangled: list[Annotation], seed: int) -> None:
    train, validation = split(tangled, fraction=0.2, seed=seed, threshold=0.7)
    assert shares_nothing(train, validation, lambda s: s.article_id or s.id)
    assert shares_nothing(train, validation, lambda s: s.group or s.id)
    both = [a.statement.text for a in (*train, *validation)]
    pairs = near_duplicates(both, threshold=0.7)
    assert len(pairs) == 40
    assert [(i, j) for i, j in pairs if (i < len(train)) != (j < len(train))] == []


def test_split_keeps_every_item_once_and_in_order(tangled: list[Annotation]) -> None:
    train, validation = split(tangled, fraction=0.2, seed=1, threshold=0.7)
    assert sorted(ids(train) + ids(validation)) == sorted(ids(tangled))
    for part in (train, validation):
        assert ids(part) == [name for name in ids(tangled) if name in set(ids(part))]


def test_the_same_seed_gives_the_same_split(tangled: list[Annotation]) -> None:
    first, second = (split(tangled, fraction=0.2, seed=7, threshold=0.7) for _ in range(2))
    assert first == second


def test_another_seed_gives_another_split(tangled: list[Annotation]) -> None:
    held = [ids(split(tangled, fraction=0.2, seed=seed, threshold=0.7)[1]) for seed in (1, 2)]
    assert held[0] != held[1]


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.25])
def test_split_is_stratified_and_of_about_the_size_that_was_asked_for(fraction: float) -> None:
    counts = [round(share * 400) for share in SHARES]
    stances = [label for label, count in zip(LABELS, counts, strict=True) for _ in range(count)]
    made = [Annotation(Statement(text(i), id=str(i)), stance) for i, stance in enumerate(stances)]
    _, validation = split(made, fraction=fraction, seed=3, threshold=0.7)
    assert len(validation) == pytest.approx(400 * fraction, rel=0.1)
    found = Counter(a.stance for a in validation)
    assert [found[label] / len(validation) for label in LABELS] == pytest.approx(SHARES, abs=0.03)


@pytest.mark.parametrize("n", [10, 11, 13])
def test_few_items_are_split_without_a_warning(n: int) -> None:
    train, validation = split(items(n), fraction=0.1, seed=0, threshold=0.7)
    assert train
    assert validation


def test_few_articles_still_give_a_validation_part() -> None:
    made = [
        replace(a, statement=replace(a.statement, article_id=f"a{i % 3}")) for i, a in enumerate(items(60))
    ]
    train, validation = split(made, fraction=0.1, seed=0, threshold=0.7)
    assert {a.statement.article_id for a in train} | {a.statement.article_id for a in validation} == {
        "a0",
        "a1",
        "a2",
    }
    assert len({a.statement.article_id for a in validation}) == 1


def test_items_that_all_belong_together_cannot_be_split() -> None:
    made = [replace(a, statement=replace(a.statement, article_id="a1")) for a in items(20)]
    with pytest.raises(DataError, match=r"none can be held out; name files under data\.validation"):
        split(made, fraction=0.1, seed=0, threshold=0.7)


# gold


def test_gold_is_read_settled_and_split(tmp_path: Path) -> None:
    source = save(tmp_path / "a.csv", items(40))
    gold = load_gold(DataConfig(train=[source], validation_fraction=0.25), seed=1)
    assert sorted(ids(gold.train) + ids(gold.validation)) == sorted(ids(items(40)))
    assert gold.faults == []


def test_gold_of_the_same_seed_is_the_same(tmp_path: Path) -> None:
    config = DataConfig(train=[save(tmp_path / "a.csv", items(40)).model_copy(update={"sample": 30})])
    assert load_gold(config, seed=1) == load_gold(config, seed=1)


def test_files_are_put_together_in_the_order_of_the_configuration(tmp_path: Path) -> None:
    made = items(30)
    sources = [save(tmp_path / "b.csv", made[:10]), save(tmp_path / "a.jsonl", made[10:20])]
    validation = [save(tmp_path / "c.parquet", made[20:])]
    gold = load_gold(DataConfig(train=sources, validation=validation), seed=1)
    assert ids(gold.train) == ids(made[:20])
    assert ids(gold.validation) == ids(made[20:])


def test_a_file_of_its_own_for_validation_needs_no_ten_statements(tmp_path: Path) -> None:
    config = DataConfig(
        train=[save(tmp_path / "a.csv", items(2))], validation=[save(tmp_path / "b.csv", items(1))]
    )
    gold = load_gold(config, seed=1)
    assert (len(gold.train), len(gold.validation)) == (2, 1)


def test_bad_rows_and_ties_are_faults_of_the_gold(tmp_path: Path) -> None:
    save(tmp_path / "a.csv", items(12))
    with (tmp_path / "a.csv").open("a", encoding="utf-8") as file:
        file.write("short\n")
    path = tmp_path / "b.csv"
    path.write_text("text,stance,annotator,second\nyes,none,kim,opposed\nno,opposed,kim,opposed\nx,pro,,\n")
    config = DataConfig(
        train=[SourceConfig(path=str(tmp_path / "a.csv"))], validation=[SourceConfig(path=str(path))]
    )
    gold = load_gold(config, seed=1)
    places = [(Path(fault.file).name, fault.line, fault.field) for fault in gold.faults]
    assert places == [("a.csv", 14, None), ("b.csv", 4, "stance"), ("b.csv", 2, "stance")]
    assert gold.faults[2].problem == "annotators are tied (kim: none, second: opposed)"
    assert [a.statement.text for a in gold.validation] == ["no"]


def test_too_few_statements_are_a_data_error_that_lists_the_faults(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    save(path, items(9))
    with path.open("a", encoding="utf-8") as file:
        file.write("short\n")
    with pytest.raises(DataError) as caught:
        load_gold(DataConfig(train=[SourceConfig(path=str(path))]), seed=1)
    first, second = str(caught.value).splitlines()
    assert first == "only 9 usable statements; training needs at least 10"
    assert second.startswith(f"  {path}:11: 1 cells, the header has {len(COLUMNS)}")


def test_empty_validation_file_is_a_data_error(tmp_path: Path) -> None:
    config = DataConfig(
        train=[save(tmp_path / "a.csv", items(12))], validation=[save(tmp_path / "b.csv", [])]
    )
    with pytest.raises(DataError, match="12 statements to train on, 0 to validate on: need both"):
        load_gold(config, seed=1)


def test_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    config = DataConfig(train=[SourceConfig(path=str(tmp_path / "none.csv"))])
    with pytest.raises(UsageError, match=r"cannot read .*none\.csv"):
        load_gold(config, seed=1)


# sample


def sampled(path: Path, n: int, seed: int) -> list[str]:
    source = save(path, items(50)).model_copy(update={"sample": n})
    validation = [save(path.with_name("validation.csv"), items(1))]
    return ids(load_gold(DataConfig(train=[source], validation=validation), seed=seed).train)


def test_sample_takes_so_many_statements_in_the_order_of_the_file(tmp_path: Path) -> None:
    taken = sampled(tmp_path / "a.csv", 20, seed=1)
    assert len(taken) == 20
    assert taken == [name for name in ids(items(50)) if name in set(taken)]


def test_sample_depends_on_the_seed_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    assert sampled(path, 20, seed=1) == sampled(path, 20, seed=1) != sampled(path, 20, seed=2)


def test_sample_larger_than_the_file_takes_all(tmp_path: Path) -> None:
    assert sampled(tmp_path / "a.csv", 51, seed=1) == ids(items(50))


# datasets


def test_datasets_hold_the_statement_its_stance_and_the_index_of_its_label() -> None:
    statement = Statement("yes", "s1", "A", "before", "a1", "2024", "src", "speech", "g1")
    splits = Gold([Annotation(statement, Stance.OPPOSED)], items(2), []).to_datasets()
    assert splits["train"][0] == {
        "id": "s1",
        "text": "yes",
        "actor": "A",
        "context": "before",
        "article_id": "a1",
        "date": "2024",
        "source": "src",
        "genre": "speech",
        "group": "g1",
        "stance": "opposed",
        "label": 2,
    }
    assert splits["validation"]["label"][:] == [0, 1]


def test_adjudicated_corpus_of_the_repository_splits_by_article() -> None:
    folder = ROOT / "data"
    source = SourceConfig(
        path=str(folder / "annotations" / "articles" / "annotations.jsonl"), corpus=str(folder / "articles")
    )
    gold = load_gold(DataConfig(train=[source]), seed=13)
    assert shares_nothing(gold.train, gold.validation, lambda s: s.article_id)
    assert len({a.statement.article_id for a in (*gold.train, *gold.validation)}) == 4
    assert gold.faults == []
