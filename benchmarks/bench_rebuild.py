"""
How far the bytes of an artifact hold: other threads, other instructions.

Files of the demo's model are made as this machine likes it, and made again (`artpack rebuild`) in
fresh processes that are told to use other numbers of threads, or to do without instructions as
another machine would. A row says how many symbols are others. From the repository's root::

    python -m benchmarks.bench_rebuild --csv benchmarks/results
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

import artpack
from artpack.demo import CALIBRATION, CHECKPOINT, CONFIG, write_demo
from artpack.evaluation.tokens.shards import read_tokens, write_shard
from benchmarks.report import Row, print_table, write_csv

TOKENS, KEPT = "tokens.bin", "kept.safetensors"
CALIBRATED_TOKENS = 2048

LAYERS = 2
"""Of the demo's: they say as much as all."""

MADE: dict[str, dict[str, Any]] = {
    "int6": {"recipe": "int6"},
    "frontier, no data": {"recipe": "frontier"},
    "GPTQ, file": {"recipe": "pr1123", "calibration": KEPT},
    "frontier, file": {"calibration": KEPT},
    "frontier, tokens": {"calibration_tokens": TOKENS},
    "tuned": {"calibration_tokens": TOKENS, "tune_steps": 1},
}
"""How files are made, and with what of it they are made again: a calibration or its tokens."""

NO_AVX512 = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL X86_V4"

ENVIRONMENTS: dict[str, dict[str, str]] = {
    "the same": {},
    "2 threads": {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"},
    "4 threads": {"OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "4"},
    "torch: avx2": {"ATEN_CPU_CAPABILITY": "avx2"},
    "torch: default": {"ATEN_CPU_CAPABILITY": "default"},
    "OpenBLAS: Haswell": {"OPENBLAS_CORETYPE": "Haswell"},
    "OpenBLAS: Prescott": {"OPENBLAS_CORETYPE": "Prescott"},
    "MKL: AVX2": {"MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "oneDNN: AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    "numpy: no AVX-512": {"NPY_DISABLE_CPU_FEATURES": NO_AVX512},
    "numba: any x86": {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
    "glibc: no FMA": {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-FMA,-AVX2,-FMA4"},
}
"""Where they are made again, each for one library or two."""

PROGRAM = """
import json, sys, artpack
for given in json.loads(sys.argv[1]):
    print(json.dumps(artpack.rebuild(**given).to_json()))
"""


def main() -> int:
    """Make files, make them again, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=str(__doc__).strip().splitlines()[0])
    parser.add_argument("--only", default="", metavar="TEXT", help="where the name has this in it")
    parser.add_argument("--csv", type=Path, metavar="PATH", help="a file, or a folder for one")
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder)
        for where, environment in ENVIRONMENTS.items():
            if options.only in where:
                rows.append({"where": where, **again(folder, environment)})
                print(*rows[-1].values(), sep=" | ", flush=True)
    print_table(rows)
    if options.csv is not None:
        write_csv(options.csv, "rebuild", rows)
    return 0


def write_files(folder: Path) -> None:
    """Write the demo, its calibration, and a file of each kind."""
    write_demo(folder)
    cut_model(folder)
    write_shard(folder / TOKENS, read_tokens(str(folder / CALIBRATION))[:CALIBRATED_TOKENS])
    for number, settings in enumerate(MADE.values()):
        given = {key: in_folder(folder, value) for key, value in settings.items()}
        if "calibration" in given and not given["calibration"].exists():
            given["calibration_tokens"] = folder / TOKENS
        made = artpack.compress(folder / CHECKPOINT, profile="fast", **given)
        made.save(folder / f"{number}.artpack")


def cut_model(folder: Path) -> None:
    """Leave the first layers of the demo's model."""
    config = json.loads((folder / CONFIG).read_text())
    gone = [f"blocks.{layer}." for layer in range(LAYERS, config["num_layers"])]
    weights = load_file(folder / CHECKPOINT)
    kept = {name: one for name, one in weights.items() if not name.startswith(tuple(gone))}
    kept["skip_weights"] = kept["skip_weights"][: LAYERS // 2].clone()
    save_file(kept, folder / CHECKPOINT)
    (folder / CONFIG).write_text(json.dumps({**config, "num_layers": LAYERS}))


def in_folder(folder: Path, value: Any) -> Any:
    """Return the path of a file of the folder; anything else as it is."""
    return folder / value if value in (KEPT, TOKENS) else value


def again(folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Make all files again in a fresh process; say of each what came out."""
    asked = [
        {
            "artifact": str(folder / f"{number}.artpack"),
            "checkpoint": str(folder / CHECKPOINT),
            **{key: str(folder / one) for key, one in settings.items() if "calib" in key},
        }
        for number, settings in enumerate(MADE.values())
    ]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(asked)],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    each = map(json.loads, done.stdout.splitlines())
    return {name: told(found) for name, found in zip(MADE, each, strict=True)}


def told(found: Mapping[str, Any]) -> str:
    """Say in a few words what came out."""
    if found["identical"]:
        return "identical"
    changed, symbols = (sum(one[key] for one in found["changed"]) for key in ("changed", "symbols"))
    coding = "" if found["same_coding"] else ", coding too"
    if not changed:
        return f"{found['differences'][0]['where']}{coding}"
    return f"{changed} of {symbols} in {len(found['changed'])}{coding}"


if __name__ == "__main__":
    sys.exit(main())
