"""Files that commands read: checkpoints, calibrations, tokens, saved states."""

import io
import json
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from safetensors.torch import save, save_file
from torch import Tensor

from artpack.artifact.weights import read_weights
from artpack.calibration.file import KINDS, Calibration, read_calibration, write_calibration
from artpack.errors import CheckpointError
from artpack.evaluation.tokens.shards import read_tokens, write_shard
from artpack.evaluation.ttt.saved_state import Keeper
from artpack.training.run_state import read_state, write_state
from tests.checkpoint import gguf_cases
from tests.fuzz.mutate import change_bytes, change_tree
from tests.fuzz.target import FaultError, Target, digest, saved
from tests.fuzz.texts import change_json
from tests.graphs import tiny

INDEX = "model.safetensors.index.json"
FINGERPRINT = "a run"
CORPUS = Path(__file__).parent / "corpus"


def _weights() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(1)
    matrix = torch.randn(8, 6, generator=draw)
    return {
        "module.emb.weight": matrix,
        "module.head.weight": matrix.clone(),
        "module.fc.weight": torch.randn(4, 6, generator=draw).bfloat16(),
        "module.mask": torch.tensor([True, False]),
        "module.step": torch.tensor(7),
        "module.none": torch.empty(0, 3),
    }


def _read_weights(name: str, data: bytes) -> str:
    with saved(data, name) as path:
        return digest(read_weights(path).tensors)


def _safetensors() -> list[bytes]:
    return [save(_weights()), save({"a": torch.ones(3)}, {"format": "pt"})]


def _change_safetensors(draw: Random, data: bytes) -> bytes:
    """Change all bytes, or the header alone, with its length right."""
    if draw.random() < 0.3:
        return change_bytes(draw, data)
    size = int.from_bytes(data[:8], "little")
    header, body = data[8 : 8 + size], data[8 + size :]
    if draw.random() < 0.7:
        header = json.dumps(change_tree(draw, json.loads(header)), default=str).encode()
    else:
        body = change_bytes(draw, body)
    return len(header).to_bytes(8, "little") + header + body


def _torch() -> list[bytes]:
    found = []
    weights = _weights()
    tied = {"model": {**weights, "again": weights["module.emb.weight"].T}, "epoch": 3}
    for content in (weights, tied):
        buffer = io.BytesIO()
        torch.save(content, buffer)
        found.append(buffer.getvalue())
    return found


def _legacy() -> list[bytes]:
    """Return the same from before there were zip files, which holds addresses: made once."""
    return [path.read_bytes() for path in sorted(CORPUS.glob("legacy-*.pt"))]


def change_archive(draw: Random, data: bytes, *, first: str = "data.pkl") -> bytes:
    """Change all bytes, or a record of the zip file, one of them above all, its checksum right."""
    if draw.random() < 0.2:
        return change_bytes(draw, data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        records = [(name, archive.read(name)) for name in archive.namelist()]
    chosen = [at for at, (name, _) in enumerate(records) if name.endswith(first)]
    at = chosen[0] if draw.random() < 0.8 else draw.randrange(len(records))
    records[at] = records[at][0], change_bytes(draw, records[at][1])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, record in records:
            archive.writestr(zipfile.ZipInfo(name), record)
    return buffer.getvalue()


def _gguf() -> list[bytes]:
    kinds = gguf_cases.KINDS
    weights = {
        f"{kind.name}.weight": (gguf_cases.drawn(3, 64), kind)
        for kind in (kinds.F32, kinds.F16, kinds.Q8_0, kinds.Q4_0)
    }
    with TemporaryDirectory() as folder:
        return [gguf_cases.write(Path(folder, "a"), "none", weights, {"width": 4}).read_bytes()]


def _onnx() -> list[bytes]:
    return [make().SerializeToString() for make in tiny.GRAPHS.values()]


def _index() -> list[bytes]:
    shards = {name: f"{i % 2}.safetensors" for i, name in enumerate(_weights())}
    return [json.dumps({"metadata": {"total_size": 1}, "weight_map": shards}).encode()]


def _read_index(data: bytes) -> str:
    weights = list(_weights().items())
    with saved(data, INDEX) as path:
        for i in range(2):
            save_file(dict(weights[i::2]), path.with_name(f"{i}.safetensors"))
        return digest(read_weights(path).tensors)


def _calibration() -> list[bytes]:
    draw = torch.Generator().manual_seed(2)
    inputs = torch.randn(9, 6, generator=draw)
    moments = inputs.T @ inputs / 9
    moments = (moments + moments.T) / 2
    made = Calibration({"a": moments}, {"a": torch.ones(4)}, {"b": torch.ones(5)}, 9, {"x": 1})
    with TemporaryDirectory() as folder:
        path = Path(folder, "a")
        write_calibration(path, made)
        return [path.read_bytes()]


def _read_calibration(data: bytes) -> str:
    with saved(data, "a.calibration") as path:
        found = read_calibration(path)
        content = {f"{kind}/{n}": t for kind in KINDS for n, t in getattr(found, kind).items()}
        if not all(bool(tensor.isfinite().all()) for tensor in content.values()):
            raise FaultError("a moment is not finite")
        return digest(content) + repr((found.tokens, found.fingerprint))


def _shards() -> list[bytes]:
    with TemporaryDirectory() as folder:
        path = Path(folder, "a.bin")
        write_shard(path, np.arange(50))
        return [path.read_bytes()]


def _arrays() -> list[bytes]:
    found = []
    for dtype in ("uint16", "int64", ">u4"):
        buffer = io.BytesIO()
        np.save(buffer, np.arange(50).astype(dtype))
        found.append(buffer.getvalue())
    return found


def _read_tokens(name: str, data: bytes) -> str:
    with saved(data, name) as path:
        ids = read_tokens(str(path), vocab_size=1000)
    if ids.ndim != 1 or ids.dtype.kind != "u" or (ids.size and int(ids.max()) >= 1000):
        raise FaultError("no stream of tokens of this vocabulary")
    return repr(ids.tolist())


def _states() -> list[bytes]:
    with TemporaryDirectory() as folder:
        path = Path(folder, "state")
        Keeper(path, {"run": FINGERPRINT}).write(3, _weights())
        return [path.read_bytes()]


def _read_keeper(data: bytes) -> str:
    with saved(data, "state") as path:
        found = Keeper(path, {"run": FINGERPRINT}).read()
    if found is None:
        raise FaultError("no state where there is a file")
    return digest(dict(sorted(found[1].items()))) + repr(found[0])


def _runs() -> list[bytes]:
    with TemporaryDirectory() as folder:
        write_state(Path(folder), {"fingerprint": FINGERPRINT, "step": 3, "weights": _weights()})
        return [Path(folder, "state.pt").read_bytes()]


def _read_run(data: bytes) -> str:
    with saved(data, "state.pt") as path:
        return _content(read_state(path.parent, fingerprint=FINGERPRINT))


def _content(value: Any, depth: int = 8) -> str:
    if not depth:
        raise CheckpointError("deeper than a run")
    if isinstance(value, Tensor):
        return digest({"": value}) if value.layout is torch.strided else "sparse"
    if isinstance(value, dict):
        return repr([(str(key), _content(item, depth - 1)) for key, item in value.items()])
    return type(value).__name__


Change = Callable[[Random, bytes], bytes]


def _checkpoint(name: str, make: Callable[[], list[bytes]], change: Change, file: str) -> Target:
    return Target(f"checkpoint-{name}", make, change, partial(_read_weights, file))


TARGETS = (
    _checkpoint("safetensors", _safetensors, _change_safetensors, "a.safetensors"),
    _checkpoint("torch", _torch, change_archive, "a.pt"),
    _checkpoint("torch-legacy", _legacy, change_bytes, "a.pt"),
    _checkpoint("gguf", _gguf, change_bytes, "a.gguf"),
    _checkpoint("onnx", _onnx, change_bytes, "a.onnx"),
    Target("checkpoint-index", _index, change_json, _read_index),
    Target("calibration", _calibration, _change_safetensors, _read_calibration),
    Target("tokens-shard", _shards, change_bytes, partial(_read_tokens, "a.bin")),
    Target("tokens-npy", _arrays, change_bytes, partial(_read_tokens, "a.npy")),
    Target("state-ttt", _states, _change_safetensors, _read_keeper, sealed=True),
    Target("state-training", _runs, change_archive, _read_run),
)
