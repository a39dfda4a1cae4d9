"""Every example of the README runs, and every command stands in it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stance.bundle import MANIFEST, SHIPPED
from stance.config import Config, load_config

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SKIPPED = "<!-- not run by the tests"
BLOCK = re.compile(r"(?P<before>[^\n]*)\n```(?P<language>\w+)\n(?P<body>.*?)```", re.DOTALL)
COMMAND = Path(sys.executable).with_name("stance")

needs_model = pytest.mark.skipif(
    not (SHIPPED / "default" / MANIFEST).exists(), reason="no shipped model in this checkout"
)


def _blocks(language: str, *, skipped: bool = False) -> list[str]:
    return [
        m["body"]
        for m in BLOCK.finditer(README)
        if m["language"] == language and m["before"].startswith(SKIPPED) == skipped
    ]


def _commands(*, skipped: bool = False) -> list[str]:
    lines = "".join(_blocks("sh", skipped=skipped)).splitlines()
    return [line for line in lines if line.startswith(("stance ", "echo "))]


@needs_model
def test_commands_run_in_their_order(tmp_path: Path) -> None:
    for name in ("data", "configs"):
        (tmp_path / name).symlink_to(ROOT / name)
    for line in _commands():
        script = re.sub(r"(^|\| )stance ", lambda m: f"{m[1]}{shlex.quote(str(COMMAND))} ", line)
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"


@needs_model
def test_python_examples_run(tmp_path: Path) -> None:
    for body in _blocks("python"):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", body],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("\n") == 2


def test_commands_that_are_not_run_name_a_config_that_loads() -> None:
    commands = _commands(skipped=True)
    assert commands
    for line in commands:
        _, command, path, *overrides = shlex.split(line)
        assert command == "train"
        assert load_config(ROOT / path, overrides).output in line


def test_yaml_examples_are_valid_configurations() -> None:
    for body in _blocks("yaml"):
        Config.model_validate(yaml.safe_load(body))


def test_every_command_stands_in_the_readme() -> None:
    from stance.cli import annotations_app, app

    names = [c.name or c.callback.__name__ for c in app.registered_commands if c.callback]
    names += [f"annotations {c.name}" for c in annotations_app.registered_commands]
    assert [name for name in names if f"stance {name}" not in README] == []


def test_every_module_stands_in_the_file_map() -> None:
    modules = {p.name for p in (ROOT / "stance").glob("*.py")} - {"__init__.py", "version.py"}
    assert {name for name in modules if f"stance/{name}`" not in README} == set()


def test_every_link_to_a_file_leads_to_one() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
