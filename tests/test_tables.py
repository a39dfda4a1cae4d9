"""Tables: read(write(x)) = x, every bad row a fault at its line, files that appear whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stance import tables
from stance.errors import Fault, StanceError, UsageError
from stance.tables import Row, columns_of, count_rows, format_of, open_writer, read_rows, sniff_format

WRITABLE = ["csv", "tsv", "jsonl", "parquet"]
READABLE = [*WRITABLE, "text"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples of a property."""
    return tmp_path_factory.mktemp("tables")


def save(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rows_of(path: Path, given: str = "auto") -> list[tuple[int, dict[str, Any]]]:
    return [(row.line, row.cells) for row in read_rows(path, given) if isinstance(row, Row)]


def faults_of(path: Path, given: str = "auto") -> list[tuple[int | None, str]]:
    return [(row.line, row.problem) for row in read_rows(path, given) if isinstance(row, Fault)]


def write(path: Path, columns: list[str], rows: list[dict[str, Any]], **options: Any) -> None:
    with open_writer(path, columns, **options) as writer:
        writer.write(rows)


# round trip

TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(" ,;\t\"'\n\r\0\ufeff\u2028\x85"))


@pytest.mark.parametrize("kind", WRITABLE)
@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.fixed_dictionaries({"text": TEXT, "actor": TEXT}), max_size=5))
@example(rows=[{"text": "a\rb", "actor": "\r"}])
@example(rows=[{"text": "", "actor": ""}, {"text": "\0", "actor": '"'}])
@example(rows=[{"text": 'He said "no",\r\nthen left;\t\u00e9\U0001f1fa\U0001f1e6', "actor": "'"}])
def test_read_of_write_gives_the_same_rows(folder: Path, kind: str, rows: list[dict[str, str]]) -> None:
    path = folder / f"round.{kind}"
    write(path, ["text", "actor"], rows)
    assert [cells for _, cells in rows_of(path)] == rows
    assert faults_of(path) == []


@pytest.mark.parametrize("kind", WRITABLE)
@settings(max_examples=40, deadline=None)
@given(texts=st.lists(TEXT, min_size=1, max_size=4))
def test_read_of_write_gives_a_single_column(folder: Path, kind: str, texts: list[str]) -> None:
    # an empty line would be no row, so the only cell of a row has to be quoted where it is empty
    path = folder / f"single.{kind}"
    write(path, ["text"], [{"text": text} for text in texts])
    assert [cells["text"] for _, cells in rows_of(path)] == texts


@settings(max_examples=60, deadline=None)
@given(
    cells=st.dictionaries(
        st.text(max_size=5),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
            lambda inner: st.lists(inner, max_size=3),
            max_leaves=4,
        ),
        max_size=4,
    )
)
def test_jsonl_keeps_every_json_value(folder: Path, cells: dict[str, Any]) -> None:
    path = folder / "values.jsonl"
    write(path, list(cells), [cells])
    assert rows_of(path) == [(1, cells)]


def test_parquet_keeps_typed_columns(tmp_path: Path) -> None:
    path = tmp_path / "typed.parquet"
    row = {"text": "a", "p": 0.25, "abstained": False, "n": None}
    types = {"p": pa.float64(), "abstained": pa.bool_(), "n": pa.int64()}
    write(path, list(row), [row], types=types)
    assert rows_of(path) == [(1, row)]


@pytest.mark.parametrize(
    ("kind", "cells"),
    [
        # CSV has one type only, and no sign for a cell that is missing
        ("csv", {"a": "true", "b": "1.5", "c": "", "d": '["é"]', "e": ""}),
        ("parquet", {"a": "true", "b": "1.5", "c": None, "d": '["é"]', "e": None}),
        ("jsonl", {"a": True, "b": 1.5, "c": None, "d": ["é"]}),
    ],
)
def test_values_that_are_no_strings_take_the_form_of_the_format(
    tmp_path: Path, kind: str, cells: dict[str, Any]
) -> None:
    path = tmp_path / f"values.{kind}"
    write(path, list("abcde"), [{"a": True, "b": 1.5, "c": None, "d": ["é"]}])
    assert rows_of(path)[0][1] == cells


@pytest.mark.parametrize(
    ("kind", "text"),
    [("csv", "a\\ud83db"), ("tsv", "a\\ud83db"), ("parquet", "a\\ud83db"), ("jsonl", "a\ud83db")],
)
def test_lone_surrogate_of_json_is_written_as_its_escape(tmp_path: Path, kind: str, text: str) -> None:
    # no UTF-8 file holds one; only JSON has an escape for it, and reads it back
    path = tmp_path / f"surrogate.{kind}"
    write(path, ["text"], [{"text": "a\ud83db"}])
    assert rows_of(path)[0][1] == {"text": text}


def test_csv_is_written_with_line_feeds(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    write(path, ["a", "b"], [{"a": 'x "y"', "b": "1,2"}, {"a": "z"}])
    assert path.read_bytes() == b'a,b\n"x ""y""","1,2"\nz,\n'


def test_rows_are_appended_in_the_order_of_the_calls(tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    with open_writer(path, ["a"]) as writer:
        writer.write([{"a": "1"}])
        writer.write([{"a": "2"}, {"a": "3"}])
    assert rows_of(path) == [(1, {"a": "1"}), (2, {"a": "2"}), (3, {"a": "3"})]


# CSV


def test_csv_rows_have_the_line_they_begin_in(tmp_path: Path) -> None:
    path = save(tmp_path, "a.csv", 'text,actor\none,A\n"two\nlines",B\n"three\n\r\nlines",C\nfour,D\n')
    assert [line for line, _ in rows_of(path)] == [2, 3, 5, 8]


def test_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    path = save(tmp_path, "a.csv", b"\xef\xbb\xbftext,actor\nyes,A\n")
    assert columns_of(path) == ["text", "actor"]
    assert rows_of(path) == [(2, {"text": "yes", "actor": "A"})]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters_of_spreadsheets_are_recognised(tmp_path: Path, delimiter: str) -> None:
    content = "\n".join(delimiter.join(cells) for cells in (["text", "actor"], ["yes", "A"]))
    assert rows_of(save(tmp_path, "a.csv", content)) == [(2, {"text": "yes", "actor": "A"})]


def test_tsv_with_commas_in_its_header_is_cut_at_tabs(tmp_path: Path) -> None:
    assert columns_of(save(tmp_path, "a.tsv", "text, raw, full\tactor\n")) == ["text, raw, full", "actor"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_system_are_read(tmp_path: Path, end: str) -> None:
    path = save(tmp_path, "a.csv", end.join(["text,actor", "yes,A", "no,B"]))
    assert rows_of(path) == [(2, {"text": "yes", "actor": "A"}), (3, {"text": "no", "actor": "B"})]


def test_ragged_rows_are_faults_and_the_others_are_read(tmp_path: Path) -> None:
    path = save(tmp_path, "a.csv", "text,actor\nyes,A\nyes, but,A\nshort\n\nno,B\n")
    assert rows_of(path) == [(2, {"text": "yes", "actor": "A"}), (6, {"text": "no", "actor": "B"})]
    assert faults_of(path) == [
        (3, "3 cells, the header has 2; quote a cell that holds ','"),
        (4, "1 cells, the header has 2; quote a cell that holds ','"),
    ]


def test_wrong_bytes_are_a_fault_of_their_row_and_column(tmp_path: Path) -> None:
    path = save(tmp_path, "a.csv", b"text,actor\nyes,A\nno,Zo\xeb\nyes,C\n")
    found = list(read_rows(path))
    problem = "byte 0xeb is not UTF-8; save the file as UTF-8 (it may be Windows-1252)"
    assert found[1] == Fault(str(path), 3, "actor", problem)
    assert [row.line for row in found] == [2, 3, 4]


def test_wrong_bytes_in_the_header_are_a_usage_error(tmp_path: Path) -> None:
    path = save(tmp_path, "a.csv", b"text,act\xf6r\nyes,A\n")
    with pytest.raises(UsageError, match=r"a\.csv:1: byte 0xf6 is not UTF-8"):
        columns_of(path)


def test_unclosed_quote_is_a_fault_at_the_line_it_opens_in(tmp_path: Path) -> None:
    path = save(tmp_path, "a.csv", 'text,actor\nyes,A\n"no,B\nyes,C\n')
    assert rows_of(path) == [(2, {"text": "yes", "actor": "A"})]
    [(line, problem)] = faults_of(path)
    assert line == 3
    assert problem.endswith("a quotation mark opened here is not closed")


def test_row_after_a_misquoted_one_is_read_with_its_line(tmp_path: Path) -> None:
    path = save(tmp_path, "a.csv", 'text,actor\n"yes" sir,A\nno,B\n')
    assert [line for line, _ in faults_of(path)] == [2]
    assert rows_of(path) == [(3, {"text": "no", "actor": "B"})]


def test_overlong_cell_is_a_fault_and_the_next_row_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MAX_FIELD", 50)
    path = save(tmp_path, "a.csv", f"text,actor\n{'x' * 50},A\n{'x' * 51},B\nno,C\n")
    assert [line for line, _ in rows_of(path)] == [2, 4]
    assert [line for line, _ in faults_of(path)] == [3]


def test_overlong_header_is_a_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_FIELD", 50)
    path = save(tmp_path, "a.csv", f"{'x' * 51},actor\nyes,A\n")
    with pytest.raises(UsageError, match=r"a\.csv:1: not a CSV header: field larger than field limit"):
        columns_of(path)


def test_column_name_that_stands_twice_is_a_usage_error(tmp_path: Path) -> None:
    path = save(tmp_path, "a.csv", "text,actor,text\na,b,c\n")
    with pytest.raises(UsageError, match=r"a\.csv:1: column 'text' stands twice"):
        list(read_rows(path))


@pytest.mark.parametrize("content", ["", "\n", "  \n", "\ufeff", "\nyes,A\n"])
def test_csv_without_a_header_is_a_usage_error(tmp_path: Path, content: str) -> None:
    path = save(tmp_path, "a.csv", content)
    with pytest.raises(UsageError, match="expected a header such as text,actor,date"):
        list(read_rows(path))


def test_csv_with_a_header_only_has_no_rows(tmp_path: Path) -> None:
    path = save(tmp_path, "a.csv", "text,actor\n")
    assert (columns_of(path), list(read_rows(path))) == (["text", "actor"], [])


# JSONL


def test_bad_lines_of_jsonl_are_faults_and_the_others_are_read(tmp_path: Path) -> None:
    path = save(tmp_path, "a.jsonl", '{"text": "yes"}\n{"text": \n[1, 2]\n\n"word"\n{"text": "no"}')
    assert rows_of(path) == [(1, {"text": "yes"}), (6, {"text": "no"})]
    faults = faults_of(path)
    assert [line for line, _ in faults] == [2, 3, 5]
    assert faults[0][1].startswith("not JSON: ")
    assert faults[1][1] == "expected an object {...}, found list"
    assert faults[2][1] == "expected an object {...}, found str"


@pytest.mark.parametrize("line", ["[" * 100_000, '{"a":' * 100_000, "1" * 5000])
def test_json_too_deep_or_too_long_for_python_is_a_fault(tmp_path: Path, line: str) -> None:
    path = save(tmp_path, "a.jsonl", f'{line}\n{{"text": "no"}}\n')
    assert [number for number, problem in faults_of(path) if problem.startswith("not JSON")] == [1]
    assert rows_of(path) == [(2, {"text": "no"})]


@pytest.mark.parametrize("kind", ["jsonl", "text"])
def test_wrong_bytes_are_a_fault_of_their_line(tmp_path: Path, kind: str) -> None:
    path = save(tmp_path, "a", b'{"text": "yes"}\n{"text": "\xe9"}\n{"text": "no"}\n')
    assert faults_of(path, kind) == [
        (2, "byte 0xe9 is not UTF-8; save the file as UTF-8 (it may be Windows-1252)")
    ]
    assert [line for line, _ in rows_of(path, kind)] == [1, 3]


@pytest.mark.parametrize("kind", ["jsonl", "text"])
def test_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path, kind: str) -> None:
    path = save(tmp_path, "a", b'\xef\xbb\xbf{"text": "yes"}\n')
    expected = {"jsonl": {"text": "yes"}, "text": {"text": '{"text": "yes"}'}}
    assert rows_of(path, kind) == [(1, expected[kind])]


@pytest.mark.parametrize("kind", ["jsonl", "text"])
def test_overlong_line_is_one_fault_and_the_next_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(tables, "MAX_FIELD", 20)
    path = save(tmp_path, "a", f'{"x" * 95}\n{{"text": "no"}}\n{"y" * 21}')
    assert faults_of(path, kind) == [(1, "line longer than 20 bytes"), (3, "line longer than 20 bytes")]
    assert [line for line, _ in rows_of(path, kind)] == [2]


def test_columns_of_jsonl_are_those_of_all_rows(tmp_path: Path) -> None:
    path = save(tmp_path, "a.jsonl", '{"b": 1}\nbroken\n{"a": 2, "b": 3}\n')
    assert columns_of(path) == ["b", "a"]


def test_empty_jsonl_has_neither_rows_nor_columns(tmp_path: Path) -> None:
    path = save(tmp_path, "a.jsonl", "")
    assert (columns_of(path), list(read_rows(path))) == ([], [])


# text


def test_text_is_one_statement_a_line_and_blank_lines_count(tmp_path: Path) -> None:
    path = save(tmp_path, "a.txt", "  We will send more. \r\n\n \t\nNo, never.")
    assert columns_of(path) == ["text"]
    assert rows_of(path) == [(1, {"text": "We will send more."}), (4, {"text": "No, never."})]


# Parquet


def test_string_of_parquet_that_is_not_utf8_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    offsets = pa.array([0, 2, 4, 6], pa.int32()).buffers()[1]
    texts = pa.StringArray.from_buffers(3, offsets, pa.py_buffer(b"ok\xff\xfeno"))
    pq.write_table(pa.table({"text": texts}), path)
    assert rows_of(path) == [(1, {"text": "ok"}), (3, {"text": "no"})]
    assert [line for line, _ in faults_of(path)] == [2]


def test_date_of_parquet_that_python_lacks_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"date": pa.array([2**62, 0], pa.timestamp("us"))}), path)
    assert [line for line, _ in faults_of(path)] == [1]
    assert [line for line, _ in rows_of(path)] == [2]


def test_parquet_rows_are_numbered_through_all_batches(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"n": list(range(2500))}), path, row_group_size=1000)
    assert rows_of(path) == [(n + 1, {"n": n}) for n in range(2500)]


def test_column_of_parquet_that_stands_twice_is_a_usage_error(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"]), path)
    for read in (columns_of, lambda path: list(read_rows(path))):
        with pytest.raises(UsageError, match=r"a\.parquet: column 'text' stands twice"):
            read(path)


@pytest.mark.parametrize("content", [b"", b"text,actor\nyes,A\n", b"PAR1" + b"\0" * 40 + b"PAR1"])
def test_file_that_is_no_parquet_is_a_usage_error(tmp_path: Path, content: bytes) -> None:
    path = save(tmp_path, "a.parquet", content)
    for read in (columns_of, count_rows, lambda path: list(read_rows(path))):
        with pytest.raises(UsageError, match=r"a\.parquet: not a Parquet file: "):
            read(path)


# all formats


@pytest.mark.parametrize("kind", READABLE)
def test_missing_file_is_a_usage_error(tmp_path: Path, kind: str) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*none: No such file or directory"):
        list(read_rows(tmp_path / "none", kind))


@pytest.mark.parametrize("kind", READABLE)
def test_folder_is_a_usage_error(tmp_path: Path, kind: str) -> None:
    with pytest.raises(UsageError, match="directory"):
        list(read_rows(tmp_path, kind))


@pytest.fixture(scope="module")
def valid_parquet(folder: Path) -> bytes:
    path = folder / "valid.parquet"
    write(path, ["text", "actor"], [{"text": "yes", "actor": "A"}, {"text": "no"}])
    return path.read_bytes()


CHUNKS = st.sampled_from(
    [
        b"text,actor\n",
        b'"',
        b'""',
        b",",
        b";",
        b"\t",
        b"\n",
        b"\r",
        b"\0",
        b"\xff",
        b"\xef\xbb\xbf",
        b"{}",
        b"[",
    ]
)


@pytest.mark.parametrize("kind", READABLE)
@settings(max_examples=120, deadline=None)
@given(content=st.binary(max_size=80) | st.lists(CHUNKS, max_size=12).map(b"".join))
def test_any_bytes_are_rows_faults_or_a_stance_error(folder: Path, kind: str, content: bytes) -> None:
    path = save(folder, "bytes", content)
    try:
        found = list(read_rows(path, kind))
    except StanceError:
        return
    lines = [row.line for row in found if row.line is not None]
    assert lines == sorted(set(lines))
    assert len(lines) == len(found)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_damage_to_parquet_is_rows_faults_or_a_stance_error(
    folder: Path, valid_parquet: bytes, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(valid_parquet) - 1))
    patch = data.draw(st.binary(min_size=1, max_size=4))
    path = save(folder, "damaged.parquet", valid_parquet[:at] + patch + valid_parquet[at + len(patch) :])
    message = str(path)
    try:
        list(read_rows(path))
    except StanceError as error:
        message = str(error)
    assert str(path) in message


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.csv", "csv"),
        ("A.CSV", "csv"),
        ("a.tab", "tsv"),
        ("a.ndjson", "jsonl"),
        ("a.pq", "parquet"),
        ("a.b.txt", "text"),
    ],
)
def test_format_is_told_by_the_ending(name: str, kind: str) -> None:
    assert format_of(name) == kind


def test_given_format_goes_before_the_ending() -> None:
    assert format_of("a.csv", "jsonl") == "jsonl"


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        (
            "a.xlsx",
            "auto",
            r"a\.xlsx: cannot tell the format from the ending '\.xlsx'; known endings: \.csv, ",
        ),
        ("a", "auto", "a: cannot tell the format from the ending ''"),
        ("a.csv", "xlsx", r"a\.csv: no format 'xlsx'; known formats: csv, tsv, jsonl, parquet, text"),
    ],
)
def test_unknown_format_is_a_usage_error_that_lists_the_known(name: str, given: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        format_of(name, given)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b'{"text": "yes"}\n', "jsonl"),
        (b'\xef\xbb\xbf\n  {"text": "yes"}\n', "jsonl"),
        (b"text\tactor\nyes\tA\n", "tsv"),
        (b"text,actor\nyes,A\n", "csv"),
        (b"id;text;actor\n1;yes;A\n", "csv"),
        (b'\xef\xbb\xbf"id","text"\r\n1,yes\r\n', "csv"),
        (b"text\nWe will send more.\n", "csv"),
        (b"We will send more, and soon.\n", "text"),
        (b"Never.\n", "text"),
        (b"", "text"),
        (b"\xff\xfe broken, bytes\n", "text"),
    ],
)
def test_format_is_told_by_the_content(tmp_path: Path, content: bytes, kind: str) -> None:
    assert sniff_format(save(tmp_path, "stdin", content)) == kind


def test_parquet_is_told_by_the_content(tmp_path: Path, valid_parquet: bytes) -> None:
    assert sniff_format(save(tmp_path, "stdin", valid_parquet)) == "parquet"


@pytest.mark.parametrize("kind", WRITABLE)
@pytest.mark.parametrize("n", [0, 3])
def test_count_is_the_number_of_rows(tmp_path: Path, kind: str, n: int) -> None:
    path = tmp_path / f"a.{kind}"
    write(path, ["text", "actor"], [{"text": "yes", "actor": "A"}] * n)
    assert count_rows(path) == n


@pytest.mark.parametrize(("name", "content"), [("a.csv", "text\nyes\nno"), ("a.txt", "yes\nno")])
def test_count_holds_a_last_line_without_an_end(tmp_path: Path, name: str, content: str) -> None:
    assert count_rows(save(tmp_path, name, content)) == 2


# writing


def broken_body(path: Path) -> None:
    with open_writer(path, ["text"]) as writer:
        writer.write([{"text": "half"}])
        raise KeyboardInterrupt


@pytest.mark.parametrize("kind", WRITABLE)
def test_interrupted_writing_leaves_nothing_behind(tmp_path: Path, kind: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        broken_body(tmp_path / f"out.{kind}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", WRITABLE)
def test_interrupted_writing_leaves_the_old_file_as_it_was(tmp_path: Path, kind: str) -> None:
    path = save(tmp_path, f"out.{kind}", "old")
    with pytest.raises(KeyboardInterrupt):
        broken_body(path)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [(path.name, b"old")]


@pytest.mark.parametrize("kind", WRITABLE)
def test_file_is_not_there_before_it_is_whole(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"out.{kind}"
    with open_writer(path, ["text"]) as writer:
        writer.write([{"text": "yes"}])
        assert not path.exists()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.fixture
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    mask: int = request.param
    old = os.umask(mask)
    yield mask
    os.umask(old)


@pytest.mark.parametrize("umask", [0o022, 0o077], indirect=True, ids=oct)
def test_file_has_the_mode_of_any_new_file(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "out.csv"
    write(path, ["text"], [])
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_folder_of_the_output_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "out.csv"
    write(path, ["text"], [{"text": "yes"}])
    assert rows_of(path) == [(2, {"text": "yes"})]


def test_place_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    save(tmp_path, "file", "x")
    with pytest.raises(UsageError, match=r"cannot write .*out\.csv: "):
        write(tmp_path / "file" / "out.csv", ["text"], [])


def test_folder_in_the_place_of_the_output_is_a_usage_error_without_leftovers(tmp_path: Path) -> None:
    (tmp_path / "out.csv").mkdir()
    with pytest.raises(UsageError, match=r"cannot write .*out\.csv: "):
        write(tmp_path / "out.csv", ["text"], [])
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]


def test_plain_text_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write the format 'text'; choose csv, tsv, jsonl or parquet"):
        write(tmp_path / "out.txt", ["text"], [])
    assert list(tmp_path.iterdir()) == []


def test_dash_is_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with open_writer("-", ["text"], given="jsonl") as writer:
        writer.write([{"text": "yes"}])
    assert json.loads(capfdbinary.readouterr().out) == {"text": "yes"}
