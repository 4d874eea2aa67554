"""
How far the bytes of an artifact hold: other threads, other instructions.

Files of the demo's model are made as this machine likes it, and made again (`artpack rebuild`) in
fresh processes that are told to use other numbers of threads, or to do without instructions as an
older machine would. A row says how many symbols are others. From the repository's root::

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

import artpack
from artpack.demo import CALIBRATION, CHECKPOINT, write_demo
from benchmarks.report import Row, print_table, write_csv

KEPT = "kept.safetensors"

MADE: dict[str, dict[str, Any]] = {
    "int6, no data": {"recipe": "int6"},
    "frontier, no data": {"recipe": "frontier"},
    "GPTQ (pr1123), calibration file": {"recipe": "pr1123", "calibration": KEPT},
    "frontier, calibration file": {"calibration": KEPT},
    "frontier, calibrated again": {"calibration_tokens": CALIBRATION},
    "frontier, tuned": {"calibration_tokens": CALIBRATION, "tune_steps": 4},
}
"""How files are made; and with what of it they are made again."""

ENVIRONMENTS: dict[str, dict[str, str]] = {
    "nothing else": {},
    "2 threads": {"OMP_NUM_THREADS": "2"},
    "4 threads": {"OMP_NUM_THREADS": "4"},
    "torch without AVX-512": {"ATEN_CPU_CAPABILITY": "avx2"},
    "torch without AVX": {"ATEN_CPU_CAPABILITY": "default"},
    "OpenBLAS of Haswell": {"OPENBLAS_CORETYPE": "Haswell"},
    "OpenBLAS of Sandybridge": {"OPENBLAS_CORETYPE": "Sandybridge"},
    "OpenBLAS of Prescott": {"OPENBLAS_CORETYPE": "Prescott"},
    "MKL without AVX-512": {"MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "oneDNN without AVX-512": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    "numpy without AVX2": {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL"},
    "numba for any x86": {"NUMBA_CPU_NAME": "generic"},
    "C library without FMA": {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-FMA,-AVX2,-FMA4"},
}
"""Where they are made again: all but the first are what a machine of another kind would do."""

PROGRAM = """
import json, sys, artpack
given = json.loads(sys.argv[1])
found = artpack.rebuild(given.pop("artifact"), **given)
print(json.dumps(found.to_json()))
"""


def main() -> int:
    """Make files, make them again, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=str(__doc__).strip().splitlines()[0])
    parser.add_argument(
        "--only", metavar="TEXT", default="", help="environments of this in the name"
    )
    parser.add_argument("--csv", type=Path, metavar="PATH", help="a file, or a folder for one")
    options = parser.parse_args()
    chosen = {name: one for name, one in ENVIRONMENTS.items() if options.only in name}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder)
        rows = [row(folder, where, environment) for where, environment in chosen.items()]
    print_table(rows)
    if options.csv is not None:
        write_csv(options.csv, "rebuild", rows)
    return 0


def write_files(folder: Path) -> None:
    """Write the demo, its calibration, and a file of each kind."""
    write_demo(folder)
    for number, settings in enumerate(MADE.values()):
        given = {key: in_folder(folder, value) for key, value in settings.items()}
        if "calibration" in given and not given["calibration"].exists():
            given["calibration_tokens"] = folder / CALIBRATION
        made = artpack.compress(folder / CHECKPOINT, profile="fast", **given)
        made.save(folder / f"{number}.artpack")


def in_folder(folder: Path, value: Any) -> Any:
    """Return the path of a file of the folder; anything else as it is."""
    return folder / value if value in (KEPT, CALIBRATION) else value


def row(folder: Path, where: str, environment: Mapping[str, str]) -> Row:
    """Make all files again somewhere."""
    found: dict[str, str | float] = {"where": where}
    for number, (name, settings) in enumerate(MADE.items()):
        data = {key: str(folder / value) for key, value in settings.items() if "calib" in key}
        found[name] = told(
            again(folder / f"{number}.artpack", folder / CHECKPOINT, environment, data)
        )
    return found


def again(
    path: Path, checkpoint: Path, environment: Mapping[str, str], data: Mapping[str, str]
) -> dict[str, Any]:
    """Make a file again in a fresh process; return what was found."""
    given = {"artifact": str(path), "checkpoint": str(checkpoint), **data}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(given)],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def told(found: Mapping[str, Any]) -> str:
    """Say in a few words what came out."""
    if found["identical"]:
        return "identical"
    changed, symbols = (sum(one[key] for one in found["changed"]) for key in ("changed", "symbols"))
    coding = "" if found["same_coding"] else ", other coding"
    if not changed:
        return f"{found['differences'][0]['where']}{coding}"
    return f"{changed:,} of {symbols:,} symbols{coding}"


if __name__ == "__main__":
    sys.exit(main())
