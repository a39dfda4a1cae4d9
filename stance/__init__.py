"""Stance of statements towards giving aid to Ukraine: supportive, conditional, opposed or none.

>>> from stance import StanceClassifier
>>> clf = StanceClassifier.load()
>>> clf.predict(["We will keep sending Ukraine what it needs."])[0].stance
<Stance.SUPPORTIVE: 'supportive'>
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from stance.errors import BundleError, ConfigError, DataError, ExportError, StanceError, UsageError
from stance.records import LABELS, Annotation, Article, Prediction, Stance, Statement
from stance.version import __version__

if TYPE_CHECKING:
    from stance.annotations import read_annotations
    from stance.classifier import StanceClassifier
    from stance.config import load_config

# Modules that are imported only when their name is asked for, so that `import stance` is instant.
_LAZY = {
    "StanceClassifier": "stance.classifier",
    "load_config": "stance.config",
    "read_annotations": "stance.annotations",
}

__all__ = [
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


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
