"""A GPU scores what the CPU does."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from sentencepiece import SentencePieceProcessor

from artpack.demo import CHECKPOINT, CONFIG, HELD_OUT, TOKENIZER, write_demo
from artpack.evaluation.scoring.compiled import Compiled
from artpack.evaluation.scoring.score import compare, score
from artpack.evaluation.tokens.stream import Stream, read_stream
from artpack.evaluation.windows.sliding import sequential, sliding
from artpack.models import GPT, build, read_config
from artpack.runners.settings import Settings

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    write_demo(folder)
    return folder


@pytest.fixture(scope="module")
def model(demo: Path) -> GPT:
    config = read_config(json.loads((demo / CONFIG).read_text()))
    return build(config, load_file(demo / CHECKPOINT))


@pytest.fixture(scope="module")
def stream(demo: Path) -> Stream:
    tokenizer = SentencePieceProcessor(model_file=str(demo / TOKENIZER))
    return read_stream(str(demo / HELD_OUT), tokenizer)


def test_float32_scores_what_the_cpu_scores(model: GPT, stream: Stream) -> None:
    ids, counts = stream.ids[:4097], stream.byte_counts[:4097]
    plan = sliding(4096, 512, 128)
    cpu = score(model.cpu(), ids, plan, counts)
    gpu = score(model.cuda(), ids, plan, counts, settings=Settings(device="cuda"))
    assert gpu.loss_nats.value == pytest.approx(cpu.loss_nats.value, abs=1e-5)


def test_bf16_costs_less_than_a_thousandth_bit_per_byte(model: GPT, stream: Stream) -> None:
    plan, ids, counts = sequential(stream.ids.size - 1, 512), stream.ids, stream.byte_counts
    exact = score(model.cuda(), ids, plan, counts, settings=Settings(device="cuda"))
    rough = Settings(device="cuda", precision="bf16")
    bf16 = score(model.cuda(), ids, plan, counts, settings=rough)
    assert abs(bf16.bits_per_byte.value - exact.bits_per_byte.value) < 1e-3


def test_a_compiled_model_scores_the_same(model: GPT, stream: Stream) -> None:
    ids, counts = stream.ids[:16385], stream.byte_counts[:16385]
    plan, settings = sequential(16384, 512), Settings(device="cuda")
    both = compare(model.cuda(), Compiled(model), ids, plan, counts, settings=settings)
    assert abs(both.bits_per_byte_increase.value) < 1e-5
    assert both.kl_nats.value < 1e-6
