"""The command line: commands, messages, streams and exit codes."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner, Result

from stance.agreement import adjudicate
from stance.annotations import READERS, Source, read_annotations
from stance.annotations.tabular import COLUMNS
from stance.cli import app
from stance.records import LABELS
from stance.version import __version__

STANDOFF = "data/annotations/articles/annotations.jsonl"
CORPUS = ["--corpus", "data/articles"]
COMMANDS = [
    ("annotations", "hash"),
    ("annotations", "resolve"),
    ("teach",),
    ("predict",),
    ("train",),
    ("evaluate",),
    ("annotations", "check"),
    ("annotations", "convert"),
    ("annotations", "agreement"),
    ("annotations", "formats"),
]
MakeBundle = Callable[..., Path]


def run(*arguments: str | Path) -> Result:
    """The command in this process; an error of the package is the result's exception."""
    return CliRunner().invoke(app, [str(a) for a in arguments])


def run_process(*arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """The installed command, as a user runs it."""
    command = [str(Path(sys.executable).with_name("stance")), *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, encoding="utf-8", check=False)


def table_rows(text: str) -> list[list[str]]:
    """Cells of the printed tables, without headers and rules."""
    lines = [line for line in text.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


def write_table(path: Path, header: str, *rows: str) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def statements(tmp_path: Path) -> Path:
    return write_table(
        tmp_path / "in.csv",
        "text,actor",
        "send aid,Mira Holt",
        "aid if,Ansel Brandt",
        "stop,Mira Holt",
        "stop,[red]Bo[/red]",
    )


@pytest.fixture
def gold(tmp_path: Path) -> Path:
    rows = ["send aid,supportive", "aid if,conditional", "stop,opposed", "weather,none", "stop it,none"]
    return write_table(tmp_path / "gold.csv", "text,stance", *rows)


@pytest.fixture
def baseline_data(tmp_path: Path) -> Path:
    labels = {"send": "supportive", "if": "conditional", "stop": "opposed", "weather": "none"}
    rows = [f"{word} {i},{label}" for i in range(5) for word, label in labels.items()]
    return write_table(tmp_path / "base.csv", "text,stance", *rows)


def commands() -> Iterator[tuple[tuple[str, ...], str | None, list[tuple[str, str | None]]]]:
    """Every command's name, help, and the names and helps of its parameters."""

    def walk(command: object, name: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object]]:
        children = getattr(command, "commands", None)
        if children is None:
            yield name, command
        for child_name, child in (children or {}).items():
            yield from walk(child, (*name, child_name))

    for name, command in walk(typer.main.get_command(app), ()):
        parameters = [(p.name, getattr(p, "help", None)) for p in getattr(command, "params", [])]
        yield name, getattr(command, "help", None), parameters


def test_the_commands_are_these() -> None:
    assert sorted(name for name, _, _ in commands()) == sorted(COMMANDS)


def test_every_command_and_parameter_has_help() -> None:
    for name, text, parameters in commands():
        assert text, name
        assert [parameter for parameter, words in parameters if not words] == [], name


@pytest.mark.parametrize("command", [(), ("annotations",), *COMMANDS], ids=" ".join)
def test_help_is_printed(command: tuple[str, ...]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Usage: " in result.stdout


def test_version_is_printed() -> None:
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"stance {__version__}\n")


def test_predict_writes_the_table_and_sums_up_on_stderr(statements: Path, tiny_bundle: Path) -> None:
    output = statements.with_name("out.csv")
    result = run("predict", statements, "-o", output, "-m", tiny_bundle)
    assert result.exit_code == 0
    assert result.stdout == ""
    with output.open(newline="") as file:
        assert [row["stance"] for row in csv.DictReader(file)] == [
            "supportive",
            "conditional",
            "opposed",
            "opposed",
        ]
    assert table_rows(result.stderr) == [
        ["Mira Holt", "2", "1", "0", "1", "0"],
        ["Ansel Brandt", "1", "0", "1", "0", "0"],
        ["[red]Bo[/red]", "1", "0", "0", "1", "0"],
    ]
    assert "4 statements classified, 0 abstained, 0 truncated" in result.stderr


def test_predict_to_stdout_prints_nothing_but_the_table(statements: Path, tiny_bundle: Path) -> None:
    result = run("predict", statements, "-o", "-", "-m", tiny_bundle)
    rows = list(csv.DictReader(result.stdout.splitlines()))
    assert [row["text"] for row in rows] == ["send aid", "aid if", "stop", "stop"]
    assert len(result.stdout.splitlines()) == 5


def test_quiet_prints_nothing(statements: Path, tiny_bundle: Path) -> None:
    result = run("predict", statements, "-o", statements.with_name("out.csv"), "-m", tiny_bundle, "-q")
    assert (result.exit_code, result.output) == (0, "")


def test_options_of_predict_reach_the_classifier(tmp_path: Path, tiny_bundle: Path) -> None:
    source = write_table(tmp_path / "in", "tweet;before;who", "aid;weather;Kirby", "Kirby sends;;John Kirby")
    result = run(
        *(
            "predict",
            source,
            "-o",
            "-",
            "-m",
            tiny_bundle,
            "--input-format",
            "csv",
            "--output-format",
            "jsonl",
        ),
        *("--text-column", "tweet", "--context-column", "before", "--actor-column", "who"),
        *("--three-way", "--min-confidence", "0.45", "--threads", "1", "--batch-size", "1"),
    )
    first, second = map(json.loads, result.stdout.splitlines())
    assert (first["tweet"], first["stance"], first["p_none"]) == ("aid", "supportive", 0.0)
    assert first["abstained"] is True
    # unmasked, the name would make this opposed
    assert second["stance"] == "supportive"


def test_predict_tells_which_columns_it_renamed(tmp_path: Path, tiny_bundle: Path) -> None:
    source = write_table(tmp_path / "in.csv", "text,stance", "send,x")
    result = run("predict", source, "-o", tmp_path / "out.csv", "-m", tiny_bundle)
    assert "the input's column 'stance' is kept as 'input_stance'" in result.stderr


def test_predict_with_bad_rows_does_the_rest_and_ends_in_1(tmp_path: Path, tiny_bundle: Path) -> None:
    source = write_table(tmp_path / "in.csv", "text,actor", "send,A", "one,two,three", ",B", "stop,C")
    output = tmp_path / "out.csv"
    result = run("predict", source, "-o", output, "-m", tiny_bundle)
    assert result.exit_code == 1
    assert len(output.read_text().splitlines()) == 3
    assert f"2 rows could not be used; all are listed in {output}.errors.jsonl" in result.stderr
    assert f"{source}:3: 3 cells" in result.stderr
    assert f"{source}:4: text: empty" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "nowhere.csv", "-o", "-"], "cannot read nowhere.csv: No such file or directory"),
        (
            ["predict", "{in}", "-o", "-", "--text-column", "txt"],
            "{in}: no column 'txt' for the text; did you mean 'text'?",
        ),
        (["predict", "{in}", "-o", "-", "-m", "no-such-model"], "no model 'no-such-model': give the path"),
        (["predict", "{in}", "-o", "{in}"], "{in} is an input, too; give the output another name"),
        (["predict", "{in}", "-o", "out.docx"], "cannot tell the format from the ending '.docx'"),
        (["predict", "{in}", "-o", "-", "--batch-size", "0"], "batch_size must be at least 1, not 0"),
        (["predict", "{in}", "-o", "-", "--input-format", "xls"], "no format 'xls'"),
        (["evaluate", "--gold", "nowhere.csv"], "cannot read nowhere.csv"),
        (["train", "nowhere.yaml"], "cannot read the config nowhere.yaml"),
        (["annotations", "check", "nowhere.csv"], "cannot read nowhere.csv"),
        (["annotations", "convert", STANDOFF, "-o", "x.csv"], "give the folder of its articles"),
        (["annotations", "agreement", "{in}"], "no column 'stance'"),
    ],
)
def test_a_wrong_call_is_told_what_is_wrong(
    statements: Path,
    tiny_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.delenv("STANCE_CORPUS", raising=False)
    filled = [a.replace("{in}", str(statements)) for a in arguments]
    if filled[0] in ("predict", "evaluate") and "-m" not in filled:
        filled += ["-m", str(tiny_bundle)]
    error = run(*filled).exception
    assert message.replace("{in}", str(statements)) in str(error)
    assert getattr(error, "exit_code", None) == 2


def test_a_missing_option_ends_in_2(statements: Path) -> None:
    result = run("predict", statements)
    assert result.exit_code == 2
    assert "--output" in result.stderr


def test_evaluate_prints_figures_of_model_and_baselines(
    gold: Path, tiny_bundle: Path, baseline_data: Path
) -> None:
    result = run("evaluate", "--gold", gold, "-m", tiny_bundle, "--baseline-data", baseline_data)
    assert result.exit_code == 0
    rows = table_rows(result.stdout)
    assert [row[0] for row in rows[:3]] == ["tiny", "majority", "TF-IDF + LR"]
    # 4 of 5 are right; 'stop it', which is none, is answered as opposed
    assert re.match(r"0\.800 \[0\.\d+, 1\.000\]", rows[0][3])
    assert rows[1][1] == "20 statements"
    assert [row[0] for row in rows[3:7]] == list(LABELS)
    assert rows[7:] == [
        ["supportive", "1", "0", "0", "0"],
        ["conditional", "0", "1", "0", "0"],
        ["opposed", "0", "0", "1", "0"],
        ["none", "0", "0", "1", "1"],
    ]


def test_evaluate_writes_the_printed_figures_as_json(
    gold: Path, tiny_bundle: Path, baseline_data: Path, tmp_path: Path
) -> None:
    target = tmp_path / "new" / "figures.json"
    run("evaluate", "--gold", gold, "-m", tiny_bundle, "--baseline-data", baseline_data, "--json", target)
    figures = json.loads(target.read_text())
    assert figures["model"]["accuracy"]["value"] == 0.8
    assert figures["model"]["confusion"][3] == [0, 0, 1, 1]
    assert [scores["name"] for scores in figures["baselines"]] == ["majority", "TF-IDF + LR"]


def test_evaluate_on_gold_too_small_for_baselines_says_so(tmp_path: Path, tiny_bundle: Path) -> None:
    gold = write_table(tmp_path / "gold.csv", "text,stance", "send,supportive", "stop,opposed")
    result = run("evaluate", "--gold", gold, "-m", tiny_bundle)
    assert result.exit_code == 0
    assert "no baselines" in result.stderr
    assert table_rows(result.stdout)[0][0] == "tiny"


def test_evaluate_leaves_out_ties_and_bad_rows_and_says_so(
    gold: Path, tiny_bundle: Path, baseline_data: Path
) -> None:
    with gold.open("a") as file:
        file.write("send,supportive\nsend,opposed\nsend,supportve\n")
    result = run("evaluate", "--gold", gold, "-m", tiny_bundle, "--baseline-data", baseline_data)
    assert result.exit_code == 1
    assert "5 gold statements" in result.stdout
    assert "1 items left out: their annotators are tied" in result.stderr
    assert "'supportve' is no label" in result.stderr


def test_check_counts_labels_by_annotator() -> None:
    result = run("annotations", "check", STANDOFF, *CORPUS)
    assert result.exit_code == 0
    rows = table_rows(result.stdout)
    assert [row[:2] for row in rows] == [["a", "84"], ["b", "84"], ["adjudicated", "84"]]
    assert rows[2][2:] == ["19", "19", "20", "26"]


def test_check_takes_the_corpus_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANCE_CORPUS", "data/articles")
    assert run("annotations", "check", STANDOFF).exit_code == 0


def test_check_names_the_line_of_a_bad_label_and_ends_in_1(gold: Path) -> None:
    with gold.open("a") as file:
        file.write("send,oposed\n")
    result = run("annotations", "check", gold)
    assert result.exit_code == 1
    assert f"{gold}:7: stance: 'oposed' is no label" in result.stderr
    assert "did you mean 'opposed'?" in result.stderr


def test_check_lists_twenty_faults_and_counts_the_rest(tmp_path: Path) -> None:
    gold = write_table(tmp_path / "gold.csv", "text,stance", "a,none", *["b,wrong"] * 25)
    result = run("annotations", "check", gold)
    assert result.stderr.count("is no label") == 20
    assert "25 rows could not be used" in result.stderr
    assert "and 5 more" in result.stderr


def test_names_are_printed_as_they_are(tmp_path: Path) -> None:
    gold = write_table(tmp_path / "gold.csv", "text,stance,annotator", "a,none,[bold]x[/bold]", "b,none,[/]")
    rows = table_rows(run("annotations", "check", gold).stdout)
    assert [row[0] for row in rows] == ["[bold]x[/bold]", "[/]"]


def test_convert_writes_one_settled_row_an_item(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    result = run("annotations", "convert", STANDOFF, *CORPUS, "-o", target)
    assert result.exit_code == 0
    assert "84 rows written" in result.stderr
    assert target.read_text(encoding="utf-8").splitlines()[0] == ",".join(COLUMNS)
    source = Source(Path(STANDOFF), corpus=Path("data/articles"))
    expected = adjudicate(read_annotations(source).annotations).annotations
    written = read_annotations(target).annotations
    assert [(a.statement.text, a.stance, a.statement.actor) for a in written] == [
        (a.statement.text, a.stance, a.statement.actor) for a in expected
    ]


def test_convert_can_keep_every_annotator(tmp_path: Path) -> None:
    run("annotations", "convert", STANDOFF, *CORPUS, "-o", tmp_path / "out.jsonl", "--every-annotator")
    written = read_annotations(tmp_path / "out.jsonl").annotations
    assert len(written) == 3 * 84
    assert {a.annotator for a in written} == {"a", "b", "adjudicated"}


def test_agreement_prints_kappa_of_the_annotators() -> None:
    result = run("annotations", "agreement", STANDOFF, *CORPUS)
    assert result.exit_code == 0
    assert table_rows(result.stdout) == [["a", "b", "84", "0.988", "0.984"]]


def test_formats_lists_every_reader() -> None:
    lines = run("annotations", "formats").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(READERS)
    assert all(len(line.split()) > 3 for line in lines)


def test_process_a_wrong_call_is_one_line_on_stderr_and_2() -> None:
    done = run_process("annotations", "check", "nowhere.csv")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "stance: cannot read nowhere.csv: No such file or directory\n"


def test_process_a_damaged_model_is_one_line_on_stderr_and_1(
    statements: Path, tmp_path: Path, make_bundle: MakeBundle
) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    (bundle / "model.onnx").write_bytes(b"junk")
    done = run_process("predict", statements, "-o", "-", "-m", bundle)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"stance: .*model\.onnx: sha256 differs.*\n", done.stderr)


def test_process_predict_works_in_a_pipe(tiny_bundle: Path) -> None:
    done = run_process("predict", "-", "-o", "-", "-m", tiny_bundle, stdin="text,actor\nstop,Zoë\n")
    assert done.returncode == 0
    assert done.stdout.startswith("text,actor,stance,")
    assert done.stdout.splitlines()[1].startswith("stop,Zoë,opposed,")
    assert "1 statements classified" in done.stderr


def test_process_ends_quietly_when_the_reader_of_its_output_has_seen_enough(
    tmp_path: Path, tiny_bundle: Path
) -> None:
    source = write_table(tmp_path / "in.csv", "text", *["send aid"] * 5000)
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [str(Path(sys.executable).with_name("stance")), "predict", str(source), "-o", "-"]
    done = subprocess.run(
        [*command, "-m", str(tiny_bundle)], stdout=write_end, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write_end)
    assert (done.returncode, done.stderr) == (0, "")


def test_process_interrupted_says_so_and_leaves_nothing(tmp_path: Path, tiny_bundle: Path) -> None:
    command = [str(Path(sys.executable).with_name("stance")), "predict", "-", "-m", str(tiny_bundle)]
    process = subprocess.Popen(
        [*command, "-o", str(tmp_path / "out.csv"), "--input-format", "csv"],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        deadline = time.monotonic() + 30
        # it has spooled what there is of its input, and waits for more
        while not list(tmp_path.glob("stance-*")) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        message = process.stderr.read() if process.stderr else ""
    assert (process.returncode, message) == (130, "stance: interrupted; nothing half-written is left\n")
    # nor the session id, .ses, that onnxruntime writes there where its telemetry is on
    assert list(tmp_path.iterdir()) == []


def test_evaluate_reports_bad_rows_of_the_baseline_data_too(tiny_bundle: Path, tmp_path: Path) -> None:
    gold, learnt = tmp_path / "gold.csv", tmp_path / "learnt.csv"
    gold.write_text("text,stance\nsend,supportive\nstop,opposed\n", encoding="utf-8")
    learnt.write_text("text,stance\nsend,supportive\nstop,oposed\nstop,opposed\n", encoding="utf-8")
    result = run("evaluate", "--gold", gold, "--model", tiny_bundle, "--baseline-data", learnt)
    assert result.exit_code == 1
    assert f"{learnt}:3: stance: 'oposed' is no label" in result.stderr
