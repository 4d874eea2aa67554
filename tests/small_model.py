"""A folder with a small model in it, and all that packing and scoring it takes."""

import json
from pathlib import Path

import numpy as np
import torch
from sentencepiece import SentencePieceProcessor

from artpack.evaluation.tokens.shards import write_shard
from artpack.models import ModelConfig
from artpack.models.mechanisms import Rope, Softcap
from tests.models.conftest import random_weights


def write_small_model(folder: Path, tokenizer: SentencePieceProcessor, tokens: int) -> ModelConfig:
    """Write a checkpoint, its config, a tokenizer, and shards of so many tokens."""
    vocabulary = tokenizer.vocab_size()
    config = ModelConfig(vocabulary, 64, 2, 4, 2, 128, Rope(10000.0, 16), Softcap("tanh", 30.0))
    torch.save(random_weights(config), folder / "ckpt.pt")
    described = {**config.to_json(), "train_window_tokens": 32}
    (folder / "config.json").write_text(json.dumps(described))
    (folder / "sp.model").write_bytes(tokenizer.serialized_model_proto())
    for seed, name in enumerate(("calib.bin", "val.bin")):
        ids = np.random.default_rng(seed).integers(4, vocabulary, tokens)
        ids[::64] = 1
        write_shard(folder / name, ids)
    return config
