"""Table in → table out: every row and column kept, predictions added, nothing half-written."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stance.batch import ADDED, predict_tables
from stance.classifier import StanceClassifier
from stance.errors import UsageError

ROWS = [
    {"year": "2024", "text": 'send aid, "now"', "actor": "Mira Holt", "note": "élan"},
    {"year": "2025", "text": "aid if", "actor": "Ansel Brandt", "note": ""},
    {"year": "2026", "text": "stop", "actor": "Mira Holt", "note": "a\tb"},
]
STANCES = ["supportive", "conditional", "opposed"]
FORMATS = ["csv", "tsv", "jsonl", "parquet"]


def write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    kind = path.suffix[1:]
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif kind == "txt":
        path.write_text("".join(f"{row['text']}\n" for row in rows))
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if kind == "tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return rows
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))


def read_log(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(f"{output}.errors.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("kind_in", FORMATS)
@pytest.mark.parametrize("kind_out", FORMATS)
def test_every_format_in_and_out_keeps_rows_and_columns(
    tmp_path: Path, tiny: StanceClassifier, kind_in: str, kind_out: str
) -> None:
    output = tmp_path / f"out.{kind_out}"
    predict_tables([write(tmp_path / f"in.{kind_in}", ROWS)], output, classifier=tiny)
    rows = read(output)
    assert list(rows[0]) == [*ROWS[0], *ADDED]
    assert [{name: row[name] for name in ROWS[0]} for row in rows] == ROWS
    assert [row["stance"] for row in rows] == STANCES


@pytest.mark.parametrize("kind_out", FORMATS)
def test_lines_of_text_become_rows(tmp_path: Path, tiny: StanceClassifier, kind_out: str) -> None:
    output = tmp_path / f"out.{kind_out}"
    predict_tables([write(tmp_path / "in.txt", ROWS)], output, classifier=tiny)
    rows = read(output)
    assert list(rows[0]) == ["text", *ADDED]
    assert [(row["text"], row["stance"]) for row in rows] == [
        (row["text"], stance) for row, stance in zip(ROWS, STANCES, strict=True)
    ]


def test_the_added_columns_are_these() -> None:
    assert ADDED == (
        "stance",
        "p_supportive",
        "p_conditional",
        "p_opposed",
        "p_none",
        "abstained",
        "truncated",
        "model",
    )


def test_the_added_cells_are_the_prediction(tmp_path: Path, tiny_bundle: Path) -> None:
    clf = StanceClassifier(tiny_bundle, threads=1, min_confidence=0.9)
    texts = ["send", "stop " * 40]
    predict_tables(
        [write(tmp_path / "in.jsonl", [{"text": t} for t in texts])], tmp_path / "out.jsonl", classifier=clf
    )
    for row, expected in zip(read(tmp_path / "out.jsonl"), clf.predict(texts), strict=True):
        assert row["stance"] == expected.stance
        for label, p in expected.probabilities.items():
            assert row[f"p_{label}"] == pytest.approx(p, abs=1e-6)
        assert (row["abstained"], row["truncated"]) == (expected.abstained, expected.truncated)
        assert row["model"] == "tiny"


def test_rows_keep_their_order_over_many_chunks(tmp_path: Path, tiny: StanceClassifier) -> None:
    rows = [{"id": str(i), "text": "send " * (1 + i * 7 % 11)} for i in range(2500)]
    summary = predict_tables([write(tmp_path / "in.csv", rows)], tmp_path / "out.csv", classifier=tiny)
    assert [row["id"] for row in read(tmp_path / "out.csv")] == [row["id"] for row in rows]
    assert summary.predicted == 2500


def test_a_column_called_stance_is_kept_as_input_stance(tmp_path: Path, tiny: StanceClassifier) -> None:
    path = write(tmp_path / "in.csv", [{"stance": "FAVOR", "text": "stop", "p_none": "x"}])
    summary = predict_tables([path], tmp_path / "out.csv", classifier=tiny)
    [row] = read(tmp_path / "out.csv")
    assert list(row) == ["input_stance", "text", "input_p_none", *ADDED]
    assert (row["input_stance"], row["input_p_none"], row["stance"]) == ("FAVOR", "x", "opposed")
    assert summary.renamed == {"stance": "input_stance", "p_none": "input_p_none"}


def test_predicting_an_output_again_loses_no_column(tmp_path: Path, tiny: StanceClassifier) -> None:
    first, second, third = (tmp_path / f"{i}.csv" for i in range(3))
    predict_tables([write(tmp_path / "in.csv", ROWS)], first, classifier=tiny)
    predict_tables([first], second, classifier=tiny)
    predict_tables([second], third, classifier=tiny)
    columns = list(read(third)[0])
    assert len(columns) == len(set(columns)) == len(ROWS[0]) + 3 * len(ADDED)


@pytest.mark.parametrize(
    ("content", "line", "field", "problem"),
    [
        ("text,actor\nsend,A\n ,B\nstop,C\n", 3, "text", "empty"),
        ("text,actor\nsend,A\nif,B,extra\nstop,C\n", 3, None, "3 cells, the header has 2"),
        ('text,actor\nsend,"A\nB"\nif\nstop,C\n', 4, None, "1 cells, the header has 2"),
    ],
)
def test_a_bad_row_is_logged_with_line_and_reason_and_the_rest_done(
    tmp_path: Path, tiny: StanceClassifier, content: str, line: int, field: str | None, problem: str
) -> None:
    (tmp_path / "in.csv").write_text(content)
    output = tmp_path / "out.csv"
    summary = predict_tables([tmp_path / "in.csv"], output, classifier=tiny)
    assert [row["text"] for row in read(output)] == ["send", "stop"]
    [fault] = read_log(output)
    assert (fault["file"], fault["line"], fault["field"]) == (str(tmp_path / "in.csv"), line, field)
    assert problem in fault["problem"]
    assert (summary.predicted, summary.faults) == (2, 1)
    assert summary.errors_path == Path(f"{output}.errors.jsonl")


def test_a_byte_that_is_not_utf8_costs_only_its_row(tmp_path: Path, tiny: StanceClassifier) -> None:
    (tmp_path / "in.csv").write_bytes(b"text\nsend\nsend na\xefve\nstop\n")
    predict_tables([tmp_path / "in.csv"], tmp_path / "out.csv", classifier=tiny)
    assert [row["text"] for row in read(tmp_path / "out.csv")] == ["send", "stop"]
    [fault] = read_log(tmp_path / "out.csv")
    assert (fault["line"], fault["field"]) == (3, "text")
    assert "0xef is not UTF-8" in fault["problem"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"text": 5}', "5; expected the words"),
        ('{"text": ["send"]}', "['send']; expected the words"),
        ('{"text": null}', "empty; expected the words"),
        ('{"other": "send"}', "empty; expected the words"),
        ("[1]", "expected an object {...}, found list"),
        ("{", "not JSON"),
    ],
)
def test_a_json_line_without_words_is_logged(
    tmp_path: Path, tiny: StanceClassifier, line: str, problem: str
) -> None:
    (tmp_path / "in.jsonl").write_text(f'{{"text": "send"}}\n{line}\n{{"text": "stop"}}\n')
    predict_tables([tmp_path / "in.jsonl"], tmp_path / "out.jsonl", classifier=tiny)
    assert [row["stance"] for row in read(tmp_path / "out.jsonl")] == ["supportive", "opposed"]
    [fault] = read_log(tmp_path / "out.jsonl")
    assert fault["line"] == 2
    assert problem in fault["problem"]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_lone_surrogate_does_not_stop_the_run(tmp_path: Path, tiny: StanceClassifier, kind: str) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "send \\ud83d"}\n{"text": "stop"}\n')
    predict_tables([tmp_path / "in.jsonl"], tmp_path / f"out.{kind}", classifier=tiny)
    assert [row["stance"] for row in read(tmp_path / f"out.{kind}")] == ["supportive", "opposed"]


def test_a_clean_run_removes_the_errors_of_an_earlier_one(tmp_path: Path, tiny: StanceClassifier) -> None:
    output, source = tmp_path / "out.csv", tmp_path / "in.csv"
    source.write_text("text,actor\n,A\nsend,B\n")
    predict_tables([source], output, classifier=tiny)
    assert len(read_log(output)) == 1
    source.write_text("text,actor\nstop,A\nsend,B\n")
    summary = predict_tables([source], output, classifier=tiny)
    assert summary.errors_path is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_run_that_fails_midway_leaves_nothing(tmp_path: Path, tiny: StanceClassifier, kind: str) -> None:
    (tmp_path / "in.csv").write_text("text,actor\n,A\n" + "send,B\n" * 2000)

    def interrupt(rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_tables([tmp_path / "in.csv"], tmp_path / f"out.{kind}", classifier=tiny, on_rows=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_a_run_that_fails_keeps_the_earlier_output(tmp_path: Path, tiny: StanceClassifier) -> None:
    source, output = write(tmp_path / "in.csv", ROWS), tmp_path / "out.csv"
    predict_tables([source], output, classifier=tiny)
    before = output.read_bytes()
    with pytest.raises(UsageError):
        predict_tables([source, tmp_path / "nowhere.csv"], output, classifier=tiny)
    assert output.read_bytes() == before


@pytest.mark.parametrize("name", ["in.csv", "link.csv"])
def test_an_input_is_not_overwritten(tmp_path: Path, tiny: StanceClassifier, name: str) -> None:
    source = write(tmp_path / "in.csv", ROWS)
    (tmp_path / "link.csv").symlink_to(source)
    with pytest.raises(UsageError, match="is an input, too"):
        predict_tables([source], tmp_path / name, classifier=tiny)
    assert read(source) == ROWS


def test_inputs_with_different_columns_share_one_output(tmp_path: Path, tiny: StanceClassifier) -> None:
    first = write(tmp_path / "a.csv", [{"text": "send", "actor": "A"}])
    second = write(tmp_path / "b.jsonl", [{"year": 2024, "text": "stop"}])
    predict_tables([first, second], tmp_path / "out.csv", classifier=tiny)
    rows = read(tmp_path / "out.csv")
    assert list(rows[0]) == ["text", "actor", "year", *ADDED]
    assert [(r["text"], r["actor"], r["year"], r["stance"]) for r in rows] == [
        ("send", "A", "", "supportive"),
        ("stop", "", "2024", "opposed"),
    ]


def test_columns_may_have_other_names(tmp_path: Path, tiny: StanceClassifier) -> None:
    source = write(tmp_path / "in.csv", [{"tweet": "Kirby sends", "before": "stop", "who": "John Kirby"}])
    columns = {"text": "tweet", "context": "before", "actor": "who"}
    summary = predict_tables([source], tmp_path / "out.csv", classifier=tiny, columns=columns)
    [row] = read(tmp_path / "out.csv")
    # 4 for 'stop' in the context; the name, which would add 9, is masked
    assert row["stance"] == "opposed"
    assert float(row["p_opposed"]) < 0.96
    assert list(summary.by_actor) == ["John Kirby"]


def test_a_given_column_wins_over_the_one_called_like_the_field(
    tmp_path: Path, tiny: StanceClassifier
) -> None:
    source = write(tmp_path / "in.csv", [{"text": "stop", "quote": "send"}])
    predict_tables([source], tmp_path / "out.csv", classifier=tiny, columns={"text": "quote"})
    assert read(tmp_path / "out.csv")[0]["stance"] == "supportive"


def test_the_context_reaches_the_model(tmp_path: Path, tiny: StanceClassifier) -> None:
    source = write(tmp_path / "in.csv", [{"text": "aid", "context": c} for c in ("send", "if", "stop")])
    predict_tables([source], tmp_path / "out.csv", classifier=tiny)
    assert [row["stance"] for row in read(tmp_path / "out.csv")] == STANCES


def test_a_table_without_text_column_is_refused_with_a_suggestion(
    tmp_path: Path, tiny: StanceClassifier
) -> None:
    source = write(tmp_path / "in.csv", [{"texts": "send"}])
    with pytest.raises(UsageError, match=r"no column 'text' .*did you mean 'texts'\?.*--text-column"):
        predict_tables([source], tmp_path / "out.csv", classifier=tiny)


def test_a_given_column_that_is_not_there_is_refused_with_those_that_are(
    tmp_path: Path, tiny: StanceClassifier
) -> None:
    source = write(tmp_path / "in.csv", ROWS)
    with pytest.raises(UsageError, match="no column 'zzz' for the actor; it has: year, text, actor, note"):
        predict_tables([source], tmp_path / "out.csv", classifier=tiny, columns={"actor": "zzz"})


@pytest.mark.parametrize(
    ("content", "first"),
    [
        (b"text,actor\nsend,A\n", "text,actor,stance"),
        (b"text\tactor\nsend\tA\n", "text\tactor\tstance"),
        (b'{"text": "send", "actor": "A"}\n', '{"text": "send", "actor": "A", "stance": "supportive"'),
        (b"send aid, and soon\n", "text,stance"),
    ],
)
def test_standard_input_goes_to_standard_output_in_its_own_format(
    tiny: StanceClassifier,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
    content: bytes,
    first: str,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert predict_tables(["-"], "-", classifier=tiny).predicted == 1
    assert capsysbinary.readouterr().out.decode().startswith(first)


def test_standard_output_has_the_format_that_is_asked_for(
    tmp_path: Path, tiny: StanceClassifier, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    predict_tables([write(tmp_path / "in.csv", ROWS)], "-", classifier=tiny, output_format="parquet")
    table = pq.read_table(io.BytesIO(capsysbinary.readouterr().out))
    assert table["stance"].to_pylist() == STANCES


def test_faults_of_a_run_to_standard_output_are_in_the_summary(
    tmp_path: Path, tiny: StanceClassifier, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    (tmp_path / "in.csv").write_text("text,actor\n,A\nsend,B\n")
    summary = predict_tables([tmp_path / "in.csv"], "-", classifier=tiny)
    assert [(fault.line, fault.field) for fault in summary.first_faults] == [(2, "text")]
    assert summary.errors_path is None
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_parquet_keeps_the_types_of_its_columns(tmp_path: Path, tiny: StanceClassifier) -> None:
    table = pa.table(
        {
            "text": pa.array(["send", "stop"], pa.large_string()),
            "day": [date(2024, 5, 1), None],
            "likes": pa.array([3, None], pa.int32()),
            "tags": [["a", "b"], []],
            "stance": [1.5, 2.5],
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    predict_tables([tmp_path / "in.parquet"], tmp_path / "out.parquet", classifier=tiny)
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.select(["text", "day", "likes", "tags"]).equals(
        table.select(["text", "day", "likes", "tags"])
    )
    assert found["input_stance"].to_pylist() == [1.5, 2.5]
    assert [str(found.schema.field(name).type) for name in ADDED] == [
        "string",
        *["double"] * 4,
        *["bool"] * 2,
        "string",
    ]


def test_the_summary_counts_stances_by_actor(tmp_path: Path, tiny_bundle: Path) -> None:
    clf = StanceClassifier(tiny_bundle, threads=1, min_confidence=0.9)
    rows = [*ROWS, {**ROWS[0], "text": "send " * 60}, {**ROWS[0], "actor": "", "text": "weather"}]
    summary = predict_tables([write(tmp_path / "in.csv", rows)], tmp_path / "out.csv", classifier=clf)
    assert {actor: dict(counts) for actor, counts in summary.by_actor.items()} == {
        "Mira Holt": {"supportive": 2, "opposed": 1},
        "Ansel Brandt": {"conditional": 1},
        "": {"none": 1},
    }
    answers = clf.predict([row["text"] for row in rows])
    assert summary.abstained == sum(p.abstained for p in answers) > 0
    assert summary.truncated == 1


@pytest.mark.parametrize("kind_out", ["csv", "parquet"])
def test_a_header_alone_gives_an_empty_table_with_header(
    tmp_path: Path, tiny: StanceClassifier, kind_out: str
) -> None:
    (tmp_path / "in.csv").write_text("text,actor\n")
    output = tmp_path / f"out.{kind_out}"
    assert predict_tables([tmp_path / "in.csv"], output, classifier=tiny).predicted == 0
    if kind_out == "csv":
        assert output.read_text() == ",".join(["text", "actor", *ADDED]) + "\n"
    else:
        assert pq.read_table(output).to_pydict() == {name: [] for name in ("text", "actor", *ADDED)}


def test_progress_is_told_of_every_row(tmp_path: Path, tiny: StanceClassifier) -> None:
    source = write(tmp_path / "in.csv", ROWS * 500)
    totals: list[int] = []
    steps: list[int] = []
    predict_tables(
        [source], tmp_path / "out.csv", classifier=tiny, on_start=totals.append, on_rows=steps.append
    )
    assert totals == [sum(steps)] == [1500]
    assert len(steps) > 1
