"""Table in, table out: columns, order, bad rows and what is left behind."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from stance.batch import ADDED, predict_tables
from stance.classifier import StanceClassifier
from stance.errors import UsageError


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_columns_and_rows_are_kept_and_an_input_stance_is_renamed(
    tiny: StanceClassifier, tmp_path: Path
) -> None:
    source, output = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("note,text,stance\nfirst,send,opposed\nsecond,stop,none\n", encoding="utf-8")
    predict_tables([source], output, classifier=tiny)
    rows = _read(output)
    assert list(rows[0]) == ["note", "text", "input_stance", *ADDED]
    assert [(row["note"], row["input_stance"]) for row in rows] == [("first", "opposed"), ("second", "none")]
    assert [row["stance"] for row in rows] == [p.stance for p in tiny.predict(["send", "stop"])]


def test_bad_rows_are_logged_and_the_others_answered(tiny: StanceClassifier, tmp_path: Path) -> None:
    source, output = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("text,id\nsend,1\none,two,three\n,3\nstop,4\n", encoding="utf-8")
    summary = predict_tables([source], output, classifier=tiny)
    faults = [json.loads(line) for line in Path(f"{output}.errors.jsonl").read_text().splitlines()]
    assert [row["id"] for row in _read(output)] == ["1", "4"]
    assert [fault["line"] for fault in faults] == [3, 4]
    assert (summary.predicted, summary.faults) == (2, 2)


def test_a_clean_run_removes_the_error_file_of_an_earlier_one(tiny: StanceClassifier, tmp_path: Path) -> None:
    source, output = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text("send\n", encoding="utf-8")
    stale = Path(f"{output}.errors.jsonl")
    stale.write_text("{}\n")
    predict_tables([source], output, classifier=tiny)
    assert not stale.exists()


def test_the_output_may_not_be_an_input(tiny: StanceClassifier, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("text\nsend\n", encoding="utf-8")
    with pytest.raises(UsageError, match="is an input, too"):
        predict_tables([source], source, classifier=tiny)
    assert source.read_text() == "text\nsend\n"


def test_a_failure_midway_leaves_no_file(tiny: StanceClassifier, tmp_path: Path) -> None:
    source, output = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("text\nsend\n", encoding="utf-8")

    def fail(rows: int) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        predict_tables([source], output, classifier=tiny, on_rows=fail)
    assert list(tmp_path.iterdir()) == [source]


def test_the_summary_counts_stances_by_actor(tiny: StanceClassifier, tmp_path: Path) -> None:
    source, output = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("text,who\nsend,A\nsend,A\nstop,B\n", encoding="utf-8")
    summary = predict_tables([source], output, classifier=tiny, columns={"actor": "who"})
    assert {actor: counts.total() for actor, counts in summary.by_actor.items()} == {"A": 2, "B": 1}
