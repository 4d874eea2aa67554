"""
Folders of Hugging Face: the hub's cache, adapters, and the small files beside the weights.

Source: Hugging Face, "Understand caching", and the files that ``save_pretrained`` of
transformers, tokenizers and sentence-transformers writes.
"""

from fnmatch import fnmatch
from pathlib import Path

from artpack.errors import CheckpointError

CONFIG_NAME = "config.json"

MODEL_FILES = (
    CONFIG_NAME,
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
    "modules.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "[0-9]_*/config.json",
)
"""What a model needs besides its weights, patterns."""

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates/*.jinja",
)
"""What ``AutoTokenizer`` reads where there is a ``tokenizer.json``, patterns."""

VOCABULARY_FILES = (
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "spiece.model",
    "spm.model",
    "tokenizer.model",
    "tokenizer.model.v3",
    "sentencepiece.bpe.model",
    "bpe.codes",
    "tekken.json",
    "*.tiktoken",
    "source.spm",
    "target.spm",
)
"""What ``tokenizer.json`` is made of, patterns; needed where it is missing."""

ADAPTER = "adapter_model."
MAX_FILE_BYTES = 64 << 20
"""The largest tokenizers have about half of this."""


def snapshot_of(folder: Path) -> Path:
    """
    Find the files of a repository in the hub's cache.

    Args:
        folder: ``models--ORGANISATION--NAME``, with ``refs`` and ``snapshots``, or any other.

    Returns:
        The snapshot of ``main``, or the only one; any other folder as it is.

    Raises:
        CheckpointError: There are several snapshots, or none.

    """
    snapshots = folder / "snapshots"
    if not folder.name.startswith("models--") or not snapshots.is_dir():
        return folder
    main = folder / "refs" / "main"
    if main.is_file():
        named = snapshots / main.read_text(encoding="utf-8", errors="replace").strip()
        if named.parent == snapshots and named.is_dir():
            return named
    found = sorted(path for path in snapshots.iterdir() if path.is_dir())
    if len(found) != 1:
        raise CheckpointError(f"{snapshots}: {len(found)} snapshots: give the folder of one")
    return found[0]


def refuse_adapter(file: Path) -> None:
    """
    Refuse weights that are only what an adapter adds to a model.

    Args:
        file: The weights.

    Raises:
        CheckpointError: They are.

    """
    if file.name.startswith(ADAPTER):
        raise CheckpointError(
            f"{file}: a PEFT adapter and no whole model: load it over its base with peft,"
            " call merge_and_unload(), and give the folder that save_pretrained() then writes"
        )


def repository_of(path: Path) -> Path:
    """Return the folder that a file of weights lies in; a folder itself, or its snapshot."""
    return snapshot_of(path) if path.is_dir() else path.parent


def model_files(folder: Path) -> dict[str, bytes]:
    """Read what a model needs besides its weights, by name relative to the folder."""
    return _read(folder, MODEL_FILES)


def tokenizer_files(folder: Path) -> dict[str, bytes]:
    """Read what its tokenizer needs; not what ``tokenizer.json`` is made of."""
    files = _read(folder, TOKENIZER_FILES)
    return files if "tokenizer.json" in files else files | vocabulary_files(folder)


def is_model_file(name: str) -> bool:
    """Return whether a file is one that a model needs besides its weights."""
    return any(fnmatch(name, pattern) for pattern in MODEL_FILES)


def vocabulary_files(folder: Path) -> dict[str, bytes]:
    """Read what a ``tokenizer.json`` is made of."""
    return _read(folder, VOCABULARY_FILES)


def _read(folder: Path, patterns: tuple[str, ...]) -> dict[str, bytes]:
    files = {}
    for pattern in patterns:
        for path in sorted(folder.glob(pattern)):
            if not path.is_file():
                continue
            if path.stat().st_size > MAX_FILE_BYTES:
                raise CheckpointError(
                    f"{path}: larger than {MAX_FILE_BYTES} bytes, too large to be carried"
                )
            files[path.relative_to(folder).as_posix()] = path.read_bytes()
    return files
