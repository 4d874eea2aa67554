"""Divergence of a packed model from the one that was packed, over all tokens of a text."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.llm.texts import Text
from benchmarks.report import Row


class Scorer:
    """
    The unpacked model's distributions, beside which packed ones are scored.

    Its last hidden states are kept, and not its logits: these take 85 times the memory.
    """

    def __init__(self, folder: Path, text: Text) -> None:
        """Run the unpacked model."""
        import transformers  # noqa: PLC0415 - takes long

        self._text = text
        auto: Any = transformers.AutoModelForCausalLM
        self._model = auto.from_pretrained(folder, dtype=torch.float32)
        self._model.eval()
        self._head = self._model.lm_head.weight.detach().clone()
        self._hidden = [self._states(window) for window in text.windows]

    def score(self, weights: Mapping[str, Tensor]) -> Row:
        """Put weights into the model and compare; all but the tied head must be there."""
        missing, unexpected = self._model.load_state_dict(
            {name: weight.float() for name, weight in weights.items()}, strict=False
        )
        assert set(missing) <= {"lm_head.weight"}, missing
        assert not unexpected, unexpected
        found = np.concatenate(
            [
                self._compare(window, hidden)
                for window, hidden in zip(self._text.windows, self._hidden, strict=True)
            ],
            axis=1,
        )
        kl, ours, theirs = found.mean(1)
        nats_per_byte = 1 / (math.log(2) * self._text.bytes_per_token)
        return {
            "kl_nats": round(float(kl), 5),
            "kl_stderr": round(float(_by_window(found[0], self._text).std(ddof=1)), 5),
            "bits_per_byte": round(float(ours) * nats_per_byte, 5),
            "bpb_increase": round(float(ours - theirs) * nats_per_byte, 5),
            "tokens": found.shape[1],
        }

    @torch.inference_mode()
    def _states(self, window: NDArray[np.int64]) -> Tensor:
        hidden: Tensor = self._model.model(torch.from_numpy(window)[None]).last_hidden_state[0, :-1]
        return hidden

    @torch.inference_mode()
    def _compare(self, window: NDArray[np.int64], before: Tensor) -> NDArray[np.float64]:
        """Return KL and both losses in nats, (3, targets)."""
        targets = torch.from_numpy(window[1:])[:, None]
        p = (before @ self._head.T).log_softmax(-1)
        q = self._model.lm_head(self._states(window)).log_softmax(-1)
        kl = (p.exp() * (p - q)).sum(-1)
        losses = [-one.gather(1, targets)[:, 0] for one in (q, p)]
        rows: NDArray[np.float64] = torch.stack([kl, *losses]).double().numpy()
        return rows


def _by_window(values: NDArray[np.float64], text: Text) -> NDArray[np.float64]:
    """Return means whose spread is that of the mean over all windows."""
    means: NDArray[np.float64] = values.reshape(len(text.windows), -1).mean(1)
    return means / math.sqrt(len(means))
