"""Labels by checksum: written without a word of text, joined again to the right texts only."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stance.agreement import adjudicate, by_item
from stance.annotations import Source, read_annotations
from stance.annotations.hashed import resolve, text_sha256, write_hashed
from stance.cli import app
from stance.errors import UsageError
from stance.records import Annotation, Stance, Statement

PUBLIC = Path("data/annotations/public.jsonl")
TEXTS = ("Not one more shell.", "We will pay,  \n as long as it takes.", "The vote is on Monday.")


def _items() -> list[list[Annotation]]:
    statements = [
        Statement(text=t, id=f"s{i}", actor="Mira Holt", source="a paper") for i, t in enumerate(TEXTS)
    ]
    first = [Stance.OPPOSED, Stance.SUPPORTIVE, Stance.NONE]
    second = [Stance.OPPOSED, Stance.SUPPORTIVE, Stance.SUPPORTIVE]
    pairs = zip(statements, first, second, strict=True)
    return [
        [Annotation(s, one, certainty=2), Annotation(s, two, annotator="second")] for s, one, two in pairs
    ]


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.jsonl"
    write_hashed(path, _items())
    return path


def _texts(tmp_path: Path, rows: list[dict[str, str]]) -> Source:
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return Source(path)


def test_no_word_of_the_texts_is_written(labels: Path) -> None:
    written = labels.read_text(encoding="utf-8")
    assert not any(word in written for word in ("shell", "takes", "Monday"))
    assert json.loads(written.splitlines()[1])["sha256"] == (
        hashlib.sha256(b"We will pay, as long as it takes.").hexdigest()
    )


def test_every_label_comes_back_whatever_the_white_space_and_the_ids(tmp_path: Path, labels: Path) -> None:
    rows = [{"id": f"other {i}", "text": f" {' '.join(t.split())} "} for i, t in enumerate(TEXTS)]
    result = resolve(labels, [_texts(tmp_path, rows)])
    assert result.found == 3
    assert [(a.stance, a.annotator, a.certainty) for a in result.annotations] == [
        (a.stance, a.annotator or "first", a.certainty) for item in _items() for a in item
    ]
    assert {a.statement.actor for a in result.annotations} == {"Mira Holt"}
    assert [a.statement.id for a in result.annotations[::2]] == ["s0", "s1", "s2"]


def test_one_text_in_two_contexts_is_told_apart_by_its_id(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    items = [
        [Annotation(Statement(text="Yes.", id=name), stance)]
        for name, stance in (("a", Stance.OPPOSED), ("b", Stance.NONE))
    ]
    write_hashed(path, items)
    rows = [
        {"id": "b", "text": "Yes.", "context": "Is it late?"},
        {"id": "a", "text": "Yes.", "context": "Stop?"},
    ]
    result = resolve(path, [_texts(tmp_path, rows)])
    assert [a.statement.context for a in result.annotations] == ["Stop?", "Is it late?"]


def test_labels_of_annotators_without_a_name_are_all_kept_and_notes_are_not(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    statement = Statement(text="Yes.", actor="\ud800")
    write_hashed(path, [[Annotation(statement, s, note="says yes") for s in (Stance.OPPOSED, Stance.NONE)]])
    labels = json.loads(path.read_text(encoding="utf-8"))["labels"]
    assert labels == {"first": {"stance": "opposed"}, "second": {"stance": "none"}}


def test_a_text_that_differs_is_refused_and_a_missing_one_counted(tmp_path: Path, labels: Path) -> None:
    result = resolve(
        labels, [_texts(tmp_path, [{"id": "s0", "text": "One more shell."}, {"id": "x", "text": TEXTS[1]}])]
    )
    assert result.found == 1
    assert [(fault.line, fault.field) for fault in result.faults] == [(1, "sha256")]
    assert "'s0'" in result.faults[0].problem
    assert dict(result.missing) == {"a paper": 1}


def test_a_damaged_line_is_reported_and_the_others_joined(tmp_path: Path, labels: Path) -> None:
    good = labels.read_text(encoding="utf-8")
    labels.write_text(good.replace(text_sha256(TEXTS[0]), "abc", 1) + "{broken\n", encoding="utf-8")
    result = resolve(labels, [_texts(tmp_path, [{"text": t} for t in TEXTS])])
    assert [(fault.line, fault.field) for fault in result.faults] == [(1, "sha256"), (4, None)]
    assert result.found == 2


def test_reading_the_labels_without_texts_says_what_to_do(labels: Path) -> None:
    with pytest.raises(UsageError, match="annotations resolve"):
        read_annotations(labels)


def test_the_commands_are_each_others_inverse(tmp_path: Path) -> None:
    table, hashed, back = (tmp_path / name for name in ("in.jsonl", "hashed.jsonl", "back.csv"))
    rows = [{"text": t, "stance": "none", "second": "opposed"} for t in TEXTS]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    runner = CliRunner()
    assert runner.invoke(app, ["annotations", "hash", str(table), "-o", str(hashed)]).exit_code == 0
    told = runner.invoke(app, ["annotations", "resolve", str(hashed), "--texts", str(table), "-o", str(back)])
    assert told.exit_code == 0
    assert "3 items found, 6 labels written" in told.stderr
    labels = [(a.statement.text, a.stance) for a in read_annotations(back).annotations]
    assert labels == [(t.strip(), s) for t in TEXTS for s in (Stance.NONE, Stance.OPPOSED)]


def test_the_command_names_missing_sources_and_fails_on_differing_texts(tmp_path: Path, labels: Path) -> None:
    source = _texts(tmp_path, [{"id": "s0", "text": "One more shell."}])
    told = CliRunner().invoke(
        app,
        ["annotations", "resolve", str(labels), "--texts", str(source.path), "-o", str(tmp_path / "o.csv")],
    )
    assert told.exit_code == 1
    assert "2 items have no text in these files" in told.stderr
    assert "a paper" in told.stderr
    assert "labels.jsonl:1: sha256:" in told.stderr


def test_the_shipped_labels_are_well_formed_and_hold_no_text() -> None:
    rows = [json.loads(line) for line in PUBLIC.read_text(encoding="utf-8").splitlines()]
    assert len({row["sha256"] for row in rows}) == len(rows)
    assert {key for row in rows for key in row} <= {
        *("id", "sha256", "source", "genre", "date", "actor", "labels")
    }
    assert {key for row in rows for label in row["labels"].values() for key in label} <= {
        "stance",
        "certainty",
    }


def test_the_shipped_labels_agree_as_the_datasheet_says() -> None:
    rows = [json.loads(line) for line in PUBLIC.read_text(encoding="utf-8").splitlines()]
    items = [
        [
            Annotation(Statement(text=row["sha256"]), Stance(label["stance"]), annotator=name)
            for name, label in row["labels"].items()
        ]
        for row in rows
    ]
    both = [item for item in items if len(item) == 2]
    agreed = sum(len({a.stance for a in item}) == 1 for item in both) / len(both)
    told = Path("data/README.md").read_text(encoding="utf-8")
    assert f"{len(rows):,}" in told
    assert f"{agreed:.1%}".replace("%", " %") in told
    assert by_item([a for item in items for a in item]) == items
    assert len(adjudicate([a for item in both for a in item]).ties) == round((1 - agreed) * len(both))
