"""
One job of the speed benchmark, run by itself: with the code of any commit, in a fresh process.

Prints one line of JSON: what the job took, after everything was compiled and read.
Run by :mod:`benchmarks.bench_speed`; it imports nothing of the benchmarks, so that it can run
beside code that is older than they are.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import Any

Job = tuple[Callable[[], Any], int]
"""What is timed, and how many weights, tokens or symbols it handles."""


class Root:
    """Finds the packages of a work tree, whatever is installed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> ModuleSpec | None:
        """Find the library or the command line; leave everything else to others."""
        if name == "artpack":
            return PathFinder.find_spec(name, [str(self._root)])
        if name == "artpack_cli":
            folder = self._root / "cli"
            return spec_from_file_location(
                name, folder / "__init__.py", submodule_search_locations=[str(folder)]
            )
        return None


def calibrate(data: dict[str, Any]) -> Job:
    """Collect what compress needs to know."""
    import artpack

    def work() -> Any:
        return artpack.calibrate(
            data["checkpoint"], data["tokens"], limit_tokens=data["calibration_tokens"]
        )

    return work, data["calibration_tokens"]


def budget(data: dict[str, Any], *, given: bool) -> Job:
    """Pack to a budget, with a calibration at hand or made on the way."""
    import artpack

    warm_up("frontier")
    source = Path(data["checkpoint"])
    with_data: dict[str, Any] = {"calibration_tokens": data["tokens"]}
    if given:
        with_data["calibration"] = artpack.calibrate(
            source, data["tokens"], limit_tokens=data["calibration_tokens"]
        )

    def work() -> Any:
        return artpack.compress(source, budget=data["budget"], jobs=data["jobs"], **with_data)

    return work, data["weights"]


def pack(data: dict[str, Any], recipe: str) -> Job:
    """Pack by a recipe, without data."""
    import artpack

    warm_up(recipe)
    source = Path(data["weights_file"])

    def work() -> Any:
        return artpack.compress(source, recipe=recipe, jobs=data["jobs"])

    return work, data["file_weights"]


def load(data: dict[str, Any], recipe: str) -> Job:
    """Load what was packed by a recipe."""
    import artpack

    path = Path(data["folder"]) / f"{recipe}.artpack"
    artpack.compress(Path(data["weights_file"]), recipe=recipe).save(path)
    artpack.load(path)
    return lambda: artpack.load(path), data["file_weights"]


def code(data: dict[str, Any], name: str, *, decode: bool) -> Job:
    """Code Gaussian symbols, or decode them."""
    import numpy as np

    from artpack.coding.symbol_coders import Adaptive, ClassedRans, Rans

    coder: Any = {"rans": Rans, "classed": ClassedRans, "adaptive": Adaptive}[name]()
    side = round(data["symbols"] ** 0.5)
    draw = np.random.default_rng(0)
    scales = np.exp(0.3 * draw.normal(size=(side, 1)))
    drawn = (3 * scales * draw.normal(size=(side, side))).round().clip(-31, 31) + 31
    symbols = drawn.astype(np.uint8)
    if name == "adaptive":
        coded = coder.encode_matrices([symbols], alphabet=63)
        both = (
            lambda: coder.encode_matrices([symbols], alphabet=63),
            lambda: coder.decode_matrices(coded, shapes=[symbols.shape], alphabet=63),
        )
    else:
        coded = coder.encode(symbols.ravel(), alphabet=63)
        both = (
            lambda: coder.encode(symbols.ravel(), alphabet=63),
            lambda: coder.decode(coded, alphabet=63, count=symbols.size),
        )
    both[decode]()
    return both[decode], symbols.size


def command(data: dict[str, Any], *words: str) -> Job:
    """Run the command line in a process of its own."""
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from pathlib import Path; from speed_program import Root\n"
        f"sys.meta_path.insert(0, Root(Path({data['root']!r})))\n"
        f"sys.argv = ['artpack', *{list(words)!r}]\n"
        "from artpack_cli.entry import main; main()"
    )
    line = [sys.executable, "-c", program]
    subprocess.run(line, capture_output=True, check=True)
    return lambda: subprocess.run(line, capture_output=True, check=True), 1


def inspect(data: dict[str, Any]) -> Job:
    """Show where the bytes of an artifact of the checkpoint went."""
    import artpack

    path = Path(data["folder"]) / "inspected.artpack"
    artpack.compress(Path(data["checkpoint"]), recipe="int6", profile="fast").save(path)
    return command(data, "inspect", str(path))


JOBS: dict[str, Callable[[dict[str, Any]], Job]] = {
    "calibrate": calibrate,
    "budget, calibrated": lambda data: budget(data, given=True),
    "budget": lambda data: budget(data, given=False),
    "compress frontier": lambda data: pack(data, "frontier"),
    "compress int4": lambda data: pack(data, "int4"),
    "compress lossless": lambda data: pack(data, "lossless"),
    "load int4": lambda data: load(data, "int4"),
    "load lossless": lambda data: load(data, "lossless"),
    "encode rans": lambda data: code(data, "rans", decode=False),
    "decode rans": lambda data: code(data, "rans", decode=True),
    "encode classed": lambda data: code(data, "classed", decode=False),
    "decode classed": lambda data: code(data, "classed", decode=True),
    "encode adaptive": lambda data: code(data, "adaptive", decode=False),
    "decode adaptive": lambda data: code(data, "adaptive", decode=True),
    "help": lambda data: command(data, "compress", "--help"),
    "inspect": inspect,
}
"""What can be timed, by name; each takes what :mod:`benchmarks.bench_speed` made."""


def warm_up(recipe: str) -> None:
    """Let what a recipe needs be compiled before the clock starts."""
    import torch

    import artpack

    weights = {"a.weight": torch.randn(300, 300, generator=torch.Generator().manual_seed(0))}
    artpack.compress(weights, recipe=recipe)


def spent() -> float:
    """Return seconds of processor time of this process and of those that it started."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(sum(resource.getrusage(kind)[:2]) for kind in kinds)


def main() -> None:
    """Run a job and print what it took."""
    name, data = sys.argv[1], json.loads(sys.argv[2])
    sys.meta_path.insert(0, Root(Path(data["root"])))
    work, units = JOBS[name](data)
    started, cpu_started = time.perf_counter(), spent()
    result = work()
    took = {"seconds": time.perf_counter() - started, "cpu_seconds": spent() - cpu_started}
    peak = max(
        resource.getrusage(kind).ru_maxrss
        for kind in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    size = result.size_bytes if hasattr(result, "size_bytes") else 0
    print(json.dumps({**took, "units": units, "bytes": size, "peak_mib": peak >> 10}))


if __name__ == "__main__":
    main()
