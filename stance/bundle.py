"""The model directory a torch-free classifier loads: read, write, verify.

A bundle holds ``model.onnx``, ``tokenizer.json`` and ``stance.json``. The last one
says what the model is and carries the sha256 of the other two; a file that differs is
refused by name.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stance.config import Config, InputConfig
from stance.errors import BundleError, UsageError
from stance.records import LABELS, Stance

FORMAT_VERSION = 1
MANIFEST = "stance.json"
MODEL = "model.onnx"
TOKENIZER = "tokenizer.json"
SHIPPED = Path(__file__).parent / "models"
"""Folder of the bundles that come with the package, each under its name."""


class Manifest(BaseModel):
    """Content of ``stance.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    format_version: int = FORMAT_VERSION
    name: str = Field(description="what predictions carry as their model")
    labels: list[Stance]
    inputs: InputConfig
    temperature: float = Field(default=1.0, gt=0)
    min_confidence: float = Field(default=0.0, ge=0, le=1)
    pad_id: int = 0
    quantisation: Literal["none", "int8"] = "none"
    encoder: str = ""
    created: str = ""
    config: Config | None = None
    data_sha256: str = ""
    scores: dict[str, Any] = Field(default_factory=dict)
    files: dict[str, str] = Field(description="file name → sha256")


def sha256(path: Path) -> str:
    """Checksum of a file, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_bundle(directory: str | Path, *, model: Path, tokenizer: Path, **facts: Any) -> Path:
    """Write a bundle as a whole: `directory` is replaced only when all is written.

    Args:
        directory: where the bundle is to be.
        model: the ONNX graph, copied.
        tokenizer: the ``tokenizer.json``, copied.
        facts: the fields of `Manifest`, without ``files``.

    Raises:
        UsageError: `directory` holds something else than a bundle.
    """
    directory = Path(directory)
    foreign = not directory.is_dir() or (any(directory.iterdir()) and not (directory / MANIFEST).exists())
    if directory.exists() and foreign:
        raise UsageError(f"{directory} exists and is no model bundle; give another place")
    directory.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", suffix=".part", dir=directory.parent))
    try:
        shutil.copyfile(model, part / MODEL)
        shutil.copyfile(tokenizer, part / TOKENIZER)
        manifest = Manifest(files={name: sha256(part / name) for name in (MODEL, TOKENIZER)}, **facts)
        (part / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        part.chmod(0o755)
        if directory.exists():
            old = directory.with_name(f".{directory.name}.old")
            shutil.rmtree(old, ignore_errors=True)
            directory.rename(old)
            part.rename(directory)
            shutil.rmtree(old)
        else:
            part.rename(directory)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return directory


def read_manifest(directory: str | Path) -> Manifest:
    """Read and verify a bundle's manifest and the checksums of its files.

    Raises:
        UsageError: there is no such bundle.
        BundleError: a file is missing or differs, or the format is newer than this package.
    """
    directory = Path(directory)
    path = directory / MANIFEST
    if not path.is_file():
        raise UsageError(f"{directory}: no {MANIFEST} there, so no model bundle")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content["format_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{path}: damaged, or not of a model bundle") from error
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise BundleError(
            f"{path}: format version {version}, this package reads up to {FORMAT_VERSION}; upgrade stance"
        )
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise BundleError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    if tuple(manifest.labels) != LABELS:
        raise BundleError(f"{path}: labels {manifest.labels}, expected {list(LABELS)} in this order")
    for name in (MODEL, TOKENIZER):
        file = directory / name
        if not file.is_file():
            raise BundleError(f"{file}: missing from the bundle")
        if sha256(file) != manifest.files.get(name):
            raise BundleError(f"{file}: sha256 differs from the one in {MANIFEST}; the file is damaged")
    return manifest


def find_bundle(path_or_name: str | Path) -> Path:
    """The directory of a bundle given as a path, a shipped name, or a hub id.

    A hub id (``owner/name``) needs the extra ``hub`` and a network.

    Raises:
        UsageError: nothing of that name is to be found.
    """
    path = Path(path_or_name)
    if (path / MANIFEST).is_file():
        return path
    shipped = SHIPPED / path.name
    if str(path_or_name) == path.name and (shipped / MANIFEST).is_file():
        return shipped
    if path.exists():
        raise UsageError(f"{path}: no {MANIFEST} there, so no model bundle")
    name = str(path_or_name)
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return _from_hub(name)
    names = sorted(p.parent.name for p in SHIPPED.glob(f"*/{MANIFEST}"))
    raise UsageError(
        f"no model {name!r}: give the path of a bundle, owner/name on the hub, or one of {names}"
    )


def _from_hub(name: str) -> Path:
    from stance.errors import require

    hub = require("huggingface_hub", extra="hub")
    try:
        return Path(hub.snapshot_download(name, allow_patterns=[MANIFEST, MODEL, TOKENIZER]))
    except Exception as error:  # the hub's client raises a dozen kinds
        raise UsageError(f"no bundle {name!r} here, and the hub does not give it: {error}") from error
