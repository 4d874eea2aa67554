"""
Hashes of a fixed set of artifacts: ``python -m benchmarks.fixed_set``.

A change that must not alter any file is checked by running this before and after it. The
set: every recipe on the model that comes with the package, with a calibration of it and
without, a budget, checkpoints with ties and with many dtypes, and the small cases of the published
systems that the tests keep: their weights, and their containers imported. The
versions of libraries that a header states are left out of its hash. Calibrations are sums
of floats, so hashes are compared between two runs on one machine.
"""

import argparse
import hashlib
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import brotli
import cbor2
import torch
from safetensors.torch import save_file

from artpack.demo import write_demo
from tests.golden.archive import unpack

RECIPES = (
    *("int4", "int5", "int6", "int8", "lossless", "quinary", "ternary"),
    *("pr1123", "pr1934", "pr2086", "pr576", "pr826", "frontier"),
)
WITH_DATA = ("int4", "int6", "pr1934", "pr576", "pr826", "frontier")
ODD_RECIPES = ("int6", "ternary", "lossless", "pr826", "frontier")
PREAMBLE = struct.Struct("<8sHIIQ8s8s")


def main() -> None:
    """Pack the set and print a hash for each file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="Only names that contain this.")
    only = parser.parse_args().only
    with tempfile.TemporaryDirectory() as folder:
        for name, arguments in cases(Path(folder)):
            if only in name:
                target = Path(folder, "out.artpack")
                target.unlink(missing_ok=True)
                run(*arguments, "-o", str(target))
                print(f"{file_hash(target.read_bytes())}  {name}", flush=True)


def cases(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the name of each file and the arguments that make it."""
    write_demo(folder / "demo")
    model, calibration = str(folder / "demo/model.safetensors"), str(folder / "calibration")
    tokens = str(folder / "demo/calibration.bin")
    run("calibrate", model, "--tokens", tokens, "--limit-tokens", "8192", "-o", calibration)
    known = compress(model, "--calibration", calibration)
    for recipe in RECIPES:
        if recipe not in ("pr1934", "pr576", "pr826"):
            yield f"demo {recipe}", compress(model, "--recipe", recipe)
    for recipe in WITH_DATA:
        yield f"demo {recipe} calibrated", [*known, "--recipe", recipe]
    yield "demo frontier 480 KB", [*known, "--budget", "480K"]
    yield "demo int6 default profile", ["compress", model, "--recipe", "int6"]
    odd = folder / "odd.safetensors"
    save_file(odd_checkpoint(), odd)
    tied = folder / "tied.pt"
    torch.save(tied_checkpoint(), tied)
    for recipe in ODD_RECIPES[:3]:
        yield f"odd {recipe}", compress(odd, "--recipe", recipe)
    for recipe in ("int6", "frontier"):
        yield f"tied {recipe}", compress(tied, "--recipe", recipe)
    for archive in sorted(Path("tests/golden/cases").glob("*.tar.zst")):
        yield from published(unpack(archive, folder / archive.name))


def published(case: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield what is made of a published system's small case."""
    for container in sorted(case.rglob("artifact*.bin")):
        name = f"{case.name.partition('.')[0]} {container.name}"
        yield name, ["import", str(container), "--profile", "fast"]
    for weights in case.rglob("state_dict.safetensors"):
        for recipe in ("int6", "frontier"):
            yield f"{case.name} {recipe}", compress(weights, "--recipe", recipe)


def compress(weights: Path | str, *options: str) -> list[str]:
    """Return the arguments that pack weights."""
    return ["compress", str(weights), "--profile", "fast", *options]


def odd_checkpoint() -> dict[str, torch.Tensor]:
    """Return tensors of many dtypes and shapes."""
    draw = torch.Generator().manual_seed(0)
    floats = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
    tensors = {
        f"{str(dtype).removeprefix('torch.')}.weight": torch.randn(48, 40, generator=draw).to(dtype)
        for dtype in floats
    }
    tensors |= {
        "int8": torch.randint(-9, 9, (33, 7), generator=draw, dtype=torch.int8),
        "int64": torch.arange(50),
        "bool": torch.rand(20, 3, generator=draw) < 0.5,
        "fp8": torch.randn(32, 32, generator=draw).to(torch.float8_e4m3fn),
        "scalar": torch.tensor(3.5),
        "none": torch.empty(0, 4),
        "vector": torch.randn(77, generator=draw),
    }
    return tensors


def tied_checkpoint() -> dict[str, torch.Tensor]:
    """Return tied tables and matrices."""
    draw = torch.Generator().manual_seed(1)
    table = torch.randn(64, 48, generator=draw)
    layers = {f"layers.{i}.fc.weight": torch.randn(48, 48, generator=draw) for i in range(3)}
    return {"embed.weight": table, **layers, "head.weight": table}


def run(*arguments: str) -> None:
    """Run the command line."""
    command = [sys.executable, "-m", "artpack_cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"artpack {' '.join(arguments)}\n{done.stderr}")


def file_hash(data: bytes) -> str:
    """Return a hash of an artifact that no version of a library has a say in."""
    _, _, stored, _, _, _, _ = PREAMBLE.unpack(data[: PREAMBLE.size])
    header = cbor2.loads(brotli.decompress(data[PREAMBLE.size : PREAMBLE.size + stored]))
    for key in ("artpack", "libraries", "calibration"):
        header["provenance"].pop(key, None)
    streams = data[PREAMBLE.size + stored : -32]
    return hashlib.sha256(cbor2.dumps(header, canonical=True) + streams).hexdigest()[:16]


if __name__ == "__main__":
    main()
