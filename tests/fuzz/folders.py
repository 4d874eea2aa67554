"""Files that stand beside others or between commands: configs, records, arrays, tokenizers."""

import io
import json
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from artpack.artifact.weights import read_weights
from artpack.errors import UsageError
from artpack.evaluation.tokens.stream import read_tokenizer
from artpack.models.build import expected_shapes
from artpack.models.find import choose_model, find_model, find_training_window
from artpack.models.kinds import quantization_of
from artpack.models.presets import PRESETS
from artpack.pack.sensitivities import read_sensitivities, write_sensitivities
from artpack.stages.parsing import parse_json
from artpack.submission.record import RECORD, Data, Submission, Windows, read_record
from artpack.system.arrays import read_array, read_arrays
from tests.fuzz.files import change_archive
from tests.fuzz.mutate import change_bytes
from tests.fuzz.target import Target, digest, saved
from tests.fuzz.texts import change_json
from tests.graphs import tiny
from tests.models.published.test_published import LM6M, SMALL

HUGGING_FACE: tuple[dict[str, Any], ...] = (
    {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_layer": 2},
    {"model_type": "llama", "quantization_config": {"quant_method": "fp8", "bits": 8}},
)
SHAPES = expected_shapes(PRESETS["lm6m"].config)
MADE_OF = {"recipe": "int6"}


def _configs() -> list[bytes]:
    return [json.dumps(config).encode() for config in (LM6M, *SMALL.values(), *HUGGING_FACE)]


def _read_config(data: bytes) -> str:
    """Find a model beside weights, and read the same file as what was asked for."""
    with saved(data, "config.json") as path:
        found = find_model(SHAPES, path.parent)
        window = find_training_window(PRESETS["lm6m"].config, path.parent)
        asked: Any = None
        with suppress(UsageError):
            asked = choose_model(str(path), SHAPES, None).stored
    method = quantization_of(parse_json(data))
    return repr((found.stored, window, asked, method))


def _external() -> list[bytes]:
    with TemporaryDirectory() as folder:
        return [tiny.external(tiny.perceptron(), Path(folder, "a.onnx")).read_bytes()]


def _read_external(data: bytes) -> str:
    with saved(data, "a.onnx") as path:
        tiny.external(tiny.perceptron(), path.with_name("b.onnx"))
        return digest(read_weights(path).tensors)


def _records() -> list[bytes]:
    place = Data("data", "0" * 64)
    numbers: dict[str, Any] = {
        **dict.fromkeys(("val_loss", "val_bpb", "val_loss_stderr", "val_bpb_stderr"), 1.25),
        **dict.fromkeys(("bytes_total", "bytes_code", "bytes_artifact", "bytes_limit"), 7),
        **dict.fromkeys(("scored_tokens", "scored_bytes"), 9),
        **dict.fromkeys(("name", "artifact", "script", "train_script", "artpack"), "a"),
    }
    windows = Windows("sliding", 64, None, 1000)
    made = Submission(**numbers, windows=windows, tokens=place, tokenizer=place)
    return [made.text().encode()]


def _read_record(data: bytes) -> str:
    with saved(data, RECORD) as path:
        return read_record(path.parent).text()


def _sensitivities() -> list[bytes]:
    with TemporaryDirectory() as folder:
        path = Path(folder, "a")
        write_sensitivities(path, {"a": 0.5, "b": 2.0}, {**MADE_OF})
        return [path.read_bytes()]


def _read_sensitivities(data: bytes) -> str:
    with saved(data, "a") as path:
        return repr(read_sensitivities(path, {**MADE_OF}))


def _array(values: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def _arrays() -> list[bytes]:
    values = np.arange(24.0).reshape(2, 3, 4)
    return [_array(values), _array(np.asfortranarray(values)), _array(np.float32(1))]


def _archives() -> list[bytes]:
    found = []
    for write in (np.savez, np.savez_compressed):
        buffer = io.BytesIO()
        write(buffer, x=np.arange(24.0).reshape(4, 6), y=np.zeros(4, np.int32))
        found.append(buffer.getvalue())
    return found


def _content(array: Any) -> str:
    return repr((array.dtype, array.shape, array.tobytes()))


def _read_array(data: bytes) -> str:
    with saved(data, "a.npy") as path:
        return _content(read_array(path))


def _read_archive(data: bytes) -> str:
    with saved(data, "a.npz") as path:
        return repr([(name, _content(array)) for name, array in read_arrays(path).items()])


def _tokenizers() -> list[bytes]:
    return [files("artpack.demo").joinpath("data", "tokenizer.model").read_bytes()]


def _read_tokenizer(data: bytes) -> str:
    with saved(data, "a.model") as path:
        return str(read_tokenizer(path).vocab_size())


def _change_archive(draw: Random, data: bytes) -> bytes:
    return change_archive(draw, data, first="x.npy")


TARGETS = (
    Target("config", _configs, change_json, _read_config),
    Target("checkpoint-onnx-external", _external, change_bytes, _read_external),
    Target("submission", _records, change_json, _read_record),
    Target("sensitivities", _sensitivities, change_json, _read_sensitivities),
    Target("array-npy", _arrays, change_bytes, _read_array),
    Target("array-npz", _archives, _change_archive, _read_archive),
    Target("tokenizer", _tokenizers, change_bytes, _read_tokenizer),
)
