"""The command line: each command parses, calls one library function, and prints.

Exit codes: 0 done, 1 the data fail a check (the rest was done), 2 the call is wrong.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from stance.errors import Fault, StanceError
from stance.version import __version__

if TYPE_CHECKING:
    from stance.annotations import Reading
    from stance.batch import Summary
    from stance.evaluation import Evaluation, Scores


class _Commands(TyperGroup):
    """Ends broken pipes and Ctrl-C in our own way, before typer ends them in its own."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # the reader of our output has seen enough, as `head` does; what is still buffered may go
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        except KeyboardInterrupt:
            print("stance: interrupted; nothing half-written is left", file=sys.stderr)
            sys.exit(130)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Stance of statements towards giving aid to Ukraine: supportive, conditional, opposed or none.",
)
annotations_app = typer.Typer(
    no_args_is_help=True, help="Read, check, convert and compare labelled statements.", rich_markup_mode=None
)
app.add_typer(annotations_app, name="annotations")

ModelOption = Annotated[
    str, typer.Option("--model", "-m", help="A bundle's directory, a shipped bundle's name, or owner/name.")
]
CorpusOption = Annotated[
    Path | None,
    typer.Option(
        "--corpus", envvar="STANCE_CORPUS", help="Folder of the articles, for standoff annotations."
    ),
]


def main() -> None:
    """Run the command line; every error of the package ends in one message and its exit code."""
    try:
        app()
    except StanceError as error:
        print(f"stance: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"stance {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


@app.command()
def predict(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT...", help="CSV, TSV, JSONL, Parquet or text files; - is stdin."),
    ],
    output: Annotated[str, typer.Option("--output", "-o", metavar="OUT", help="Output table; - is stdout.")],
    model: ModelOption = "default",
    text_column: Annotated[str | None, typer.Option(help="Column of the statement [text].")] = None,
    context_column: Annotated[
        str | None, typer.Option(help="Column of the sentence before [context].")
    ] = None,
    actor_column: Annotated[str | None, typer.Option(help="Column of the speaker [actor].")] = None,
    date_column: Annotated[str | None, typer.Option(help="Column of the date [date].")] = None,
    id_column: Annotated[str | None, typer.Option(help="Column of the id [id].")] = None,
    batch_size: Annotated[int, typer.Option(help="Statements in one call of the model.")] = 32,
    threads: Annotated[int | None, typer.Option(help="Threads [as many as there are cores].")] = None,
    min_confidence: Annotated[
        float | None, typer.Option(help="Mark answers below this probability as abstained [the model's own].")
    ] = None,
    three_way: Annotated[bool, typer.Option("--three-way", help="Never answer none.")] = False,
    input_format: Annotated[str, typer.Option(help="csv, tsv, jsonl, parquet or text.")] = "auto",
    output_format: Annotated[str, typer.Option(help="csv, tsv, jsonl or parquet.")] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")] = False,
) -> None:
    """Classify the statements of tables; every input row and column is kept."""
    from stance.batch import predict_tables
    from stance.classifier import StanceClassifier

    given = {
        "text": text_column,
        "context": context_column,
        "actor": actor_column,
        "date": date_column,
        "id": id_column,
    }
    classifier = StanceClassifier.load(
        model, threads=threads, batch_size=batch_size, min_confidence=min_confidence, three_way=three_way
    )
    with _progress(quiet) as (start, advance):
        summary = predict_tables(
            inputs,
            output,
            classifier=classifier,
            columns={name: column for name, column in given.items() if column is not None},
            input_format=input_format,
            output_format=output_format,
            on_start=start,
            on_rows=advance,
        )
    if not quiet:
        _print_summary(summary)
    if summary.faults:
        _print_faults(summary.first_faults, total=summary.faults, where=summary.errors_path)
        raise typer.Exit(1)


@app.command()
def train(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="A YAML file such as configs/default.yaml.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[SECTION.KEY=VALUE]...", help="e.g. training.epochs=2")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the last checkpoint.")] = False,
) -> None:
    """Fine-tune an encoder and write the model bundle that predicts without torch."""
    from stance.config import load_config
    from stance.errors import require

    settings = load_config(config, overrides or [])
    require("torch", extra="train")
    run = require("stance.run", extra="train")
    result = run.train_and_export(settings, resume=resume, progress=sys.stderr.isatty())
    parity, scores = result.export.parity, result.training.scores
    typer.echo(
        f"validation macro-F1 {scores['macro_f1']:.3f}, accuracy {scores['accuracy']:.3f}"
        f" on {parity.n_items} statements\n"
        f"int8: {parity.flipped:.2%} of labels flipped, macro-F1 {parity.macro_f1_int8:.3f}"
        f" (fp32 {parity.macro_f1_fp32:.3f}); temperature {result.export.temperature:.2f}\n"
        f"checkpoint {result.training.checkpoint}\nbundle     {result.export.bundle}"
    )
    _fail_on(result.training.faults)


@app.command()
def teach(
    texts: Annotated[list[Path], typer.Argument(metavar="TEXTS...", help="Tables of statements.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Parquet of soft labels.")],
    model: Annotated[
        list[str] | None, typer.Option("--model", "-m", help="A teacher: bundle, name or hub id; repeat.")
    ] = None,
    ngram_data: Annotated[
        list[Path] | None,
        typer.Option("--ngram-data", help="Labelled statements: adds a TF-IDF + LR teacher; repeat."),
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads [as many as there are cores].")] = None,
) -> None:
    """Write what several models together say of statements, for a smaller model to learn from."""
    from stance.agreement import adjudicate
    from stance.annotations import Source
    from stance.annotations.tabular import read_statements
    from stance.classifier import StanceClassifier
    from stance.errors import require

    require("sklearn", extra="evaluation")
    teaching = require("stance.teaching", extra="train")
    faults: list[Fault] = []
    statements = []
    for path in texts:
        for item in read_statements(Source(path)):
            if isinstance(item, Fault):
                faults.append(item)
            else:
                statements.append(item)
    readings = [_read(path, None) for path in ngram_data or []]
    settled = [adjudicate(reading.annotations) for reading in readings]
    count = teaching.teach(
        [StanceClassifier.load(name, threads=threads) for name in model or []],
        statements,
        output,
        ngram_data=[a for part in settled for a in part.annotations],
    )
    ties = sum(len(part.ties) for part in settled)
    if ties:
        _note(f"{ties} items of --ngram-data left out: their annotators are tied")
    _note(f"soft labels of {count} statements written to {output}")
    faults += [fault for reading in readings for fault in reading.faults]
    _fail_on(faults)


@app.command()
def evaluate(
    gold: Annotated[Path, typer.Option("--gold", help="Labelled statements: columns text and stance.")],
    model: ModelOption = "default",
    json_output: Annotated[Path | None, typer.Option("--json", help="Write all figures here.")] = None,
    corpus: CorpusOption = None,
    baseline_data: Annotated[
        list[Path] | None,
        typer.Option(
            "--baseline-data",
            help="What the baselines learn from [the model's own training files, else folds of the gold].",
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option("--by", help="Also figures by genre, actor, source, article_id, date or group."),
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads [as many as there are cores].")] = None,
) -> None:
    """Compare a model and the baselines with gold labels: figures, intervals, confusion."""
    from stance.classifier import StanceClassifier
    from stance.errors import require

    require("sklearn", extra="evaluation")
    from stance import evaluation
    from stance.agreement import adjudicate

    classifier = StanceClassifier.load(model, threads=threads)
    reading = _read(gold, corpus)
    settled = adjudicate(reading.annotations)
    if baseline_data:
        learnt = [_read(path, corpus) for path in baseline_data]
    else:
        learnt = evaluation.training_readings(classifier)
    train = [item for part in learnt for item in adjudicate(part.annotations).annotations]
    result = evaluation.evaluate(
        classifier,
        settled.annotations,
        train=train,
        train_name=f"{len(train)} statements" if train else "",
        by=by,
    )
    _print_evaluation(result)
    if json_output is not None:
        import json

        from stance.tables import whole_file

        with whole_file(json_output) as file:
            file.write((json.dumps(result.to_json(), indent=2) + "\n").encode())
    if not result.baselines:
        _note("no baselines: too few gold items or articles to learn from out of fold; give --baseline-data")
    if settled.ties:
        _note(f"{len(settled.ties)} items left out: their annotators are tied")
    faults = [fault for part in (reading, *learnt) for fault in part.faults]
    _fail_on(faults)


@annotations_app.command("check")
def annotations_check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of labelled statements.")],
    corpus: CorpusOption = None,
) -> None:
    """Read files of annotations and report what they hold and what is wrong."""
    from collections import Counter

    faults: list[Fault] = []
    for path in files:
        reading = _read(path, corpus)
        faults += reading.faults
        annotators = Counter(a.annotator or "(unnamed)" for a in reading.annotations)
        rows = [
            [
                name,
                str(count),
                *_counts(a.stance for a in reading.annotations if (a.annotator or "(unnamed)") == name),
            ]
            for name, count in annotators.items()
        ]
        _print_table(str(path), ["annotator", "labels", *_labels()], rows)
    _fail_on(faults)


@annotations_app.command("convert")
def annotations_convert(
    file: Annotated[Path, typer.Argument(metavar="IN", help="A file of labelled statements.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="CSV, TSV, JSONL or Parquet.")],
    corpus: CorpusOption = None,
    every: Annotated[
        bool,
        typer.Option("--every-annotator", help="One row a label instead of one adjudicated row an item."),
    ] = False,
) -> None:
    """Write annotations as a table, with the text that standoff files only point to."""
    from stance.agreement import adjudicate
    from stance.annotations.tabular import COLUMNS, annotation_cells
    from stance.tables import open_writer

    reading = _read(file, corpus)
    settled = adjudicate(reading.annotations)
    chosen = reading.annotations if every else settled.annotations
    with open_writer(output, COLUMNS) as writer:
        writer.write([annotation_cells(a) for a in chosen])
    _note(f"{len(chosen)} rows written to {output}")
    if settled.ties and not every:
        _note(f"{len(settled.ties)} items left out: their annotators are tied (see --every-annotator)")
    _fail_on(reading.faults)


@annotations_app.command("hash")
def annotations_hash(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of labelled statements.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="JSONL of labels by checksum.")],
    corpus: CorpusOption = None,
) -> None:
    """Write labels without the texts, which may belong to others: a checksum stands for each."""
    from stance.agreement import by_item
    from stance.annotations.hashed import write_hashed

    readings = [_read(path, corpus) for path in files]
    items = by_item([a for reading in readings for a in reading.annotations])
    write_hashed(output, items)
    _note(f"{len(items)} items written to {output}, without their texts")
    faults = [fault for reading in readings for fault in reading.faults]
    _fail_on(faults)


@annotations_app.command("resolve")
def annotations_resolve(
    file: Annotated[Path, typer.Argument(metavar="LABELS", help="JSONL of labels by checksum.")],
    texts: Annotated[list[Path], typer.Option("--texts", help="Table with the texts; may be repeated.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="CSV, TSV, JSONL or Parquet.")],
    text_column: Annotated[str, typer.Option(help="Column of the texts.")] = "text",
) -> None:
    """Join labels by checksum to the texts you have, one row a label; a differing text is refused."""
    from stance.annotations import Source
    from stance.annotations.hashed import resolve
    from stance.annotations.tabular import COLUMNS, annotation_cells
    from stance.tables import open_writer

    columns = {} if text_column == "text" else {"text": text_column}
    result = resolve(file, [Source(path, columns=columns) for path in texts])
    with open_writer(output, COLUMNS) as writer:
        writer.write([annotation_cells(a) for a in result.annotations])
    _note(f"{result.found} items found, {len(result.annotations)} labels written to {output}")
    if result.missing:
        _note(f"{result.missing.total()} items have no text in these files; their sources:")
        for source, count in result.missing.most_common(20):
            _note(f"  {count:6} {source or '(not named)'}")
        if len(result.missing) > 20:
            _note(f"  … and {len(result.missing) - 20} more sources")
    _fail_on(result.faults)


@annotations_app.command("agreement")
def annotations_agreement(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of labelled statements.")],
    corpus: CorpusOption = None,
) -> None:
    """Print Cohen's kappa of every pair of annotators."""
    from stance.agreement import cohen_kappa

    readings = [_read(path, corpus) for path in files]
    pairs = cohen_kappa([a for reading in readings for a in reading.annotations])
    rows = [[p.first, p.second, str(p.n_items), f"{p.agreed:.3f}", f"{p.kappa:.3f}"] for p in pairs]
    _print_table("", ["annotator", "and", "items", "agreed", "Cohen's kappa"], rows)
    faults = [fault for reading in readings for fault in reading.faults]
    _fail_on(faults)


@annotations_app.command("formats")
def annotations_formats() -> None:
    """List the formats that annotations are read from."""
    from stance.annotations import READERS

    for name, reader in READERS.items():
        first = (sys.modules[reader.__module__].__doc__ or "").splitlines()[0]
        typer.echo(f"{name:10} {first}")


def _read(path: Path, corpus: Path | None) -> Reading:
    from stance.annotations import Source, read_annotations

    return read_annotations(Source(path, corpus=corpus))


def _labels() -> list[str]:
    from stance.records import LABELS

    return [label.value for label in LABELS]


def _counts(stances: Iterator[Any]) -> list[str]:
    from collections import Counter

    counts = Counter(stances)
    return [str(counts[label]) for label in _labels()]


def _note(text: str) -> None:
    print(text, file=sys.stderr)


def _fail_on(faults: list[Fault]) -> None:
    """End with exit code 1, and say why, where rows could not be used."""
    if faults:
        _print_faults(faults)
        raise typer.Exit(1)


def _print_faults(faults: list[Fault], *, total: int | None = None, where: Path | None = None) -> None:
    total = len(faults) if total is None else total
    _note(f"{total} rows could not be used" + (f"; all are listed in {where}" if where else "") + ":")
    for fault in faults[:20]:
        _note(f"  {fault}")
    if total > 20:
        _note(f"  … and {total - 20} more")


def _print_table(title: str, header: list[str], rows: list[list[str]], *, to_stderr: bool = False) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title) if title else None, title_justify="left", header_style="bold")
    for i, name in enumerate(header):
        table.add_column(name, justify="left" if i == 0 else "right")
    for row in rows:
        # cells are plain text: names may hold what rich would read as markup
        table.add_row(*(Text(cell) for cell in row))
    console = Console(stderr=to_stderr)
    if not console.is_terminal:
        console.width = 200
    console.print(table)


@contextmanager
def _progress(quiet: bool) -> Iterator[tuple[Callable[[int], None], Callable[[int], None]]]:
    """A bar with rate and time left on a terminal, nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield (lambda total: None), (lambda rows: None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("predict", total=None, rate="")

        def advance(rows: int) -> None:
            progress.advance(task, rows)
            speed = progress.tasks[task].speed
            progress.update(task, rate=f"{speed:,.0f} rows/s" if speed else "")

        yield (lambda total: progress.update(task, total=total)), advance


def _print_summary(summary: Summary) -> None:
    for old, new in summary.renamed.items():
        _note(f"the input's column {old!r} is kept as {new!r}")
    ranked = sorted(summary.by_actor.items(), key=lambda item: -item[1].total())
    rows = [
        [actor or "(no actor)", str(counts.total()), *(str(counts[label]) for label in _labels())]
        for actor, counts in ranked[:30]
    ]
    if len(ranked) > 30:
        rest = [counts for _, counts in ranked[30:]]
        rows.append(
            [f"({len(rest)} more actors)", str(sum(c.total() for c in rest))]
            + [str(sum(c[label] for c in rest)) for label in _labels()]
        )
    if rows:
        _print_table("", ["actor", "statements", *_labels()], rows, to_stderr=True)
    _note(
        f"{summary.predicted} statements classified, {summary.abstained} abstained,"
        f" {summary.truncated} truncated"
    )


def _print_evaluation(result: Evaluation) -> None:
    everyone: list[Scores] = [result.model, *result.baselines]
    rows = [
        [s.name, s.trained_on, str(s.macro_f1), str(s.accuracy), *(f"{c.f1.value:.3f}" for c in s.classes)]
        for s in everyone
    ]
    _print_table(
        f"{result.model.n_items} gold statements, 95 % bootstrap intervals",
        ["classifier", "trained on", "macro-F1", "accuracy", *(f"F1 {label}" for label in _labels())],
        rows,
    )
    _print_table(
        f"{result.model.name}: by class",
        ["stance", "precision", "recall", "F1", "gold items"],
        [
            [c.label, f"{c.precision:.3f}", f"{c.recall:.3f}", str(c.f1), str(c.support)]
            for c in result.model.classes
        ],
    )
    if result.parts:
        _print_table(
            f"{result.model.name}: by part",
            ["", "items", "macro-F1", "accuracy"],
            [[s.name, str(s.n_items), str(s.macro_f1), str(s.accuracy)] for s in result.parts[:30]],
        )
        if len(result.parts) > 30:
            _note(f"… and {len(result.parts) - 30} more parts; --json writes all")
    _print_table(
        f"{result.model.name}: gold (rows) by answer (columns)",
        ["", *_labels()],
        [[label, *map(str, row)] for label, row in zip(_labels(), result.model.confusion, strict=True)],
    )
