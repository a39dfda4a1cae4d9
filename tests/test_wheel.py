"""The wheel in an environment of its own, with the core dependencies and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from stance.bundle import find_bundle
from stance.errors import UsageError

ROOT = Path(__file__).parent.parent


def call(*command: str | Path, cwd: Path = ROOT) -> str:
    done = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dist")
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", directory, ".")
    [path] = directory.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the programs of an environment that holds the wheel."""
    directory = tmp_path_factory.mktemp("user")
    venv.create(directory, with_pip=False)
    programs = directory / Path(sys.executable).parent.name
    call(
        *(sys.executable, "-m", "pip", "--python", programs / Path(sys.executable).name, "install"),
        *("--quiet", "--no-compile", "-c", ROOT / "constraints.txt", wheel),
    )
    return programs


def test_the_wheel_holds_the_whole_package_and_nothing_else(wheel: Path) -> None:
    names = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    there = [p for p in (ROOT / "stance").rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    assert names == {p.relative_to(ROOT).as_posix() for p in there}


def test_the_core_needs_no_training_library(installed: Path) -> None:
    code = (
        "import importlib.util as u; print([m for m in"
        " ('stance', 'torch', 'transformers', 'sklearn', 'datasets', 'scipy') if u.find_spec(m)])"
    )
    assert call(installed / "python", "-c", code, cwd=installed) == "['stance']\n"


def test_the_installed_command_predicts(installed: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("text\nsend aid\nstop\n")
    output = tmp_path / "out.jsonl"
    call(installed / "stance", "predict", "in.csv", "-o", output, "-m", tiny_bundle, cwd=tmp_path)
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["stance"] for row in rows] == ["supportive", "opposed"]


def test_the_installed_command_says_what_evaluation_needs(
    installed: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "gold.csv").write_text("text,stance\nsend,supportive\n")
    done = subprocess.run(
        [str(installed / "stance"), "evaluate", "--gold", "gold.csv", "-m", str(tiny_bundle)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "pip install 'stance[evaluation]'" in done.stderr


def test_the_installed_command_predicts_with_the_shipped_model(installed: Path, tmp_path: Path) -> None:
    try:
        find_bundle("default")
    except UsageError:
        pytest.skip("this checkout holds no shipped model yet")
    (tmp_path / "in.txt").write_text("Not one more shell for Kyiv; we must stop all aid to Ukraine.\n")
    call(installed / "stance", "predict", "in.txt", "-o", "out.jsonl", cwd=tmp_path)
    assert json.loads((tmp_path / "out.jsonl").read_text())["stance"] == "opposed"
