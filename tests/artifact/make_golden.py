"""
Make the golden artifacts of format version 1: ``python tests/artifact/make_golden.py``.

Each is a file in ``tests/artifact/v1`` with a JSON beside it that says what its tensors
decode to. Between them they hold every stage that a file can name. They are written
once: what is there already is never written again, for a reader that no longer reads
them is wrong, whatever the writer does today.
"""

import json
import sys
from pathlib import Path

from torch import Generator

sys.path.insert(0, str(Path(__file__).parents[2]))

from artpack.artifact.reader import open_artifact
from tests.artifact.golden_cases import CASES, FOLDER
from tests.artifact.golden_content import Content, fingerprint


def write(path: Path, content: Content) -> None:
    """Write an artifact, and what its tensors are, once they are seen to be right."""
    artifact = content.artifact()
    with open_artifact(artifact) as opened:
        for name, entry in content.entries.items():
            direct = entry.quantizer.dequantize(entry.quantizer.quantize(entry.weight))
            stored = opened.stored_tensor(name)
            assert fingerprint(stored) == fingerprint(direct.to(entry.weight.dtype))
        rows = [[name, *fingerprint(tensor)] for name, tensor in opened.load().items()]
    with path.open("xb") as file:
        file.write(artifact)
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path.with_suffix(".json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def main() -> None:
    """Write what is missing."""
    for name, case in CASES.items():
        path = FOLDER / f"{name}.artpack"
        if not path.exists():
            write(path, case(Generator().manual_seed(1)))


if __name__ == "__main__":
    main()
