"""
Models of transformers: built from their files and tensors, run, calibrated and scored.

Needs transformers, which ``pip install 'artpack[hf]'`` brings; nothing is fetched and no
code of a stranger is run.
"""

import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from artpack.calibration.file import hash_config
from artpack.checkpoint.source import listed, reason
from artpack.errors import CheckpointError, UsageError
from artpack.models.document_mask import Documents
from artpack.models.generate import draw_tokens
from artpack.models.kinds import DEQUANTIZED, quantization_of
from artpack.runners.losses import LogitsLoss, OutputLoss
from artpack.runners.module import as_rows, call, first_tensor
from artpack.runners.settings import Settings
from artpack.stages.finite import check_weights
from artpack.system.atomic import write_atomically

CONFIG = "config.json"
LOCAL: Mapping[str, Any] = {"local_files_only": True, "trust_remote_code": False}
PASSING = {"_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures"}
"""Fields of a config that do not tell one model from another."""

WITH_HEAD = re.compile(r"For[A-Z]|Head")
"""Found in the class names of models that give logits, as ``GPT2LMHeadModel``."""

MAX_LOGITS = 1 << 25
"""Logits of a pass, as far as whole windows allow: 128 MiB of float32."""

CACHES = ("cache", "past_key_values")
"""What transformers calls its memory of earlier tokens; older ones have the second name."""

VOCABULARY = ("tokenizer", "vocab", "spiece", "spm", "merges", "tekken")
"""How names of files begin that hold a tokenizer, and :data:`VOCABULARY_ENDS` how they end."""

VOCABULARY_ENDS = (".spm", ".tiktoken", ".codes", ".bpe.model")


DEQUANTIZE = "; packed with `dequantize`, the plain weights that they stand for are"


class TransformersRunner:
    """
    A model of transformers that can be calibrated, and scored if it is a causal one.

    What comes between the last hidden state and the logits differs from family to family,
    so "states" and "hidden states" are the outputs of every position here.

    Attributes:
        vocab_size: Every id must be below this.
        max_tokens: Longest window that the model takes; None if it does not say.

    Args:
        module: What transformers made; put in evaluation mode.
    """

    def __init__(self, module: Any) -> None:
        self.module: nn.Module = module.eval()
        self.loss: OutputLoss = LogitsLoss()
        text = module.config.get_text_config()
        self.vocab_size: int = getattr(text, "vocab_size", 0)
        self.max_tokens: int | None = getattr(text, "max_position_embeddings", None)

    @property
    def fingerprint(self) -> str:
        """Hash of the model's class and config, in hexadecimal."""
        config: Any = self.module.config
        return hash_config({"class": type(self.module).__name__, "config": _stable(config)})

    @property
    def default_loss(self) -> str:
        """What fits most: ``logits`` where it has a head, and otherwise ``outputs``."""
        return "logits" if WITH_HEAD.search(type(self.module).__name__) else "outputs"

    @property
    def is_causal(self) -> bool:
        """Whether it gives a distribution of each next token."""
        return type(self.module).__name__.endswith(("ForCausalLM", "LMHeadModel")) or (
            self.default_loss == "logits"
            and bool(getattr(self.module, "can_generate", bool)())
            and not getattr(self.module.config, "is_encoder_decoder", False)
        )

    def states(self, batch: Any) -> Tensor:
        """
        Run a batch.

        Args:
            batch: Ids, int64 (B, T); or the arguments of the model, as images (B, C, H, W).

        Returns:
            Logits, or whatever else it gives first, (n, d).

        """
        return as_rows(first_tensor(self._run(batch)))

    def outputs(self, states: Tensor) -> Tensor:
        """Return what :meth:`states` gave."""
        return states

    def hidden(self, ids: Tensor, documents: Documents | None = None) -> Tensor:
        """
        Run rows of tokens.

        Args:
            ids: int64 (B, T), padded on the right, where causal attention does not look.
            documents: None: every row is one window.

        Returns:
            Logits, (B, T, V).

        Raises:
            UsageError: Several windows share a row.

        """
        if documents is not None:
            raise UsageError(
                "a Hugging Face model cannot keep windows of one row apart;"
                " choose a placement that does not pack"
            )
        return first_tensor(self._run(ids))

    def logits(self, hidden: Tensor) -> Tensor:
        """Return what :meth:`hidden` computed."""
        return hidden

    @torch.no_grad()
    def write(
        self, uniform: NDArray[np.float32], *, bos_id: int, temperature: float
    ) -> NDArray[np.int64]:
        """
        Write windows token by token.

        Args:
            uniform: (windows, tokens) in [0, 1): what each token is drawn with.
            bos_id: The first token of every window; its draw is not used.
            temperature: Divides the logits, above 0.

        Returns:
            Token ids, (windows, tokens).

        """
        module: Any = self.module
        draws = torch.from_numpy(uniform).to(module.device)
        ids = torch.full(uniform.shape, bos_id, device=module.device)
        memory: dict[str, Any] = {}
        for token in range(uniform.shape[1] - 1):
            last = ids[:, token : token + 1]
            said = module(input_ids=last, use_cache=True, **memory)
            name = next(name for name in CACHES if name in said)
            memory = {name: said[name]}
            logits = said.logits[:, -1].float() / temperature
            ids[:, token + 1] = draw_tokens(logits, draws[:, token + 1])
        return ids.cpu().numpy()

    def _run(self, batch: Any) -> Any:
        if not isinstance(batch, Tensor) or batch.is_floating_point():
            return call(self.module, batch)
        config: Any = self.module.config
        named: dict[str, Any] = {"input_ids": batch}
        if getattr(config, "is_encoder_decoder", False):
            named |= {"decoder_input_ids": batch, "use_cache": False}
        elif isinstance(getattr(config, "use_cache", None), bool):
            named["use_cache"] = False
        return call(self.module, named)


def _stable(config: Any) -> dict[str, Any]:
    """Return what a config says of the model itself."""
    whole = json.loads(config.to_json_string(use_diff=False))
    return {key: value for key, value in whole.items() if key not in PASSING}


class Built(NamedTuple):
    """
    A model, and what is to be known of it.

    Attributes:
        module: The model on the CPU, in evaluation mode.
        notes: One line each.
    """

    module: nn.Module
    notes: tuple[str, ...]


def build_transformers(files: Mapping[str, bytes], tensors: Mapping[str, Tensor]) -> Built:
    """
    Build a model of transformers in float32.

    Args:
        files: At least its ``config.json``.
        tensors: Its weights, under the names that its files have.

    Returns:
        The model, and a note if it has no use for some of the tensors.

    Raises:
        UsageError: transformers is not installed, or does not know the model.
        CheckpointError: The tensors are those of another model.
        ScoreError: A weight is NaN or infinite.

    """
    method = quantization_of(json.loads(files[CONFIG]))
    if method is not None:
        raise UsageError(
            f"its weights are quantized already ({method}): they are packed as they are, and not"
            f" run{DEQUANTIZE if method in DEQUANTIZED else ''}"
        )
    config = read_config(files)
    cls = model_class(config)
    try:
        module, told = cls.from_pretrained(
            None,
            config=config,
            state_dict=dict(tensors),
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    except Exception as error:  # whatever transformers makes of a stranger's files
        raise CheckpointError(
            f"transformers cannot build {cls.__name__}: {reason(error)}"
        ) from error
    _check_loaded(cls.__name__, told)
    check_weights(dict(module.named_parameters()), "the model")
    spare = sorted(told["unexpected_keys"])
    note = f"{len(spare)} tensors are no part of the {cls.__name__} that {CONFIG} describes"
    return Built(module.eval(), (f"{note}: {listed(spare)}",) if spare else ())


def model_class(config: Any) -> Any:
    """
    Find the class of a model.

    Args:
        config: Of transformers.

    Returns:
        The class that it names, or where it names none the one without a head.

    Raises:
        UsageError: This transformers has no such model.

    """
    transformers, named = import_transformers(), getattr(config, "architectures", None)
    name = named[0] if isinstance(named, list) and named else None
    if name is None:
        return transformers.MODEL_MAPPING[type(config)]
    found = getattr(transformers, name, None) if isinstance(name, str) else None
    if not isinstance(found, type) or not issubclass(found, transformers.PreTrainedModel):
        raise UsageError(f"this transformers does not know the model {name!r}: install a newer one")
    return found


def _check_loaded(name: str, told: Mapping[str, Any]) -> None:
    """Check that a model finds all of its weights."""
    found = {
        "missing": sorted(told["missing_keys"]),
        "of another shape": sorted(str(key[0]) for key in told["mismatched_keys"]),
    }
    for what, names in found.items():
        if names:
            raise CheckpointError(
                f"{name}: {len(names)} weights are {what}, {names[0]!r} first: these are not the"
                f" weights that {CONFIG} describes"
            )


def read_config(files: Mapping[str, bytes]) -> Any:
    """
    Read a model's config.

    Args:
        files: At least its ``config.json``.

    Returns:
        The config of transformers, for a model in float32 that is not quantized.

    Raises:
        UsageError: transformers is not installed, or cannot read it.

    """
    transformers = import_transformers()
    with _folder({CONFIG: files[CONFIG]}) as folder:
        try:
            config = transformers.AutoConfig.from_pretrained(folder, **LOCAL)
        except Exception as error:  # whatever transformers makes of a stranger's files
            raise UsageError(
                f"transformers cannot read the model's {CONFIG}: {reason(error)}"
            ) from error
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.torch_dtype = torch.float32
    config._experts_implementation = "eager"  # noqa: SLF001 - fused kernels hide multiplications
    return config


def fitting(settings: Settings, vocab_size: int) -> int:
    """Return how many tokens a pass may have so that its logits fit into memory."""
    return max(1, min(settings.batch_tokens, MAX_LOGITS // max(1, vocab_size)))


def vocabulary_of(files: Mapping[str, bytes]) -> int:
    """
    Return how many ids a model knows.

    Args:
        files: At least its ``config.json``.

    Returns:
        The size of its vocabulary.

    Raises:
        UsageError: The model takes no ids.

    """
    size = getattr(read_config(files).get_text_config(), "vocab_size", None)
    if type(size) is not int or size < 1:
        raise UsageError("the model takes no token ids: give `batches`")
    return size


def positions_of(files: Mapping[str, bytes]) -> int | None:
    """
    Return the longest window that a model takes.

    Args:
        files: At least its ``config.json``.

    Returns:
        Tokens; None if it does not say.

    Raises:
        UsageError: transformers cannot read the config.

    """
    longest = getattr(read_config(files).get_text_config(), "max_position_embeddings", None)
    return longest if type(longest) is int and longest > 0 else None


def read_tokenizer(files: Mapping[str, bytes]) -> Any:
    """
    Read a tokenizer.

    Args:
        files: Its files, and the model's ``config.json``.

    Returns:
        The tokenizer of transformers.

    Raises:
        UsageError: transformers is not installed, or there is no tokenizer in the files.

    """
    transformers = import_transformers()
    if not has_tokenizer(files):
        raise UsageError(
            "no tokenizer lies with the model, so that it cannot read text: put its tokenizer.json"
            " beside the weights, and pack it with them"
        )
    with _folder(files) as folder:
        try:
            return transformers.AutoTokenizer.from_pretrained(folder, **LOCAL)
        except Exception as error:  # whatever transformers makes of a stranger's files
            raise UsageError(
                f"transformers cannot read the model's tokenizer: {reason(error)}"
            ) from error


def has_tokenizer(files: Iterable[str]) -> bool:
    """
    Tell whether a tokenizer is among some files.

    Args:
        files: Their names.

    Returns:
        Whether one is; transformers would make an empty one up.

    >>> has_tokenizer(["config.json", "vocab.txt"]), has_tokenizer(["config.json"])
    (True, False)

    """
    return any(name.startswith(VOCABULARY) or name.endswith(VOCABULARY_ENDS) for name in files)


def import_transformers() -> Any:
    """
    Import transformers, and keep it quiet.

    Returns:
        The package.

    Raises:
        UsageError: It is not installed.

    """
    try:
        transformers: Any = import_module("transformers")
    except ImportError as error:
        raise UsageError(
            "this model needs transformers, an optional extra: pip install 'artpack[hf]'"
        ) from error
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


@contextmanager
def _folder(files: Mapping[str, bytes]) -> Iterator[Path]:
    """Write files into a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as name:
        for file, content in files.items():
            path = Path(name) / file
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, [content])
        yield Path(name)
