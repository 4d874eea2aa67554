"""
Quantizes a model with ``glq`` and writes what its files stand for: run by a Python that has it.

It takes its calibration from the hub by the package ``datasets``; here it gets another text by
the same call::

    python glq_program.py MODEL TARGET BITS TEXT THREADS
"""

import os
import sys
import types
from collections import UserList
from pathlib import Path
from typing import Any

SEQUENCE_TOKENS = 512


class Documents(UserList[Any]):
    """Records of a data set, by number, or one field of all by its name."""

    def __getitem__(self, key: Any) -> Any:
        """Return a record, records, or a field of all."""
        return [record[key] for record in self.data] if isinstance(key, str) else self.data[key]


def main() -> int:
    """Quantize, unpack, and leave both."""
    folder, target, bits, text, threads = sys.argv[1:]
    os.environ["GLQ_TRELLIS_VARIANT"] = "3inst"
    import torch  # noqa: PLC0415 - in the other Python

    torch.set_num_threads(int(threads))
    if not (Path(target) / "config.json").is_file():
        quantize(folder, target, bits, Path(text).read_text(encoding="utf-8"))
    unpack(Path(target))
    return 0


def quantize(folder: str, target: str, bits: str, text: str) -> None:
    """Run its command."""
    documents = Documents({"text": part} for part in text.split("\n\n") if part)
    data: Any = types.ModuleType("datasets")
    data.load_dataset = lambda *_args, **_named: documents
    sys.modules["datasets"] = data
    from glq.quantize_model import main as command  # noqa: PLC0415

    samples = max(1, len(text) // (4 * SEQUENCE_TOKENS))
    options = ["--bpw", bits, "--nsamples", str(samples), "--seqlen", str(SEQUENCE_TOKENS)]
    places = ["--model", folder, "--output", target, "--device", "cpu", "--workers", "1"]
    sys.argv = ["glq-quantize", *places, *options]
    command()


def unpack(target: Path) -> None:
    """Read its files by its own loader; each matrix is what it makes of the unit vectors."""
    import glq.hf_integration  # noqa: PLC0415
    import torch  # noqa: PLC0415
    import transformers  # noqa: PLC0415
    from safetensors.torch import save_file  # noqa: PLC0415

    assert glq.hf_integration
    auto: Any = transformers.AutoModelForCausalLM
    model = auto.from_pretrained(target, dtype=torch.float32)
    model.eval()
    weights = {}
    with torch.inference_mode():
        for name, module in model.named_modules():
            if name.endswith("_proj"):
                unit = torch.eye(module.in_features)
                weights[f"{name}.weight"] = module(unit).T.float().contiguous()
    for name, tensor in model.state_dict().items():
        if name.endswith(("norm.weight", "embed_tokens.weight")):
            weights[name] = tensor.float()
    (target / "unpacked").mkdir(exist_ok=True)
    save_file(weights, target / "unpacked" / "all.safetensors")


if __name__ == "__main__":
    sys.exit(main())
