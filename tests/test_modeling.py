"""The network: its mean leaves padding out, and a checkpoint comes back whole."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from stance.config import load_config
from stance.modeling import MeanPoolingClassifier
from stance.training import load_encoder

IDS = torch.tensor([[101, 2057, 2097, 4604, 102], [101, 2644, 102, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


@pytest.fixture(scope="module")
def model() -> MeanPoolingClassifier:
    torch.manual_seed(3)
    loaded = load_encoder(load_config("configs/smoke.yaml").encoder)[1]
    assert isinstance(loaded, MeanPoolingClassifier)
    loaded.train(False)
    return loaded


def test_logits_are_those_of_the_mean_over_the_texts_own_tokens(model: MeanPoolingClassifier) -> None:
    with torch.no_grad():
        logits = model(IDS, MASK).logits
        vectors = model.encoder(input_ids=IDS, attention_mask=MASK).last_hidden_state
        expected = model.classifier(torch.stack([vectors[0].mean(0), vectors[1, :3].mean(0)]))
    torch.testing.assert_close(logits, expected)


def test_padding_and_company_change_nothing(model: MeanPoolingClassifier) -> None:
    with torch.no_grad():
        together, alone = model(IDS, MASK).logits[1:], model(IDS[1:, :3]).logits
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_a_checkpoint_comes_back_whole(model: MeanPoolingClassifier, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert isinstance(again, MeanPoolingClassifier)
    assert again.config.id2label == model.config.id2label
    with torch.no_grad():
        assert torch.equal(again(IDS, MASK).logits, model(IDS, MASK).logits)


def test_the_loss_is_that_of_positions_and_of_shares(model: MeanPoolingClassifier) -> None:
    positions = torch.tensor([2, 0])
    shares = torch.nn.functional.one_hot(positions, 4).float()
    with torch.no_grad():
        losses = [model(IDS, MASK, labels=labels).loss for labels in (positions, shares)]
    torch.testing.assert_close(losses[0], losses[1])
