"""The network: an encoder, the mean of its token vectors, four logits.

Sentence encoders such as all-MiniLM and all-mpnet were trained to say what a text means by
the mean of its token vectors (N. Reimers and I. Gurevych, "Sentence-BERT", 2019); the
heads that transformers gives them read the first token alone, which they never trained.

Importing this module tells transformers of the architecture, so that its `Auto` classes
and pipelines read a checkpoint as they read any other.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import SequenceClassifierOutput


class MeanPoolingConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """Settings of the encoder, under ``encoder``, and of the head."""

    model_type = "stance-mean-pooling"
    sub_configs: ClassVar[dict[str, Any]] = {"encoder": AutoConfig}

    def __init__(
        self,
        encoder: PreTrainedConfig | dict[str, Any] | None = None,
        classifier_dropout: float = 0.1,
        **settings: Any,
    ) -> None:
        """Wrap an encoder's settings; `classifier_dropout` is that of the pooled vector."""
        if isinstance(encoder, dict):
            encoder = CONFIG_MAPPING[encoder["model_type"]](**encoder)
        self.encoder = encoder if encoder is not None else CONFIG_MAPPING["bert"]()
        self.classifier_dropout = classifier_dropout
        super().__init__(**settings)


class MeanPoolingClassifier(PreTrainedModel):  # type: ignore[no-untyped-call]
    """Logits of a text, from the mean of the encoder's vectors over its tokens."""

    config_class = MeanPoolingConfig
    base_model_prefix = "encoder"

    def __init__(self, config: MeanPoolingConfig) -> None:
        """Build the network untrained; ``from_pretrained`` reads a checkpoint."""
        super().__init__(config)
        self.encoder = without_pooler(AutoModel.from_config(config.encoder))  # type: ignore[no-untyped-call]
        self.dropout = torch.nn.Dropout(config.classifier_dropout)
        self.classifier = torch.nn.Linear(int(config.encoder.hidden_size or 0), int(config.num_labels or 0))
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Logits of texts, and their loss where labels are given.

        Args:
            input_ids: shape (batch, tokens).
            attention_mask: 1 for a token, 0 for padding, same shape.
            token_type_ids: the segment of each token, for encoders that tell segments apart.
            labels: positions, shape (batch,), or shares of the labels, shape (batch, labels).
        """
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        segments = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        vectors = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask, **segments
        ).last_hidden_state
        counts = attention_mask.unsqueeze(-1).to(torch.float32)
        mean = (vectors.float() * counts).sum(dim=1) / counts.sum(dim=1)
        logits = self.classifier(self.dropout(mean))
        loss = None if labels is None else torch.nn.functional.cross_entropy(logits.float(), labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)

    def get_input_embeddings(self) -> torch.nn.Module:
        """The encoder's word embeddings."""
        embeddings: torch.nn.Module = self.encoder.get_input_embeddings()
        return embeddings


def without_pooler(encoder: Any) -> Any:
    """The encoder without the layer that reads the first token alone, which the mean leaves unused."""
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None
    return encoder


AutoConfig.register(MeanPoolingConfig.model_type, MeanPoolingConfig)
AutoModelForSequenceClassification.register(MeanPoolingConfig, MeanPoolingClassifier)
