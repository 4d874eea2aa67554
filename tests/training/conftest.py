"""Fixtures of the training tests: a little text as data, and settings small enough for it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from artpack.models import ModelConfig, preset
from artpack.training.data import Data, read_data
from artpack.training.loop import Machine
from artpack.training.recipe import load_training
from artpack.training.scale import scale_model
from artpack.training.settings import Training
from artpack.training.tokenize import split_documents, train_tokenizer, write_dataset

FP32 = Machine(precision="fp32")
SMALL = (
    "batches.tokens=256",
    "batches.window_tokens=32",
    "batches.micro_tokens=64",
    "schedule.warmup_steps=2",
)


def documents(count: int) -> list[str]:
    """Make documents in which one word tells much about the next."""
    random = np.random.default_rng(0)
    words = np.array(["ark", "bread", "cedar", "dove", "earth", "flood", "grain", "harp", "ivory"])
    texts = []
    for _ in range(count):
        steps = random.choice([1, 1, 1, 2, 5], size=60)
        texts.append(" ".join(words[np.cumsum(steps) % len(words)]))
    return texts


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Such small matrices only lose by being shared among threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a dataset of some 20,000 tokens."""
    folder = tmp_path_factory.mktemp("data") / "words"
    split = split_documents(["\0".join(documents(120))], held_out_share=0.1)
    write_dataset(folder, split, train_tokenizer(split.train, 300), shard_tokens=2000)
    return folder


@pytest.fixture(scope="session")
def data(data_folder: Path) -> Data:
    """Return that dataset."""
    return read_data(data_folder, held_out_tokens=300)


@pytest.fixture(scope="session")
def config(data: Data) -> ModelConfig:
    """Return a model of two layers."""
    return scale_model(preset("lm6m"), vocab_size=data.vocab_size, layers=2, width=32)


@pytest.fixture(scope="session")
def training() -> Training:
    """Return settings for six steps with every average."""
    plain = load_training("plain", SMALL, steps=6)
    other = load_training("pr1123", steps=6).averages
    return replace(plain, averages=(*plain.averages, *other))
