"""Annotations: foreign tables by configuration alone, every label kept, offsets that are verified."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stance.annotations import READERS, Reading, Source, detect_format, read_annotations
from stance.annotations.standoff import Label, Unit, write_standoff
from stance.annotations.tabular import COLUMNS, annotation_cells
from stance.config import SourceConfig
from stance.errors import DataError, Fault, UsageError
from stance.records import Annotation, Stance, Statement
from stance.tables import open_writer

S = Stance

SEMEVAL = """Tweet,Target,Stance
"We should help, and help now.",Aid,FAVOR
Not our war.,Aid,AGAINST
The vote is on Monday.,Aid,NONE
"""


def save(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def problems(reading: Reading) -> list[tuple[int | None, str | None, str]]:
    return [(fault.line, fault.field, fault.problem) for fault in reading.faults]


# tables


def semeval_source(path: Path, labels: dict[str, Stance]) -> Source:
    columns = {"text": "Tweet", "stance": "Stance"}
    return Source.from_config(SourceConfig(path=str(path), columns=columns, labels=labels))


def test_foreign_table_is_read_by_configuration_alone(tmp_path: Path) -> None:
    path = save(tmp_path, "semeval.csv", SEMEVAL)
    reading = read_annotations(semeval_source(path, {"FAVOR": S.SUPPORTIVE, "AGAINST": S.OPPOSED}))
    assert [(a.statement.text, a.stance, a.line) for a in reading.annotations] == [
        ("We should help, and help now.", S.SUPPORTIVE, 2),
        ("Not our war.", S.OPPOSED, 3),
        ("The vote is on Monday.", S.NONE, 4),
    ]
    assert reading.faults == []


def test_label_that_is_not_mapped_is_a_fault_that_says_how_to_map_it(tmp_path: Path) -> None:
    path = save(tmp_path, "semeval.csv", SEMEVAL)
    reading = read_annotations(semeval_source(path, {"FAVOR": S.SUPPORTIVE}))
    known = "FAVOR, supportive, conditional, opposed, none"
    expected = f"'AGAINST' is no label; expected one of {known}; map it under `labels` in the config"
    assert problems(reading) == [(3, "Stance", expected)]
    assert [a.line for a in reading.annotations] == [2, 4]


@pytest.mark.parametrize(
    ("label", "meant"), [("suportive", "supportive"), ("Oposed", "opposed"), ("conditionnal", "conditional")]
)
def test_misspelt_label_is_a_fault_with_the_one_that_was_meant(
    tmp_path: Path, label: str, meant: str
) -> None:
    path = save(tmp_path, "a.csv", f"text,stance\nyes,{label}\n")
    [(line, field, problem)] = problems(read_annotations(path))
    assert (line, field) == (2, "stance")
    assert problem.endswith(f"did you mean '{meant}'?")


def test_mapping_goes_before_the_guideline(tmp_path: Path) -> None:
    path = save(tmp_path, "a.csv", "text,stance\nyes,none\n")
    reading = read_annotations(Source(path, labels={"none": S.OPPOSED}))
    assert [a.stance for a in reading.annotations] == [S.OPPOSED]


def test_labels_are_read_in_any_case_and_without_blanks_around(tmp_path: Path) -> None:
    path = save(tmp_path, "a.csv", "text,stance\n yes , Supportive \nno,NONE\n")
    assert [(a.statement.text, a.stance) for a in read_annotations(path).annotations] == [
        ("yes", S.SUPPORTIVE),
        ("no", S.NONE),
    ]


def test_empty_label_and_empty_text_are_faults(tmp_path: Path) -> None:
    path = save(tmp_path, "a.csv", "text,stance\nyes,\n  ,none\nno,opposed\n")
    reading = read_annotations(path)
    assert problems(reading) == [
        (2, "stance", "empty; expected one of supportive, conditional, opposed, none"),
        (3, "text", "empty; expected the words of a statement"),
    ]
    assert [a.line for a in reading.annotations] == [4]


def test_second_label_becomes_a_second_annotator(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        "a.csv",
        "text,stance,certainty,annotator,second,second_certainty\nyes,supportive,3,kim,none,1\nno,opposed,,,,\n",
    )
    reading = read_annotations(path)
    assert [(a.annotator, a.stance, a.certainty, a.line) for a in reading.annotations] == [
        ("kim", S.SUPPORTIVE, 3, 2),
        ("second", S.NONE, 1, 2),
        ("", S.OPPOSED, None, 3),
    ]


def test_fault_of_the_second_label_keeps_the_first(tmp_path: Path) -> None:
    rows = "yes,supportive,none,9\nno,opposed,oposed,\n"
    reading = read_annotations(save(tmp_path, "a.csv", f"text,stance,second,second_certainty\n{rows}"))
    assert [a.stance for a in reading.annotations] == [S.SUPPORTIVE, S.OPPOSED]
    assert [(fault.line, fault.field) for fault in reading.faults] == [(2, "second_certainty"), (3, "second")]


@pytest.mark.parametrize("certainty", ["0", "4", "2.5", "sure", "nan", "inf", "-1"])
def test_certainty_off_the_scale_is_a_fault(tmp_path: Path, certainty: str) -> None:
    path = save(tmp_path, "a.csv", f"text,stance,certainty\nyes,none,{certainty}\n")
    reading = read_annotations(path)
    assert problems(reading) == [(2, "certainty", f"{certainty!r} is no certainty; expected 1, 2 or 3")]
    assert reading.annotations == []


@pytest.mark.parametrize(("cell", "certainty"), [("1", 1), ("3.0", 3), (" 2 ", 2), ("", None)])
def test_certainty_is_read_as_a_whole_number(tmp_path: Path, cell: str, certainty: int | None) -> None:
    path = save(tmp_path, "a.csv", f"text,stance,certainty\nyes,none,{cell}\n")
    assert [a.certainty for a in read_annotations(path).annotations] == [certainty]


@pytest.mark.parametrize(
    ("header", "columns", "message"),
    [
        ("Tweet,stance", {"text": "Twet"}, r"a\.csv: no column 'Twet' for the text; did you mean 'Tweet'\?"),
        ("quote,label", {}, r"a\.csv: no column 'text' for the text; it has: quote, label"),
        ("text,label", {}, r"a\.csv: no column 'stance' for the stance; it has: text, label"),
        ("text,stance", {"actor": "who"}, r"a\.csv: no column 'who' for the actor; it has: text, stance"),
        (
            "text,stance",
            {"speaker": "text"},
            r"a\.csv: columns: no field 'speaker'; fields: text, stance, id",
        ),
    ],
)
def test_column_that_is_not_there_is_a_usage_error(
    tmp_path: Path, header: str, columns: dict[str, str], message: str
) -> None:
    path = save(tmp_path, "a.csv", f"{header}\nyes,none\n")
    with pytest.raises(UsageError, match=message):
        read_annotations(Source(path, columns=columns))


def test_rows_that_are_no_table_rows_are_faults_of_the_reading(tmp_path: Path) -> None:
    path = save(tmp_path, "a.csv", "text,stance\nyes, yes,none\nno,opposed\n")
    reading = read_annotations(path)
    assert [fault.line for fault in reading.faults] == [2]
    assert [a.line for a in reading.annotations] == [3]


@pytest.mark.parametrize("name", ["a.xlsx", "a.txt"])
def test_file_without_columns_is_a_usage_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"known endings: \.csv, \.tsv"):
        read_annotations(save(tmp_path, name, "yes\n"))


def test_unknown_format_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no format 'brat'; known: csv, tsv, jsonl, parquet, standoff"):
        read_annotations(Source(tmp_path / "a.ann", format="brat"))


def test_every_format_of_a_configuration_has_a_reader() -> None:
    kinds = SourceConfig.model_json_schema()["properties"]["format"]["enum"]
    assert set(kinds) == {"auto", *READERS}


# columns as a table writes them: no blanks at the ends of a cell
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).map(str.strip)
ANNOTATIONS = st.builds(
    Annotation,
    st.builds(
        Statement,
        text=WORDS.filter(bool),
        **dict.fromkeys(("id", "actor", "context", "article_id", "date", "source", "genre", "group"), WORDS),
    ),
    st.sampled_from(Stance),
    annotator=WORDS,
    certainty=st.none() | st.integers(1, 3),
    time=WORDS,
    note=WORDS,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("annotations")


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
@settings(max_examples=40, deadline=None)
@given(annotations=st.lists(ANNOTATIONS, min_size=1, max_size=4))
def test_reading_of_written_cells_gives_the_same_annotations(
    folder: Path, kind: str, annotations: list[Annotation]
) -> None:
    path = folder / f"round.{kind}"
    with open_writer(path, COLUMNS) as writer:
        writer.write([annotation_cells(annotation) for annotation in annotations])
    reading = read_annotations(path)
    assert [annotation_cells(a) for a in reading.annotations] == [annotation_cells(a) for a in annotations]
    assert [a.statement for a in reading.annotations] == [a.statement for a in annotations]
    assert reading.faults == []


# standoff

ARTICLE = (
    "Aid on hold.\n\u201cWe will pay,\u201d said Ann Lee \U0001f1fa\U0001f1e6, \u201cif others do.\u201d\n"
)
NAME = "a01.txt"


def checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def span(words: str, text: str = ARTICLE) -> list[int]:
    return [text.index(words), text.index(words) + len(words)]


def unit(**changes: Any) -> dict[str, Any]:
    content = {
        "id": "u1",
        "article": NAME,
        "sha256": checksum(ARTICLE),
        "spans": [span("We will pay,"), span("if others do.")],
        "context": span("Aid on hold."),
        "kind": "direct",
        "actor": "Ann Lee",
        "actor_span": span("Ann Lee"),
        "cue": span("said"),
        "labels": {"a": {"stance": "conditional", "certainty": 3}, "b": {"stance": "supportive"}},
    }
    return {name: value for name, value in (content | changes).items() if value is not None}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / NAME).write_bytes(ARTICLE.encode())
    return folder


def standoff(folder: Path, *units: dict[str, Any] | str) -> Path:
    lines = (content if isinstance(content, str) else json.dumps(content) for content in units)
    return save(folder, "standoff.jsonl", "".join(f"{line}\n" for line in lines))


def test_standoff_file_is_recognised_by_its_keys(tmp_path: Path) -> None:
    assert detect_format(Source(standoff(tmp_path, unit()))) == "standoff"


def test_jsonl_with_text_is_a_table(tmp_path: Path) -> None:
    assert detect_format(Source(save(tmp_path, "a.jsonl", '{"text": "yes", "stance": "none"}'))) == "jsonl"


def test_standoff_statement_is_cut_from_the_article(tmp_path: Path, corpus: Path) -> None:
    path = standoff(tmp_path, unit())
    reading = read_annotations(Source(path, corpus=corpus))
    statement = Statement(
        # the pieces of a discontinuous statement are joined by one space
        "We will pay, if others do.",
        id="u1",
        actor="Ann Lee",
        context="Aid on hold.",
        article_id="a01",
        source=NAME,
        spans=((14, 26), (46, 59)),
        kind="direct",
        cue="said",
        actor_as_written="Ann Lee",
    )
    assert reading.annotations == [
        Annotation(statement, S.CONDITIONAL, annotator="a", certainty=3, file=str(path), line=1),
        Annotation(statement, S.SUPPORTIVE, annotator="b", file=str(path), line=1),
    ]
    assert reading.faults == []


def test_offsets_count_line_ends_as_they_are(tmp_path: Path) -> None:
    text = "One.\r\nTwo.\r\n"
    save(tmp_path, NAME, "").write_bytes(text.encode())
    content = unit(sha256=checksum(text), spans=[[6, 10]], context=None, actor_span=None, cue=None)
    reading = read_annotations(Source(standoff(tmp_path, content), corpus=tmp_path))
    assert {a.statement.text for a in reading.annotations} == {"Two."}


def test_article_that_differs_is_named_and_no_other(tmp_path: Path, corpus: Path) -> None:
    other = "Another article.\n"
    (corpus / "a02.txt").write_bytes((other + " ").encode())
    path = standoff(
        tmp_path, unit(), unit(id="u2", article="a02.txt", sha256=checksum(other), spans=[[0, 7]])
    )
    with pytest.raises(DataError) as caught:
        read_annotations(Source(path, corpus=corpus))
    assert str(caught.value).startswith(f"{corpus / 'a02.txt'}: sha256 is ")
    assert f"annotated was {checksum(other)[:12]}" in str(caught.value)
    assert NAME not in str(caught.value)


def test_all_bad_articles_are_named_at_once(tmp_path: Path, corpus: Path) -> None:
    (corpus / NAME).write_bytes(b"changed")
    path = standoff(tmp_path, unit(), unit(article="a02.txt"), unit(article="a03.txt"))
    with pytest.raises(DataError) as caught:
        read_annotations(Source(path, corpus=corpus))
    first, *missing = str(caught.value).splitlines()
    assert first.startswith(f"{corpus / NAME}: sha256 is ")
    assert missing == [f"{corpus / 'a02.txt'}: missing", f"{corpus / 'a03.txt'}: missing"]


def test_article_that_is_not_utf8_is_a_data_error(tmp_path: Path, corpus: Path) -> None:
    (corpus / NAME).write_bytes(b"caf\xe9")
    digest = hashlib.sha256(b"caf\xe9").hexdigest()
    with pytest.raises(DataError, match=r"a01\.txt: not UTF-8 text \(byte 3\)"):
        read_annotations(Source(standoff(tmp_path, unit(sha256=digest)), corpus=corpus))


@pytest.mark.parametrize("name", ["../secret.txt", "sub/../../secret.txt", "sub/a.txt", "/etc/hostname", "."])
def test_article_name_with_a_folder_in_it_is_refused(tmp_path: Path, corpus: Path, name: str) -> None:
    secret = save(tmp_path, "secret.txt", ARTICLE)
    assert secret.is_file()
    with pytest.raises(DataError) as caught:
        read_annotations(Source(standoff(tmp_path, unit(article=name)), corpus=corpus))
    assert str(caught.value) == f"{name!r}: not a plain file name"


@pytest.mark.parametrize("name", ["..", ""])
def test_article_name_that_is_a_folder_is_missing(tmp_path: Path, corpus: Path, name: str) -> None:
    with pytest.raises(DataError, match="missing"):
        read_annotations(Source(standoff(tmp_path, unit(article=name)), corpus=corpus))


OUT = [len(ARTICLE) - 1, len(ARTICLE) + 1]


@pytest.mark.parametrize(
    ("changes", "bad"),
    [
        ({"spans": [[0, 3], OUT]}, OUT),
        ({"spans": [[5, 5]]}, [5, 5]),
        ({"spans": [[7, 5]]}, [7, 5]),
        ({"spans": [[-3, 5]]}, [-3, 5]),
        ({"context": OUT}, OUT),
        ({"actor_span": OUT}, OUT),
        ({"cue": OUT}, OUT),
    ],
    ids=["beyond the end", "empty", "reversed", "negative", "context", "actor", "cue"],
)
def test_span_outside_the_article_is_a_fault_and_the_others_are_read(
    tmp_path: Path, corpus: Path, changes: dict[str, Any], bad: list[int]
) -> None:
    path = standoff(tmp_path, unit(**changes), unit(id="u2"))
    reading = read_annotations(Source(path, corpus=corpus))
    problem = f"{bad} does not lie in {NAME}, which has {len(ARTICLE)} characters"
    assert reading.faults == [Fault(str(path), 1, "spans", problem)]
    assert {a.statement.id for a in reading.annotations} == {"u2"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"spans": None}, "spans"),
        ({"spans": []}, "spans"),
        ({"spans": [[1, 2, 3]]}, "spans.0"),
        ({"sha256": "abc"}, "sha256"),
        ({"labels": {}}, "labels"),
        ({"labels": {"a": {"stance": "pro"}}}, "labels.a.stance"),
        ({"labels": {"a": {"stance": "none", "certainty": 4}}}, "labels.a.certainty"),
        ({"text": "We will pay"}, "text"),
    ],
)
def test_bad_unit_is_a_fault_of_its_field_and_the_others_are_read(
    tmp_path: Path, corpus: Path, changes: dict[str, Any], field: str
) -> None:
    path = standoff(tmp_path, unit(), unit(**changes), "{broken", unit(id="u4"))
    reading = read_annotations(Source(path, corpus=corpus))
    assert [(fault.line, fault.field) for fault in reading.faults] == [(2, field), (3, None)]
    assert [a.line for a in reading.annotations] == [1, 1, 4, 4]


def test_without_a_corpus_the_message_says_how_to_give_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STANCE_CORPUS", raising=False)
    with pytest.raises(UsageError, match=r"--corpus DIR, or the variable STANCE_CORPUS"):
        read_annotations(standoff(tmp_path, unit()))


def test_corpus_comes_from_the_environment(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANCE_CORPUS", str(corpus))
    assert len(read_annotations(standoff(tmp_path, unit())).annotations) == 2


def test_given_corpus_goes_before_the_environment(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANCE_CORPUS", str(tmp_path / "elsewhere"))
    assert len(read_annotations(Source(standoff(tmp_path, unit()), corpus=corpus)).annotations) == 2


def test_corpus_that_is_no_folder_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"corpus .*nowhere: no such folder"):
        read_annotations(Source(standoff(tmp_path, unit()), corpus=tmp_path / "nowhere"))


def test_written_standoff_file_reads_as_the_same_units(tmp_path: Path, corpus: Path) -> None:
    units = [
        Unit.model_validate(unit()),
        Unit(
            id="u\u00e9",
            article=NAME,
            sha256=checksum(ARTICLE),
            spans=[(0, 3)],
            labels={"a": Label(stance=S.NONE, certainty=1, note='a "note"\n')},
        ),
    ]
    path = tmp_path / "written.jsonl"
    write_standoff(path, units)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [Unit.model_validate_json(line) for line in lines] == units
    notes = [a.note for a in read_annotations(Source(path, corpus=corpus)).annotations]
    assert notes == ["", "", 'a "note"\n']
