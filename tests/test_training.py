"""Training: config → checkpoint → bundle, on the packaged encoder cut to one layer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from stance.bundle import read_manifest
from stance.classifier import StanceClassifier
from stance.config import Config, load_config
from stance.dataset import load_gold, one_hot
from stance.errors import ExportError, StanceError, UsageError
from stance.export import export
from stance.inputs import encode
from stance.metrics import figures
from stance.records import LABELS, Statement
from stance.run import Run, train_and_export
from stance.stance_metric import StanceMetric
from stance.training import load_encoder, loss_function, tokenized, train

SMOKE = "configs/smoke.yaml"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    output = tmp_path_factory.mktemp("smoke") / "run"
    return train_and_export(load_config(SMOKE, [f"output={output}", "training.evaluations_per_epoch=2"]))


@pytest.fixture(scope="module")
def config(run: Run) -> Config:
    return load_config(run.training.checkpoint.parent / "config.yaml")


def _statements(run: Run) -> list[Statement]:
    return [item.statement for item in run.training.gold.validation]


def test_checkpoint_is_a_transformers_folder_that_a_pipeline_reads(run: Run) -> None:
    classify = pipeline("text-classification", model=str(run.training.checkpoint))
    answer = classify("We will send Ukraine more air defence.")
    assert answer[0]["label"] in {label.value for label in LABELS}


def test_classifier_equals_the_checkpoint_in_torch(run: Run, config: Config) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(run.training.checkpoint).eval()
    tokenizer = AutoTokenizer.from_pretrained(run.training.checkpoint)
    statements = _statements(run)
    encoded = encode(
        tokenizer.backend_tokenizer,
        statements,
        mask_actor=config.inputs.mask_actor,
        context=config.inputs.context,
        max_tokens=config.inputs.max_tokens,
    )
    with torch.no_grad():
        rows = [
            model(input_ids=torch.tensor([e.ids]), token_type_ids=torch.tensor([e.type_ids]))
            .logits[0]
            .numpy()
            for e in encoded
        ]
    np.testing.assert_allclose(
        StanceClassifier(run.export.bundle).logits(statements), np.stack(rows), atol=0.02
    )


def test_learning_curve_is_kept_with_one_score_an_evaluation(run: Run) -> None:
    curve = json.loads((run.training.checkpoint.parent / "learning_curve.json").read_text())
    assert [entry["step"] for entry in curve if "eval_macro_f1" in entry][:2] == [6, 8]


def test_bundle_carries_the_config_and_the_parity_it_was_released_with(run: Run, config: Config) -> None:
    manifest = read_manifest(run.export.bundle)
    assert manifest.config == config
    assert manifest.scores["validation"]["n_items"] == len(run.training.gold.validation)
    assert manifest.quantisation == "int8"


def test_same_seed_gives_the_same_model_and_another_seed_another(
    run: Run, config: Config, tmp_path: Path
) -> None:
    again = train(config.model_copy(update={"output": str(tmp_path / "again")}))
    other = train(config.model_copy(update={"output": str(tmp_path / "other"), "seed": config.seed + 1}))
    weights = [
        AutoModelForSequenceClassification.from_pretrained(path).state_dict()
        for path in (run.training.checkpoint, again.checkpoint, other.checkpoint)
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not torch.equal(weights[0]["classifier.weight"], weights[2]["classifier.weight"])


def test_resuming_continues_at_the_last_checkpoint(config: Config, tmp_path: Path) -> None:
    recipe = config.training.model_copy(update={"max_steps": 4})
    short = config.model_copy(update={"output": str(tmp_path / "run"), "training": recipe})
    train(short)
    resumed = train(short.model_copy(update={"training": config.training}), resume=True)
    steps = [entry["step"] for entry in resumed.curve if "eval_macro_f1" in entry]
    assert steps[0] == 4
    assert steps[-1] == 8


def test_export_refuses_a_model_whose_labels_flip(
    run: Run, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # weights of -1, 0 and 1 only: what a quantisation that fails looks like
    monkeypatch.setattr("stance.export._WEIGHT_LIMIT", 1)
    strict = config.model_copy(update={"export": config.export.model_copy(update={"max_flipped": 0.0})})
    items = run.training.gold.train
    with pytest.raises(ExportError, match="another label than fp32"):
        export(
            run.training.checkpoint,
            tmp_path / "bundle",
            config=strict,
            validation=items,
            calibration=[item.statement for item in items],
        )
    assert not (tmp_path / "bundle").exists()


def test_answers_do_not_depend_on_the_batch(run: Run) -> None:
    statements = _statements(run)
    together = StanceClassifier(run.export.bundle, batch_size=64).logits(statements)
    alone = StanceClassifier(run.export.bundle, batch_size=1).logits(statements)
    np.testing.assert_allclose(together, alone, atol=2e-3)
    assert (together.argmax(axis=1) == alone.argmax(axis=1)).all()


def test_unknown_encoder_says_which_key_is_wrong() -> None:
    config = load_config(SMOKE, ["encoder.name=./no/such/encoder"])
    with pytest.raises(UsageError, match=r"encoder\.name"):
        load_encoder(config.encoder)


def test_layers_that_the_encoder_lacks_are_refused() -> None:
    config = load_config(SMOKE, ["encoder.layers=[0, 9]"])
    with pytest.raises(UsageError, match="layers 0 to 5"):
        load_encoder(config.encoder)


def test_training_reads_the_words_and_no_padding_of_the_tokenizers_own() -> None:
    config = load_config(SMOKE)
    tokenizer, _ = load_encoder(config.encoder)
    items = load_gold(config.data, seed=1).validation
    rows = tokenized([item.statement for item in items], one_hot(items), tokenizer, config.inputs)
    assert tokenizer.pad_token_id not in {token for ids in rows["input_ids"] for token in ids}
    assert len({len(ids) for ids in rows["input_ids"]}) > 1


def test_kept_layers_are_the_encoders_own_in_the_given_order() -> None:
    _, whole = load_encoder(load_config(SMOKE, ["encoder.layers=null"]).encoder)
    _, part = load_encoder(load_config(SMOKE, ["encoder.layers=[1, 4]"]).encoder)
    weight = "encoder.encoder.layer.{}.output.dense.weight"
    assert torch.equal(part.state_dict()[weight.format(1)], whole.state_dict()[weight.format(4)])
    assert part.config.encoder.num_hidden_layers == 2


def test_training_goes_on_from_a_checkpoint_with_its_head(run: Run) -> None:
    _, model = load_encoder(
        load_config(SMOKE, [f"encoder.name={run.training.checkpoint}", "encoder.layers=null"]).encoder
    )
    kept = AutoModelForSequenceClassification.from_pretrained(run.training.checkpoint).state_dict()
    assert all(torch.equal(kept[name], value) for name, value in model.state_dict().items())


def test_metric_of_the_library_equals_sklearn() -> None:
    rng = np.random.default_rng(7)
    gold, predicted = rng.integers(0, 4, 200), rng.integers(0, 4, 200)
    computed = StanceMetric().compute(predictions=predicted, references=gold)
    assert computed is not None
    assert computed == pytest.approx(figures(gold, predicted))
    assert computed["macro_f1"] == pytest.approx(f1_score(gold, predicted, average="macro"))
    assert computed["accuracy"] == pytest.approx(accuracy_score(gold, predicted))


def test_bad_rows_are_reported_and_the_others_trained_on(tmp_path: Path) -> None:
    rows = Path("data/statements/messy.jsonl").read_text(encoding="utf-8").splitlines()[:60]
    data = tmp_path / "some.jsonl"
    data.write_text("\n".join([*rows[:3], "{broken", *rows[3:]]) + "\n", encoding="utf-8")
    gold = load_gold(load_config(SMOKE, [f"data.train=[{{path: {data}}}]"]).data, seed=1)
    assert len(gold.train) + len(gold.validation) == 60
    assert [(fault.line, fault.file) for fault in gold.faults] == [(4, str(data))]


def test_class_weights_raise_the_loss_of_rare_labels() -> None:
    config = load_config(SMOKE)
    items = load_gold(config.data, seed=1).train
    rare = [items[0]] + [item for item in items if item.stance is not items[0].stance]
    targets = one_hot(rare)
    weighted = loss_function(config.training.model_copy(update={"class_weights": "balanced"}), targets)
    plain = loss_function(config.training, targets)
    logits = {"logits": torch.zeros(1, 4)}
    label = torch.tensor(targets[:1])
    assert weighted(logits, label) > plain(logits, label)


def test_an_empty_training_file_is_a_data_error(tmp_path: Path) -> None:
    empty = tmp_path / "empty.csv"
    empty.write_text("text,stance\n")
    with pytest.raises(StanceError, match="only 0 usable statements"):
        train(load_config(SMOKE, [f"data.train=[{{path: {empty}}}]", f"output={tmp_path / 'out'}"]))


@pytest.mark.parametrize("name", ["accurate", "release", "release-small"])
def test_the_way_of_every_other_config_runs_on_the_packaged_encoder(name: str, tmp_path: Path) -> None:
    config = load_config(
        f"configs/{name}.yaml",
        [
            f"output={tmp_path / 'run'}",
            "data.train=[{path: data/statements/messy.jsonl, sample: 60}]",
            "encoder.name=packaged",
            "encoder.layers=[0]",
            "distillation=null",
            "training.max_steps=2",
            "training.evaluations_per_epoch=1",
        ],
    )
    assert (train(config).checkpoint / "model.safetensors").is_file()
