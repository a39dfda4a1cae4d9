"""Soft labels: kept without text, mixed with the annotators' own, made by averaging teachers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from stance.baselines import ngram_probabilities
from stance.classifier import StanceClassifier
from stance.cli import app
from stance.config import DataConfig, DistillationConfig, SourceConfig
from stance.dataset import Gold, load_gold, one_hot
from stance.distillation import lessons, read_soft_labels, statement_key, write_soft_labels
from stance.errors import DataError, Fault, UsageError
from stance.records import Annotation, Stance, Statement
from stance.teaching import teach

SHARES = np.array([[0.5, 0.25, 0.125, 0.125], [0.0, 0.0, 0.0, 1.0]], dtype=np.float32)


def _annotation(text: str, stance: Stance = Stance.SUPPORTIVE, context: str = "") -> Annotation:
    return Annotation(Statement(text=text, context=context), stance)


def _soft(tmp_path: Path, *texts: str) -> Path:
    path = tmp_path / "soft.parquet"
    write_soft_labels(path, [Statement(text=t) for t in texts], SHARES[: len(texts)], teachers=["one", "two"])
    return path


def test_soft_labels_come_back_and_hold_no_text(tmp_path: Path) -> None:
    path = _soft(tmp_path, "Send  aid.", "The weather.")
    read = read_soft_labels(path)
    np.testing.assert_allclose(read[statement_key(Statement(text=" Send aid. "))], SHARES[0], atol=1e-3)
    assert b"aid" not in path.read_bytes()
    assert pq.read_schema(path).metadata[b"teachers"] == b"one, two"


def test_a_context_makes_another_statement(tmp_path: Path) -> None:
    one, other = Statement(text="a b"), Statement(text="a", context="b")
    assert statement_key(one) != statement_key(other)


def test_a_teachers_label_is_mixed_in_at_its_weight(tmp_path: Path) -> None:
    gold = Gold([_annotation("Send aid."), _annotation("Stop.", Stance.OPPOSED)], [_annotation("x")], [])
    config = DistillationConfig(soft_labels=str(_soft(tmp_path, "Send aid.")), weight=0.25)
    learnt = lessons(gold, config, [])
    expected = np.array([[0.875, 0.0625, 0.03125, 0.03125], [0.0, 0.0, 1.0, 0.0]])
    np.testing.assert_allclose(learnt.targets, expected, atol=1e-3)


def test_unlabelled_statements_with_a_soft_label_are_added_but_none_of_the_validation(tmp_path: Path) -> None:
    table = tmp_path / "more.csv"
    table.write_text('text\nSend aid.\nThe weather.\nnever taught\n""\n', encoding="utf-8")
    config = DistillationConfig(
        soft_labels=str(_soft(tmp_path, "Send aid.", "The weather.")),
        unlabelled=[SourceConfig(path=str(table))],
    )
    faults: list[Fault] = []
    learnt = lessons(Gold([_annotation("x")], [_annotation("Send aid.")], []), config, faults)
    assert [s.text for s in learnt.statements] == ["x", "The weather."]
    np.testing.assert_allclose(learnt.targets[1], SHARES[1], atol=1e-3)


def test_a_statement_beside_a_held_out_one_is_not_learnt_from(tmp_path: Path) -> None:
    table = tmp_path / "more.csv"
    table.write_text("text,context\nThe weather.,Held  out.\n", encoding="utf-8")
    path = tmp_path / "soft.parquet"
    taught = [Statement(text="The weather.", context="Held out."), Statement(text="x")]
    write_soft_labels(path, taught, SHARES, teachers=["one"])
    config = DistillationConfig(soft_labels=str(path), unlabelled=[SourceConfig(path=str(table))])
    for held, learnt in (("Held out.", ["x"]), ("Another.", ["x", "The weather."])):
        found = lessons(Gold([_annotation("x")], [_annotation(held)], []), config, [])
        assert [s.text for s in found.statements] == learnt


def test_a_sample_of_the_unlabelled_is_taken_and_an_unknown_column_refused(tmp_path: Path) -> None:
    table = tmp_path / "more.csv"
    table.write_text("text\nSend aid.\nThe weather.\n", encoding="utf-8")
    soft = str(_soft(tmp_path, "Send aid.", "The weather."))
    one = DistillationConfig(soft_labels=soft, unlabelled=[SourceConfig(path=str(table), sample=1)])
    gold = Gold([_annotation("x")], [_annotation("y")], [])
    assert len(lessons(gold, one, []).statements) == 2
    wrong = SourceConfig(path=str(table), columns={"contxt": "text"})
    with pytest.raises(UsageError, match="no field 'contxt'"):
        lessons(gold, DistillationConfig(soft_labels=soft, unlabelled=[wrong]), [])


def test_soft_labels_that_are_no_shares_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "soft.parquet"
    write_soft_labels(path, [Statement(text="x")], np.array([[np.nan, 0, 0, 1]], np.float32), teachers=["a"])
    with pytest.raises(DataError, match="row 0"):
        read_soft_labels(path)


def test_a_label_of_another_file_is_not_taken_for_a_tie(tmp_path: Path) -> None:
    two, one = tmp_path / "two.jsonl", tmp_path / "one.jsonl"
    texts = [f"Number {i} of a long list of words." for i in range(30)]
    two.write_text(
        "".join(json.dumps({"text": t, "stance": "none", "second": "opposed"}) + "\n" for t in texts)
    )
    one.write_text("".join(json.dumps({"text": t, "stance": "supportive"}) + "\n" for t in texts))
    sources = [SourceConfig(path=str(path)) for path in (two, one)]
    gold = load_gold(DataConfig(train=sources, ties="share", near_duplicate=0.95), seed=1)
    rows = {tuple(row) for row, item in zip(gold.targets(), gold.train, strict=True) if item.file == str(one)}
    assert rows == {(1.0, 0.0, 0.0, 0.0)}


def test_soft_labels_of_other_statements_are_refused(tmp_path: Path) -> None:
    config = DistillationConfig(soft_labels=str(_soft(tmp_path, "Send aid.")))
    with pytest.raises(DataError, match="none of the statements"):
        lessons(Gold([_annotation("x")], [_annotation("y")], []), config, [])


def test_what_is_no_file_of_soft_labels_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no\.parquet"):
        read_soft_labels(tmp_path / "no.parquet")
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"no parquet at all")
    with pytest.raises(DataError, match=r"broken\.parquet"):
        read_soft_labels(broken)


def test_ties_are_trained_on_in_shares_and_never_validate(tmp_path: Path) -> None:
    rows = [
        {"text": f"We decided on number {i} of the {word} list.", "stance": "none", "second": second}
        for i in range(40)
        for word, second in (("long", "none"), ("short", "opposed" if i % 4 == 0 else "none"))
    ]
    table = tmp_path / "two.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    source = [SourceConfig(path=str(table))]
    dropped = load_gold(DataConfig(train=source, near_duplicate=0.95), seed=1)
    assert len(dropped.faults) == 10
    shared = load_gold(DataConfig(train=source, near_duplicate=0.95, ties="share"), seed=1)
    assert shared.faults == []
    targets = shared.targets()
    assert len(targets) == len(shared.train) > len(dropped.train)
    ties = [tuple(row) for row in targets if row.max() < 1]
    assert set(ties) == {(0.0, 0.0, 0.5, 0.5)}
    np.testing.assert_array_equal(one_hot(shared.validation).sum(axis=1), 1)
    tied = {row["text"] for row in rows if row["second"] == "opposed"}
    assert not tied & {item.statement.text for item in shared.validation}


def test_the_average_of_teachers_is_written(
    tmp_path: Path, tiny: StanceClassifier, tiny_bundle: Path, make_bundle: Callable[..., Path]
) -> None:
    warm = StanceClassifier(make_bundle(tmp_path / "warm", name="warm", temperature=4.0), threads=1)
    statements = [Statement(text="send"), Statement(text="stop if"), Statement(text="send")]
    path = tmp_path / "soft.parquet"
    assert teach([tiny, warm], statements, path) == 2
    soft = read_soft_labels(path)
    for statement in statements:
        answers = [list(c.predict(statement)[0].probabilities.values()) for c in (tiny, warm)]
        np.testing.assert_allclose(soft[statement_key(statement)], np.mean(answers, axis=0), atol=1e-3)


def test_nothing_to_teach_is_refused(tmp_path: Path, tiny: StanceClassifier) -> None:
    with pytest.raises(DataError, match="no statement"):
        teach([tiny], [Statement(text=" ")], tmp_path / "soft.parquet")
    with pytest.raises(DataError, match="no teacher"):
        teach([], [Statement(text="send")], tmp_path / "soft.parquet")
    assert not (tmp_path / "soft.parquet").exists()


def test_the_command_reads_tables_and_reports_rows_without_text(tmp_path: Path, tiny_bundle: Path) -> None:
    table, out = tmp_path / "in.csv", tmp_path / "soft.parquet"
    table.write_text('text,n\nsend aid,1\n"",2\n', encoding="utf-8")
    told = CliRunner().invoke(app, ["teach", str(table), "-m", str(tiny_bundle), "-o", str(out)])
    assert told.exit_code == 1
    assert "soft labels of 1 statements" in told.stderr
    assert "in.csv:3: text: empty" in told.stderr
    assert len(read_soft_labels(out)) == 1


def test_ngrams_answer_training_statements_out_of_fold() -> None:
    words = {Stance.SUPPORTIVE: "send weapons now", Stance.OPPOSED: "stop paying them"}
    train = [_annotation(f"{text} {i}", stance) for i in range(20) for stance, text in words.items()] + [
        _annotation("send weapons now 99", Stance.OPPOSED)
    ]
    shares = ngram_probabilities(
        train, [Statement(text="send weapons now 99"), Statement(text="stop paying them all")], seed=1
    )
    # a model that had seen the first with its odd label would lean to it
    assert shares[0, Stance.SUPPORTIVE.position] > 0.8
    assert shares[1, Stance.OPPOSED.position] > 0.8
    np.testing.assert_allclose(shares.sum(axis=1), 1)


def test_copies_of_a_text_do_not_answer_for_each_other() -> None:
    words = {Stance.SUPPORTIVE: "send weapons now", Stance.OPPOSED: "stop paying them"}
    train = [_annotation(f"{text} {i}", stance) for i in range(20) for stance, text in words.items()]
    train += [_annotation("send weapons  now 99", Stance.OPPOSED)] * 5
    shares = ngram_probabilities(train, [Statement(text="send weapons now 99")], seed=1)
    assert shares[0, Stance.SUPPORTIVE.position] > 0.8


def test_ngrams_without_two_labels_are_refused() -> None:
    with pytest.raises(DataError, match="labels to learn from"):
        ngram_probabilities([_annotation("send")], [Statement(text="send")], seed=1)
