"""
Models of transformers, run, calibrated and scored.

:mod:`~artpack.runners.hugging_face_files` builds them of their files and tensors.
"""

import json
import re
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from artpack.calibration.file import hash_config
from artpack.errors import UsageError
from artpack.models.document_mask import Documents
from artpack.models.generate import draw_tokens
from artpack.runners.losses import LogitsLoss, OutputLoss
from artpack.runners.module import as_rows, call, first_tensor
from artpack.runners.settings import Settings

PASSING = {"_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures"}
"""Fields of a config that do not tell one model from another."""

WITH_HEAD = re.compile(r"For[A-Z]|Head")
"""Found in the class names of models that give logits, as ``GPT2LMHeadModel``."""

MAX_LOGITS = 1 << 25
"""Logits of a pass, as far as whole windows allow: 128 MiB of float32."""

CACHES = ("cache", "past_key_values")
"""What transformers calls its memory of earlier tokens; older ones have the second name."""


class TransformersRunner:
    """
    A model of transformers that can be calibrated, and scored if it is a causal one.

    What comes between the last hidden state and the logits differs from family to family,
    so "states" and "hidden states" are the outputs of every position here.

    Attributes:
        vocab_size: Every id must be below this.
        max_tokens: Longest window that the model takes; None if it does not say.

    Args:
        module: What transformers made; put in evaluation mode.
    """

    def __init__(self, module: Any) -> None:
        self.module: nn.Module = module.eval()
        self.loss: OutputLoss = LogitsLoss()
        text = module.config.get_text_config()
        self.vocab_size: int = getattr(text, "vocab_size", 0)
        self.max_tokens: int | None = getattr(text, "max_position_embeddings", None)

    @property
    def fingerprint(self) -> str:
        """Hash of the model's class and config, in hexadecimal."""
        config: Any = self.module.config
        return hash_config({"class": type(self.module).__name__, "config": _stable(config)})

    @property
    def default_loss(self) -> str:
        """What fits most: ``logits`` where it has a head, and otherwise ``outputs``."""
        return "logits" if WITH_HEAD.search(type(self.module).__name__) else "outputs"

    @property
    def is_causal(self) -> bool:
        """Whether it gives a distribution of each next token."""
        return type(self.module).__name__.endswith(("ForCausalLM", "LMHeadModel")) or (
            self.default_loss == "logits"
            and bool(getattr(self.module, "can_generate", bool)())
            and not getattr(self.module.config, "is_encoder_decoder", False)
        )

    def states(self, batch: Any) -> Tensor:
        """
        Run a batch.

        Args:
            batch: Ids, int64 (B, T); or the arguments of the model, as images (B, C, H, W).

        Returns:
            Logits, or whatever else it gives first, (n, d).

        """
        return as_rows(first_tensor(self._run(batch)))

    def outputs(self, states: Tensor) -> Tensor:
        """Return what :meth:`states` gave."""
        return states

    def hidden(self, ids: Tensor, documents: Documents | None = None) -> Tensor:
        """
        Run rows of tokens.

        Args:
            ids: int64 (B, T), padded on the right, where causal attention does not look.
            documents: None: every row is one window.

        Returns:
            Logits, (B, T, V).

        Raises:
            UsageError: Several windows share a row.

        """
        if documents is not None:
            raise UsageError(
                "a Hugging Face model cannot keep windows of one row apart;"
                " choose a placement that does not pack"
            )
        return first_tensor(self._run(ids))

    def logits(self, hidden: Tensor) -> Tensor:
        """Return what :meth:`hidden` computed."""
        return hidden

    @torch.no_grad()
    def write(
        self, uniform: NDArray[np.float32], *, bos_id: int, temperature: float
    ) -> NDArray[np.int64]:
        """
        Write windows token by token.

        Args:
            uniform: (windows, tokens) in [0, 1): what each token is drawn with.
            bos_id: The first token of every window; its draw is not used.
            temperature: Divides the logits, above 0.

        Returns:
            Token ids, (windows, tokens).

        """
        module: Any = self.module
        draws = torch.from_numpy(uniform).to(module.device)
        ids = torch.full(uniform.shape, bos_id, device=module.device)
        memory: dict[str, Any] = {}
        for token in range(uniform.shape[1] - 1):
            last = ids[:, token : token + 1]
            said = module(input_ids=last, use_cache=True, **memory)
            name = next(name for name in CACHES if name in said)
            memory = {name: said[name]}
            logits = said.logits[:, -1].float() / temperature
            ids[:, token + 1] = draw_tokens(logits, draws[:, token + 1])
        return ids.cpu().numpy()

    def _run(self, batch: Any) -> Any:
        if not isinstance(batch, Tensor) or batch.is_floating_point():
            return call(self.module, batch)
        config: Any = self.module.config
        named: dict[str, Any] = {"input_ids": batch}
        if getattr(config, "is_encoder_decoder", False):
            named |= {"decoder_input_ids": batch, "use_cache": False}
        elif isinstance(getattr(config, "use_cache", None), bool):
            named["use_cache"] = False
        return call(self.module, named)


def _stable(config: Any) -> dict[str, Any]:
    """Return what a config says of the model itself."""
    whole = json.loads(config.to_json_string(use_diff=False))
    return {key: value for key, value in whole.items() if key not in PASSING}


def fitting(settings: Settings, vocab_size: int) -> int:
    """Return how many tokens a pass may have so that its logits fit into memory."""
    return max(1, min(settings.batch_tokens, MAX_LOGITS // max(1, vocab_size)))
