"""The whole way of ``stance train``: config → checkpoint → bundle, all in the output folder."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from stance.config import Config
from stance.export import Export, export
from stance.training import Training, train


@dataclass(frozen=True)
class Run:
    """A finished run: the training and the exported bundle."""

    training: Training
    export: Export


def train_and_export(config: Config, *, resume: bool = False, progress: bool = False) -> Run:
    """Train, write the checkpoint, and export it to ``<output>/bundle``.

    Raises:
        StanceError: see `stance.training.train` and `stance.export.export`.
    """
    training = train(config, resume=resume, progress=progress)
    digest = hashlib.sha256()
    for statement, target in zip(training.lessons.statements, training.lessons.targets, strict=True):
        row = [statement.text, statement.context, statement.actor, *(f"{share:.4f}" for share in target)]
        digest.update(json.dumps(row).encode())
    exported = export(
        training.checkpoint,
        Path(config.output) / "bundle",
        config=config,
        validation=training.gold.validation,
        calibration=[item.statement for item in training.gold.train],
        data_sha256=digest.hexdigest(),
    )
    return Run(training, exported)
