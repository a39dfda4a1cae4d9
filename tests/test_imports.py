"""What is imported when, the public names, and the order of the modules."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import stance

PACKAGE = Path(stance.__file__).parent
TRAINING = {"torch", "transformers", "datasets", "evaluate", "sklearn", "scipy", "matplotlib", "onnx"}
PREDICTION = {"onnxruntime", "pyarrow", "tokenizers"}

# The picture of DESIGN.md: a module imports only from those above it.
ORDER = [
    "stance.errors",
    "stance.version",
    "stance.records",
    "stance",
    "stance.config",
    "stance.tables",
    "stance.bundle",
    "stance.inputs",
    "stance.annotations.tabular",
    "stance.annotations.standoff",
    "stance.annotations.hashed",
    "stance.annotations",
    "stance.agreement",
    "stance.folds",
    "stance.dataset",
    "stance.distillation",
    "stance.calibration",
    "stance.metrics",
    "stance.stance_metric",
    "stance.modeling",
    "stance.training",
    "stance.classifier",
    "stance.export",
    "stance.run",
    "stance.batch",
    "stance.baselines",
    "stance.teaching",
    "stance.evaluation",
    "stance.cli",
]


def imported_by(code: str, *arguments: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after `code`."""
    report = "import sys, json; print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"
    code = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\n{report}"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_package_is_light() -> None:
    loaded = imported_by("import stance")
    assert "stance" in loaded
    assert not loaded & (TRAINING | PREDICTION | {"numpy", "pydantic", "typer", "yaml"})


def test_help_of_the_command_line_is_light() -> None:
    loaded = imported_by("from stance.cli import main; main()", "--help")
    assert "typer" in loaded
    assert not loaded & (TRAINING | PREDICTION)


def test_predicting_needs_no_training_library(tiny_bundle: Path) -> None:
    code = "import stance; print(stance.StanceClassifier(sys.argv[1]).predict('send')[0].stance)"
    loaded = imported_by(code, str(tiny_bundle))
    assert loaded >= {"onnxruntime", "tokenizers"}
    assert not loaded & TRAINING


def test_predicting_a_table_needs_no_training_library(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("text\nsend\n")
    loaded = imported_by(
        "from stance.cli import main; main()",
        *("predict", str(tmp_path / "in.csv"), "-m", str(tiny_bundle), "-o", str(tmp_path / "out.csv")),
    )
    assert (tmp_path / "out.csv").exists()
    assert not loaded & TRAINING


def test_the_public_names_are_these() -> None:
    assert stance.__all__ == [
        "LABELS",
        "Annotation",
        "Article",
        "BundleError",
        "ConfigError",
        "DataError",
        "ExportError",
        "Prediction",
        "Stance",
        "StanceClassifier",
        "StanceError",
        "Statement",
        "UsageError",
        "__version__",
        "load_config",
        "read_annotations",
    ]


@pytest.mark.parametrize("name", stance.__all__)
def test_a_public_name_is_there(name: str) -> None:
    assert getattr(stance, name) is not None


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'StanceClasifier'"):
        stance.StanceClasifier  # noqa: B018


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(node: ast.AST) -> Iterator[str]:
    """Modules of the package that `node` imports when it runs, at any depth."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names if alias.name.split(".")[0] == "stance")
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "write the whole name of a module"
            if (child.module or "").split(".")[0] == "stance":
                members = [f"{child.module}.{alias.name}" for alias in child.names]
                yield from (name if name in MODULES else str(child.module) for name in members)
        yield from imports(child)


def test_every_module_has_its_place_in_the_order() -> None:
    assert sorted(ORDER) == sorted(MODULES)


@pytest.mark.parametrize("module", ORDER)
def test_a_module_imports_only_from_those_above_it(module: str) -> None:
    used = set(imports(ast.parse(MODULES[module].read_text(encoding="utf-8"))))
    assert used <= set(ORDER[: ORDER.index(module)])


def test_the_order_test_sees_imports_inside_functions() -> None:
    tree = ast.parse(
        "def f():\n    from stance import cli\n    from stance.records import Stance\n    import os\n"
    )
    assert set(imports(tree)) == {"stance.cli", "stance.records"}
