"""The classifier people use: a model bundle on onnxruntime, without torch and transformers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from stance.bundle import MODEL, TOKENIZER, find_bundle, read_manifest
from stance.calibration import probabilities
from stance.errors import BundleError, DataError, UsageError
from stance.inputs import Encoded, bare, batch_arrays, encode
from stance.records import LABELS, Prediction, Stance, Statement

# onnxruntime reports its use from the moment of its import unless told not to; statements are read offline
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort

DEFAULT = "default"
_CHUNK = 1024
"""Statements that `predict_iter` sorts by length at a time."""


class StanceClassifier:
    """Classifies statements by their stance towards giving aid to Ukraine.

    One object may be used by several threads at once.

    >>> clf = StanceClassifier.load()
    >>> [p.stance.value for p in clf.predict(["Not one more shell for Kyiv."])]
    ['opposed']
    """

    def __init__(
        self,
        bundle: str | Path,
        *,
        threads: int | None = None,
        batch_size: int = 32,
        min_confidence: float | None = None,
        three_way: bool = False,
    ) -> None:
        """Load a bundle.

        Args:
            bundle: its directory.
            threads: of onnxruntime; default: as many as the process may use cores.
            batch_size: statements in one call of the model. Answers do not depend on it.
            min_confidence: abstain below this probability; default: the bundle's own.
            three_way: never answer ``none``; the other three share its probability.

        Raises:
            UsageError: an argument is out of range, or there is no bundle.
            BundleError: the bundle is damaged.
        """
        if batch_size < 1:
            raise UsageError(f"batch_size must be at least 1, not {batch_size}")
        if threads is not None and threads < 1:
            raise UsageError(f"threads must be at least 1, not {threads}")
        if min_confidence is not None and not 0 <= min_confidence <= 1:
            raise UsageError(f"min_confidence must lie between 0 and 1, not {min_confidence}")
        directory = Path(bundle)
        self.manifest = read_manifest(directory)
        self.batch_size = batch_size
        self.three_way = three_way
        self.min_confidence = self.manifest.min_confidence if min_confidence is None else min_confidence
        self._tokenizer = _load_tokenizer(directory / TOKENIZER)
        self._session = _load_session(directory / MODEL, threads or _usable_cores())
        self._input_names = [node.name for node in self._session.get_inputs()]

    @classmethod
    def load(cls, path_or_name: str | Path = DEFAULT, **options: Any) -> StanceClassifier:
        """The classifier of a bundle directory, a shipped bundle's name, or a hub id.

        Args:
            path_or_name: e.g. ``"default"``, ``"runs/default/bundle"`` or ``"owner/name"``.
            options: those of the constructor.
        """
        return cls(find_bundle(path_or_name), **options)

    @property
    def name(self) -> str:
        """What predictions carry as their model."""
        return self.manifest.name

    def predict(self, statements: Iterable[str | Statement] | str | Statement) -> list[Prediction]:
        """One prediction a statement, in their order; a list for a single statement, too.

        Raises:
            DataError: a text is empty; the message names its index.
        """
        return list(self.predict_iter(_several(statements)))

    def predict_iter(self, statements: Iterable[str | Statement]) -> Iterator[Prediction]:
        """Predictions of a stream, in its order; memory does not grow with its length."""
        stream = iter(statements)
        start = 0
        while chunk := list(islice(stream, _CHUNK)):
            checked = [_checked(item, start + i) for i, item in enumerate(chunk)]
            encoded = self._encode(checked)
            logits = self._logits(encoded)
            for statement, item, row in zip(checked, encoded, self.probabilities(logits), strict=True):
                yield self._prediction(statement, item, row)
            start += len(chunk)

    def logits(self, statements: Sequence[Statement]) -> NDArray[np.float32]:
        """Raw outputs of the model, shape (statements, 4), in the order of `LABELS`."""
        return self._logits(self._encode(statements))

    def probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """Calibrated probabilities, shape as `logits`; ``none`` gets 0 in a three-way classifier."""
        if self.three_way:
            logits = logits.copy()
            logits[:, Stance.NONE.position] = -np.inf
        return probabilities(logits, self.manifest.temperature)

    def _encode(self, statements: Sequence[Statement]) -> list[Encoded]:
        inputs = self.manifest.inputs
        return encode(
            self._tokenizer,
            statements,
            mask_actor=inputs.mask_actor,
            context=inputs.context,
            max_tokens=inputs.max_tokens,
        )

    def _logits(self, encoded: Sequence[Encoded]) -> NDArray[np.float32]:
        logits = np.empty((len(encoded), len(LABELS)), dtype=np.float32)
        # neighbours in length share a batch, so that little of it is padding
        order = sorted(range(len(encoded)), key=lambda i: len(encoded[i].ids))
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            arrays = batch_arrays(
                [encoded[i] for i in rows], pad_id=self.manifest.pad_id, names=self._input_names
            )
            logits[rows] = self._session.run(None, arrays)[0]
        return logits

    def _prediction(self, statement: Statement, item: Encoded, row: NDArray[np.float64]) -> Prediction:
        best = int(row.argmax())
        return Prediction(
            statement=statement,
            stance=LABELS[best],
            probabilities=dict(zip(LABELS, row.tolist(), strict=True)),
            abstained=bool(row[best] < self.min_confidence),
            truncated=item.truncated,
            n_tokens=item.n_tokens,
            model=self.name,
        )


def _usable_cores() -> int:
    # the affinity, which containers and batch systems set, is known on Linux only
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _several(statements: Iterable[str | Statement] | str | Statement) -> Iterable[str | Statement]:
    return [statements] if isinstance(statements, str | Statement) else statements


def _checked(item: object, index: int) -> Statement:
    statement = Statement(text=item) if isinstance(item, str) else item
    if not isinstance(statement, Statement):
        raise DataError(f"statement {index}: expected a str or a Statement, not {type(item).__name__}")
    if not statement.text.strip():
        raise DataError(f"statement {index}: empty text; expected the words of a statement")
    return statement


def _load_tokenizer(path: Path) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception
        raise BundleError(f"{path}: not a tokenizer: {error}") from error
    return bare(tokenizer)


def _load_session(path: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # arenas that grow with the longest batch are worth more in memory than in time
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a family of its own
        raise BundleError(f"{path}: onnxruntime cannot load it: {error}") from error
