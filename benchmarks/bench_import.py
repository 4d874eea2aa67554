"""
What importing other systems' containers saves.

Repacks every golden container (profile ``default``), and checks that the artifact gives
the same container again; besides, packs the shared checkpoint lm6m and exports it in
every format that can hold it::

    python -m benchmarks.bench_import --csv benchmarks/results
"""

import argparse
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from artpack.artifact.reader import open_artifact
from artpack.checkpoint import open_checkpoint
from artpack.checkpoint.selection import select
from artpack.interop import (
    FORMATS,
    from_artifact,
    read_container,
    repack,
    write_container,
)
from artpack.pack.compress import compress
from artpack.recipes import load_recipe
from benchmarks.report import Row, print_table, write_csv
from benchmarks.sources import golden_path, lm6m_path

EXPORTS = {
    "int6": ("pergroup", "byte-shuffle", "torch-zstd", "torch-lzma"),
    "quinary": ("per-stream",),
}
"""Recipe to the formats that can hold what it makes."""


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one small container, to see it run")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a file, or a folder for one")
    arguments = parser.parse_args()
    folder, checkpoint = golden_path(), lm6m_path()
    if folder is None or checkpoint is None:
        print("the shared data are not there: set ARTPACK_SHARED to their folder")
        return 1
    files = sorted(folder.glob("*/*/artifact*.bin"))
    if arguments.quick:
        files = files[:1]
    rows = [measure_import(file, str(file.relative_to(folder))) for file in files]
    rows += [] if arguments.quick else measure_exports(checkpoint)
    print_table(rows)
    if arguments.csv is not None:
        write_csv(arguments.csv, "import", rows)
    return 0


def measure_import(file: Path, name: str) -> Row:
    """Read a container and repack it."""
    data = file.read_bytes()
    started = time.perf_counter()
    container = read_container(data)
    read_seconds = time.perf_counter() - started
    packed = repack(container, sha256=sha256(data).hexdigest())
    content = packed.content()
    seconds = time.perf_counter() - started - read_seconds
    with open_artifact(content) as artifact:
        again = write_container(
            from_artifact(artifact, container.format), container.format, file_name=file.name
        )
    return _row(name, container.format, len(data), len(content)) | {
        "same_bytes_again": "yes" if again == data else "no",
        "read_seconds": round(read_seconds, 2),
        "pack_seconds": round(seconds, 1),
    }


def measure_exports(path: Path) -> Iterator[Row]:
    """Pack a checkpoint and write it in other formats."""
    for recipe, formats in EXPORTS.items():
        with open_checkpoint(path) as checkpoint:
            packed = compress(checkpoint, select(checkpoint), load_recipe(recipe))
        content = packed.content()
        for name in formats:
            with open_artifact(content) as artifact:
                data = write_container(from_artifact(artifact, name), name)
            started = time.perf_counter()
            read_container(data)
            read_seconds = time.perf_counter() - started
            yield _row(f"lm6m {recipe}", name, len(data), len(content)) | {
                "same_bytes_again": "",
                "read_seconds": round(read_seconds, 2),
                "pack_seconds": "",
            }


def _row(name: str, kind: str, container_bytes: int, artifact_bytes: int) -> dict[str, str | float]:
    assert kind in FORMATS
    return {
        "source": name,
        "format": kind,
        "container_bytes": container_bytes,
        "artifact_bytes": artifact_bytes,
        "saved_percent": round(100 * (1 - artifact_bytes / container_bytes), 2),
    }


if __name__ == "__main__":
    sys.exit(main())
