"""What is imported when: start-up stays light, prediction needs neither torch nor transformers."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = [
    "torch",
    "transformers",
    "datasets",
    "evaluate",
    "sklearn",
    "scipy",
    "onnxruntime",
    "pyarrow",
    "tokenizers",
    "matplotlib",
]


def _loaded(code: str) -> set[str]:
    script = f"{code}\nimport sys; print(*[n for n in {HEAVY!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("code", ["import stance", "import stance.cli"])
def test_start_up_imports_nothing_heavy(code: str) -> None:
    assert _loaded(code) == set()


def test_prediction_imports_neither_torch_nor_transformers_nor_sklearn() -> None:
    loaded = _loaded("from stance import StanceClassifier; StanceClassifier.load().predict(['We send aid.'])")
    assert loaded == {"onnxruntime", "tokenizers"}
