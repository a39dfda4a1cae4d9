"""Configuration: a YAML file and ``section.key=value`` overrides, checked as a whole.

Every fault is reported at once, with its dotted path, its line, and the nearest
known key. Numbers such as ``3e-5`` are numbers, ``no`` and ``on`` are words, and a
key that stands twice is a fault (PyYAML's own loader gets all three wrong).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stance.errors import ConfigError, UsageError
from stance.records import Stance

PACKAGED = "packaged"
"""Encoder name that stands for the one installed as a Python package."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceConfig(_Section):
    """One file of labelled statements and how its columns and labels are called."""

    path: str
    format: Literal["auto", "csv", "tsv", "jsonl", "parquet", "standoff"] = "auto"
    columns: dict[str, str] = Field(
        default_factory=dict, description="our name → the file's name, e.g. text: Tweet"
    )
    labels: dict[str, Stance] = Field(
        default_factory=dict, description="the file's label → ours, e.g. FAVOR: supportive"
    )
    corpus: str | None = Field(default=None, description="folder of the articles, for standoff")
    sample: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="take at random so many of the statements"
    )


class DataConfig(_Section):
    """What to train and validate on."""

    train: Annotated[list[SourceConfig], Field(min_length=1)]
    validation: list[SourceConfig] = Field(
        default_factory=list, description="labelled files of their own; empty: split from train"
    )
    validation_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    ties: Literal["drop", "share"] = Field(
        default="drop",
        description="items whose annotators are tied: leave out and list, or train on their shares"
        " (those that the split holds out are left out)",
    )
    near_duplicate: Annotated[float, Field(gt=0, le=0.95)] = Field(
        default=0.7, description="Jaccard similarity of word 3-shingles from which texts stay together"
    )


class InputConfig(_Section):
    """How a statement becomes the model's input; the bundle carries it to prediction."""

    mask_actor: bool = True
    context: bool = True
    max_tokens: Annotated[int, Field(ge=8, le=8192)] = 256


class EncoderConfig(_Section):
    """The pretrained encoder: `packaged`, a hub id, or the path of a checkpoint."""

    name: str = PACKAGED
    revision: str | None = None
    layers: list[Annotated[int, Field(ge=0)]] | None = Field(
        default=None, description="indices of the layers to keep, in order"
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    freeze_embeddings: bool = False


class TrainingConfig(_Section):
    """The optimisation; names are those of transformers' `TrainingArguments`."""

    epochs: Annotated[float, Field(gt=0)] = 4
    batch_size: Annotated[int, Field(ge=1)] = 32
    gradient_accumulation: Annotated[int, Field(ge=1)] = 1
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 5e-5
    head_learning_rate: Annotated[float, Field(gt=0, lt=1)] | None = None
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.1
    scheduler: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "linear"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    class_weights: Literal["none", "balanced"] = "none"
    early_stopping_patience: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="evaluations without a better macro-F1 before training stops"
    )
    evaluations_per_epoch: Annotated[int, Field(ge=1)] = 1
    bf16: Literal["auto", "on", "off"] = Field(
        default="auto", description="auto: where the processor multiplies bfloat16 in hardware"
    )
    threads: Annotated[int, Field(ge=1)] | None = None
    report_to: list[str] = Field(default_factory=list)
    max_steps: Annotated[int, Field(ge=1)] | None = None


class DistillationConfig(_Section):
    """A teacher's soft labels, beside the annotators' own."""

    soft_labels: str = Field(description="Parquet file that `stance teach` wrote")
    weight: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.5, description="the teacher's share in the target of a labelled statement"
    )
    unlabelled: list[SourceConfig] = Field(
        default_factory=list, description="statements that have only the teacher's label"
    )


class ExportConfig(_Section):
    """From checkpoint to bundle."""

    max_flipped: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.01, description="largest share of validation labels that int8 may change"
    )
    name: str | None = Field(default=None, description="model name that predictions carry")
    opset: Annotated[int, Field(ge=18)] = 18


class Config(_Section):
    """A whole run of ``stance train``."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 13
    output: str = "runs/default"
    data: DataConfig
    inputs: InputConfig = InputConfig()
    encoder: EncoderConfig = EncoderConfig()
    training: TrainingConfig = TrainingConfig()
    distillation: DistillationConfig | None = None
    export: ExportConfig = ExportConfig()


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML configuration and apply ``section.key=value`` overrides.

    Args:
        path: the YAML file.
        overrides: e.g. ``["training.epochs=2", "output=runs/two"]``; values are YAML.

    Raises:
        UsageError: there is no such file.
        ConfigError: the file or an override has faults; all are in the message.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read the config {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})") from error
    content, lines, faults = _parse(text, str(path))
    for override in overrides:
        faults.extend(_apply(content, override, lines))
    try:
        config = Config.model_validate(content)
    except ValidationError as error:
        faults.extend(_describe(error, str(path), lines))
    if faults:
        raise ConfigError("\n".join(faults))
    return config


def dump_config(config: Config) -> str:
    """The resolved configuration as YAML; ``load_config`` of it gives the same object."""
    return yaml.dump(config.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Loader(yaml.SafeLoader):
    """YAML with the scalars of version 1.2."""


class _Dumper(yaml.SafeDumper):
    """Quotes what either version of YAML would read as something else than a string."""


_REPLACED = (":bool", ":float", ":int", ":timestamp")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if not tag.endswith(_REPLACED)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$", re.I), list("tTfF"))
for _yaml in (_Loader, _Dumper):
    _yaml.add_implicit_resolver(
        "tag:yaml.org,2002:int",
        re.compile(r"^(?:[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+)$"),
        list("-+0123456789"),
    )
    _yaml.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(
            r"^[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.(?:inf|nan))$"
        ),
        list("-+.0123456789"),
    )


def _parse(text: str, file: str) -> tuple[dict[str, Any], dict[str, int], list[str]]:
    """The YAML content, the line of each dotted path, and faults of the syntax."""
    lines: dict[str, int] = {}
    faults: list[str] = []
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return {}, lines, faults
        for key, line, repeated in _walk(node, ""):
            if repeated:
                faults.append(f"{file}:{line}: {key}: stands twice (first in line {lines[key]}); keep one")
            lines.setdefault(key, line)
        content = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        place = f"{file}:{error.problem_mark.line + 1}" if error.problem_mark else file
        raise ConfigError(f"{place}: not valid YAML: {error.problem}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{file}:{line}: not valid YAML: {error.reason}") from error
    except (ValueError, RecursionError) as error:  # a number too long, nesting too deep
        raise ConfigError(f"{file}: not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: expected sections such as `data:`, found {type(content).__name__}")
    return content, lines, faults


def _walk(node: yaml.Node, prefix: str) -> Iterator[tuple[str, int, bool]]:
    seen: set[str] = set()
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            path = f"{prefix}{key.value}"
            yield path, key.start_mark.line + 1, path in seen
            seen.add(path)
            yield from _walk(value, f"{path}.")
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            yield f"{prefix}{i}", value.start_mark.line + 1, False
            yield from _walk(value, f"{prefix}{i}.")


def _apply(content: dict[str, Any], override: str, lines: dict[str, int]) -> list[str]:
    """Set one override in `content`; the faults of the override itself."""
    key, equals, value = override.partition("=")
    if not equals or not all(key.split(".")):
        return [f"override {override!r}: expected section.key=value, e.g. training.epochs=2"]
    try:
        parsed = yaml.load(value, _Loader)  # noqa: S506 -- a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError):
        parsed = value
    *parents, last = key.split(".")
    place: Any = content
    for i, name in enumerate(parents):
        if isinstance(place, list) and name.isdecimal() and int(name) < len(place):
            place = place[int(name)]
        elif isinstance(place, dict):
            if place.get(name) is None:
                place[name] = {}
            place = place[name]
        else:
            return [f"override {override!r}: {'.'.join(parents[: i + 1])} is not a section"]
    if isinstance(place, list) and last.isdecimal() and int(last) < len(place):
        place[int(last)] = parsed
    elif isinstance(place, dict):
        place[last] = parsed
    else:
        return [f"override {override!r}: {'.'.join(parents)} is not a section"]
    for known in [k for k in lines if k == key or k.startswith(f"{key}.")]:
        del lines[known]
    return []


def _describe(error: ValidationError, file: str, lines: dict[str, int]) -> list[str]:
    faults = []
    for fault in error.errors():
        keys = [str(part) for part in fault["loc"] if part != "[key]"]
        path = ".".join(keys)
        # a missing key stands nowhere; its section does
        line = lines.get(".".join(keys[:-1]) if fault["type"] == "missing" else path)
        place = f"{file}:{line}" if line else file
        if fault["type"] == "extra_forbidden":
            problem = f"unknown key{_suggest(keys)}"
        elif fault["type"] == "missing":
            problem = "missing, and it has no default"
        else:
            problem = f"{fault['msg'][0].lower()}{fault['msg'][1:]}, not {fault['input']!r}"
        faults.append(f"{place}: {path}: {problem}")
    return faults


def _suggest(keys: list[str]) -> str:
    model: Any = Config
    for key in keys[:-1]:
        model = _child(model, key)
        if model is None:
            return ""
    known = list(model.model_fields)
    close = difflib.get_close_matches(keys[-1], known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known keys: {', '.join(known)}"


def _child(model: Any, key: str) -> Any:
    if key.isdigit():
        return model
    field = model.model_fields.get(key)
    if field is None:
        return None
    kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
    for kind in kinds:
        for inner in (kind, *getattr(kind, "__args__", ())):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                return inner
    return None
