"""Rows of CSV, TSV, JSONL, Parquet and plain-text files: the one way in for tables.

`read_rows` yields every row as a `Row` and every row that cannot be read as a
`Fault`, in the order of the file and in constant memory; it never stops at a bad
row. `open_writer` writes rows under a temporary name and moves the file to its own
name only when it is whole.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from stance.errors import Fault, UsageError

FORMATS: dict[str, str] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "text",
}
MAX_FIELD = 16 * 2**20
"""Largest field or line, in characters (CSV) or bytes (JSONL, text); a longer one is a fault."""
_SPREADSHEET_DELIMITERS = ",;\t"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table: the line its record begins in (from 1) and its cells by column."""

    line: int
    cells: dict[str, Any]


def format_of(path: str | Path, given: str = "auto") -> str:
    """The format of a file by its ending, or `given` where it is not ``auto``."""
    if given != "auto":
        if given not in FORMATS.values():
            known = ", ".join(dict.fromkeys(FORMATS.values()))
            raise UsageError(f"{path}: no format {given!r}; known formats: {known}")
        return given
    suffix = Path(path).suffix.lower()
    try:
        return FORMATS[suffix]
    except KeyError:
        raise UsageError(
            f"{path}: cannot tell the format from the ending {suffix!r}; known endings: {', '.join(FORMATS)}"
        ) from None


def sniff_format(path: str | Path) -> str:
    """The format of a file without a telling name, from its first bytes."""
    with _open(path) as file:
        start = file.read(2**16)
    first = start.removeprefix(b"\xef\xbb\xbf").lstrip().split(b"\n", 1)[0]
    if start.startswith(b"PAR1"):
        return "parquet"
    if first.startswith(b"{"):
        return "jsonl"
    if b"\t" in first:
        return "tsv"
    # a header is made of names; a sentence with commas in it is a line of text
    cells = first.decode("utf-8", "replace").replace(";", ",").split(",")
    names = [cell.strip().strip('"') for cell in cells]
    is_header = all(len(name.split()) == 1 for name in names) and (len(names) > 1 or names == ["text"])
    return "csv" if is_header else "text"


def columns_of(path: str | Path, given: str = "auto") -> list[str]:
    """Names of the columns of a table, in order; for JSONL the union over all rows."""
    kind = format_of(path, given)
    if kind == "parquet":
        import pyarrow.parquet as pq

        with _parquet_errors(path):
            columns = list(pq.read_schema(path).names)
        _refuse_repeated(columns, str(path))
        return columns
    if kind == "text":
        return ["text"]
    if kind == "jsonl":
        names: dict[str, None] = {}
        for row in read_rows(path, kind):
            if isinstance(row, Row):
                names.update(dict.fromkeys(row.cells))
        return list(names)
    with _open(path) as binary, _decoded(binary) as file:
        return _header(file, str(path), kind)[0]


def count_rows(path: str | Path, given: str = "auto") -> int:
    """Number of rows of a table (for CSV, of its lines; quoted line ends count as lines)."""
    if format_of(path, given) == "parquet":
        import pyarrow.parquet as pq

        with _parquet_errors(path):
            return int(pq.read_metadata(path).num_rows)
    with _open(path) as file:
        lines, last = 0, b"\n"
        for block in iter(lambda: file.read(2**20), b""):
            lines, last = lines + block.count(b"\n"), block[-1:]
    lines += last != b"\n"  # the last line may lack its end
    return max(lines - (1 if format_of(path, given) in ("csv", "tsv") else 0), 0)


def read_rows(path: str | Path, given: str = "auto") -> Iterator[Row | Fault]:
    """Yield the rows of a file, and a `Fault` for each that cannot be read.

    Args:
        path: the file; its ending says its format unless `given` does.
        given: ``csv``, ``tsv``, ``jsonl``, ``parquet``, ``text`` or ``auto``.

    Raises:
        UsageError: there is no such file, or nothing in it is of that format.
    """
    kind = format_of(path, given)
    reader = {"csv": _csv, "tsv": _csv, "jsonl": _jsonl, "parquet": _parquet, "text": _text}[kind]
    yield from reader(str(path), kind)


def _open(path: str | Path) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def _decoded(file: BinaryIO) -> io.TextIOWrapper:
    # surrogateescape keeps the bytes of a wrong encoding apart row by row
    return io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _bad_byte(text: str) -> int:
    """The first byte of a text that was not UTF-8, or 0."""
    return next((ord(c) - 0xDC00 for c in text if 0xDC80 <= ord(c) <= 0xDCFF), 0)


def _not_utf8(file: str, line: int, field: str | None, byte: int) -> Fault:
    return Fault(
        file, line, field, f"byte 0x{byte:02x} is not UTF-8; save the file as UTF-8 (it may be Windows-1252)"
    )


def _header(file: io.TextIOWrapper, path: str, kind: str) -> tuple[list[str], str]:
    """Column names and delimiter of an open CSV, which is left after its header."""
    first = file.readline()
    if not first.strip():
        raise UsageError(f"{path}: empty, or its first line is; expected a header such as text,actor,date")
    if _bad_byte(first):
        raise UsageError(str(_not_utf8(path, 1, None, _bad_byte(first))))
    delimiter = "\t" if kind == "tsv" else max(_SPREADSHEET_DELIMITERS, key=first.count)
    csv.field_size_limit(MAX_FIELD)
    try:
        names = next(csv.reader([first], delimiter=delimiter))
    except csv.Error as error:
        raise UsageError(f"{path}:1: not a CSV header: {error}") from error
    _refuse_repeated(names, f"{path}:1")
    return names, delimiter


def _refuse_repeated(names: list[str], place: str) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UsageError(f"{place}: column {repeated[0]!r} stands twice; rename one")


def _csv(path: str, kind: str) -> Iterator[Row | Fault]:
    with _open(path) as binary:
        file = _decoded(binary)
        names, delimiter = _header(file, path, kind)
        records = csv.reader(file, delimiter=delimiter, strict=True)
        line = 1
        while True:
            begin = line + 1
            try:
                cells = next(records)
            except StopIteration:
                return
            except csv.Error as error:
                line = records.line_num + 1
                hint = "; a quotation mark opened here is not closed" if "end of data" in str(error) else ""
                yield Fault(path, begin, None, f"not a CSV record: {error}{hint}")
                continue
            line = records.line_num + 1
            if not cells:
                continue
            if len(cells) != len(names):
                yield Fault(
                    path,
                    begin,
                    None,
                    f"{len(cells)} cells, the header has {len(names)}; quote a cell that holds {delimiter!r}",
                )
                continue
            broken = next((n for n, c in zip(names, cells, strict=True) if _bad_byte(c)), None)
            if broken is not None:
                yield _not_utf8(path, begin, broken, _bad_byte(cells[names.index(broken)]))
                continue
            yield Row(begin, dict(zip(names, cells, strict=True)))


def _lines(path: str) -> Iterator[tuple[int, bytes | Fault]]:
    """Lines of a file without their ends; a line over the limit as a fault."""
    with _open(path) as file:
        number = 0
        while line := file.readline(MAX_FIELD + 1):
            number += 1
            if len(line) > MAX_FIELD and not line.endswith(b"\n"):
                while line and not line.endswith(b"\n"):
                    line = file.readline(MAX_FIELD)
                yield number, Fault(path, number, None, f"line longer than {MAX_FIELD} bytes")
                continue
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            yield number, line.rstrip(b"\r\n")


def _jsonl(path: str, kind: str) -> Iterator[Row | Fault]:
    for number, line in _lines(path):
        if isinstance(line, Fault):
            yield line
            continue
        if not line.strip():
            continue
        try:
            value = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            yield _not_utf8(path, number, None, line[error.start])
        except (ValueError, RecursionError) as error:
            yield Fault(path, number, None, f"not JSON: {error}")
        else:
            if isinstance(value, dict):
                yield Row(number, value)
            else:
                yield Fault(path, number, None, f"expected an object {{...}}, found {type(value).__name__}")


def _text(path: str, kind: str) -> Iterator[Row | Fault]:
    for number, line in _lines(path):
        if isinstance(line, Fault):
            yield line
            continue
        try:
            text = line.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            yield _not_utf8(path, number, None, line[error.start])
        else:
            if text:
                yield Row(number, {"text": text})


@contextmanager
def _parquet_errors(path: str | Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except FileNotFoundError as error:
        raise UsageError(f"cannot read {path}: No such file or directory") from error
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not a Parquet file: {error}") from error


def _parquet(path: str, kind: str) -> Iterator[Row | Fault]:
    import pyarrow.parquet as pq

    with _parquet_errors(path):
        file = pq.ParquetFile(path)
    with file:
        _refuse_repeated(file.schema_arrow.names, path)
        line = 0
        batches = file.iter_batches(batch_size=1024)
        while True:
            with _parquet_errors(path):
                batch = next(batches, None)
            if batch is None:
                return
            for i in range(batch.num_rows):
                line += 1
                try:
                    cells = batch.slice(i, 1).to_pylist()[0]
                except (ValueError, OverflowError) as error:
                    yield Fault(path, line, None, f"a value that cannot be read: {error}")
                else:
                    yield Row(line, cells)


class Writer(Protocol):
    """Writes rows whose cells are strings, numbers, booleans or None."""

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append `rows`; a column that a row lacks stays empty."""

    def close(self) -> None:
        """Write what is pending."""


class _LineFeeds:
    """Ends records with a line feed; csv would then leave carriage returns unquoted (till 3.12)."""

    def __init__(self, file: io.TextIOWrapper) -> None:
        self._file = file

    def write(self, record: str) -> None:
        self._file.write(record.removesuffix("\r\n") + "\n")


class _CsvWriter:
    def __init__(self, file: BinaryIO, columns: Sequence[str], delimiter: str) -> None:
        # a lone surrogate in JSON input has no UTF-8 form; it leaves as the escape it came as
        self._file = io.TextIOWrapper(
            file, encoding="utf-8", errors="backslashreplace", newline="", write_through=True
        )
        self._rows = csv.DictWriter(_LineFeeds(self._file), columns, delimiter=delimiter, restval="")
        self._rows.writeheader()

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._rows.writerows({name: _cell(value) for name, value in row.items()} for row in rows)

    def close(self) -> None:
        self._file.flush()
        self._file.detach()


def _cell(value: Any) -> Any:
    """A cell as CSV text: true/false in lower case, nested values as JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return value


class _JsonlWriter:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        # dates and decimals of Parquet have no JSON form but their text
        text = "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)
        # a lone surrogate in JSON input has no UTF-8 form; it leaves as the escape it came as
        self._file.write(text.encode("utf-8", errors="backslashreplace"))

    def close(self) -> None:
        self._file.flush()


class _ParquetWriter:
    """Parquet with the column types of `like`, where given, and strings elsewhere."""

    def __init__(self, file: BinaryIO, columns: Sequence[str], types: Mapping[str, Any]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._pa = pa
        self._schema = pa.schema([(name, types.get(name, pa.string())) for name in columns])
        self._writer = pq.ParquetWriter(file, self._schema)

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        texts = {field.name for field in self._schema if field.type == self._pa.string()}
        table = self._pa.Table.from_pylist(
            [
                {name: _string(value) if name in texts else value for name, value in row.items()}
                for row in rows
            ],
            schema=self._schema,
        )
        self._writer.write_table(table)

    def close(self) -> None:
        self._writer.close()


def _string(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else str(_cell(value))
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@contextmanager
def open_writer(
    path: str | Path, columns: Sequence[str], *, given: str = "auto", types: Mapping[str, Any] | None = None
) -> Iterator[Writer]:
    """A writer for a table that appears under its name only when it is whole.

    Args:
        path: the file, or ``-`` for standard output.
        columns: the columns, in order.
        given: the format, where the ending does not say it.
        types: Arrow types of columns that are not strings (Parquet only).

    Raises:
        UsageError: the place cannot be written.
    """
    kind = format_of(path, given)
    if str(path) == "-":
        with _writer(sys.stdout.buffer, kind, columns, types or {}) as writer:
            yield writer
        sys.stdout.buffer.flush()
        return
    with whole_file(path) as file, _writer(file, kind, columns, types or {}) as writer:
        yield writer


@contextmanager
def _writer(file: BinaryIO, kind: str, columns: Sequence[str], types: Mapping[str, Any]) -> Iterator[Writer]:
    writer: Writer
    if kind == "parquet":
        writer = _ParquetWriter(file, columns, types)
    elif kind in ("csv", "tsv"):
        writer = _CsvWriter(file, columns, "\t" if kind == "tsv" else ",")
    elif kind == "jsonl":
        writer = _JsonlWriter(file)
    else:
        raise UsageError(f"cannot write the format {kind!r}; choose csv, tsv, jsonl or parquet")
    try:
        yield writer
    finally:
        writer.close()


@contextmanager
def whole_file(path: str | Path) -> Iterator[BinaryIO]:
    """A binary file that is moved to `path` at the end, or removed where anything fails."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files private; a result is as readable as any other new file
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, path)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
