"""
Artifacts as models of transformers: loaded at once, or through ``from_pretrained``.

Importing this module registers the quantization method ``artpack``, so that
``AutoModelForCausalLM.from_pretrained`` reads folders that :func:`save_folder` has written;
weights are decoded when the model is loaded, and are plain tensors from then on. It needs
transformers, which ``pip install 'artpack[hf]'`` brings. Nothing is fetched but by
``from_pretrained`` itself, and no code of a folder is run.

Source: Hugging Face transformers, "Contribute new quantization method".
"""

import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

try:
    import transformers
    from transformers.quantizers import auto
    from transformers.quantizers.base import HfQuantizer
    from transformers.utils import hub
    from transformers.utils.quantization_config import QuantizationConfigMixin
except ImportError as error:
    raise ImportError(
        "artpack.transformers needs transformers, an optional extra: pip install 'artpack[hf]'"
    ) from error

from artpack.api.folder import WEIGHTS, fill_folder, read_config, to_json, with_dtype, write_files
from artpack.artifact.carried import find_name_fault
from artpack.artifact.reader import Artifact, open_artifact
from artpack.checkpoint.repository import CONFIG_NAME
from artpack.checkpoint.source import reason
from artpack.errors import ArtpackError, CheckpointError, UsageError
from artpack.models.kinds import TRANSFORMERS, describe_kind, kind_of
from artpack.runners.hugging_face_files import LOCAL, check_size, has_tokenizer
from artpack.system.atomic import new_folder, write_atomically

METHOD = "artpack"
ARTIFACT = "model.artpack"


def load(
    path: str | os.PathLike[str],
    dtype: torch.dtype | None = None,
    device: str | torch.device | None = None,
) -> tuple[Any, Any]:
    """
    Load the model of an artifact and its tokenizer, from the artifact alone.

    Args:
        path: An artifact that was made of a folder of Hugging Face.
        dtype: Of the model; None for the weights' own.
        device: Where it goes; None for the CPU.

    Returns:
        The model, of the class that its configuration names, in evaluation mode; and the
        tokenizer, None if the artifact carries none.

    Raises:
        ArtifactError: The artifact is damaged, hostile, or of another version.
        CheckpointError: transformers cannot read what it holds.
        UsageError: It holds no model of transformers.
        OSError: It cannot be read.

    """
    with (
        open_artifact(Path(path)) as artifact,
        _temporary() as name,
    ):
        _config_of(artifact, path)
        artifact.check_trailer()
        folder = Path(name)
        fill_folder(artifact, folder, dtype=dtype)
        try:
            kind = _model_class(artifact)
            check_size(_skeleton(kind, folder), _weights_of(artifact))
            model = kind.from_pretrained(folder, **LOCAL, **_own_dtype())
            tokenizer = _tokenizer(folder)
        except ArtpackError:
            raise
        except Exception as error:  # whatever transformers makes of a stranger's files
            raise CheckpointError(
                f"{path}: transformers cannot read it: {reason(error)}"
            ) from error
    return (model if device is None else model.to(device)).eval(), tokenizer


def save_folder(artifact: str | os.PathLike[str], folder: str | os.PathLike[str]) -> None:
    """
    Write a folder that ``from_pretrained`` reads wherever this module is imported.

    It holds the artifact as it is, the files that it carries, and an empty
    ``model.safetensors``, without which transformers looks no further.

    Args:
        artifact: An artifact that was made of a folder of Hugging Face.
        folder: Where to; new or empty.

    Raises:
        ArtifactError: The artifact is damaged, hostile, or of another version.
        UsageError: It holds no model of transformers.
        OSError: The artifact cannot be read, or the folder holds something.

    """
    with open_artifact(Path(artifact)) as opened:
        opened.check_trailer()
        files = opened.files
        config = with_dtype(_config_of(opened, artifact), opened, None)
        quantization = {"quant_method": METHOD, "file": ARTIFACT}
        files[CONFIG_NAME] = to_json(config | {"quantization_config": {**quantization}})
    with new_folder(Path(folder)) as temporary:
        empty = safetensors.torch.save({}, metadata={"format": "pt"})
        write_atomically(temporary / WEIGHTS, [empty])
        write_atomically(temporary / ARTIFACT, [Path(artifact).read_bytes()])
        write_files(files, temporary)


class ArtpackConfig(QuantizationConfigMixin):  # type: ignore[misc, unused-ignore]
    """
    The ``quantization_config`` of a folder with an artifact.

    Args:
        file: Name of the artifact in the folder.
        **others: What else the configuration says; of no meaning.
    """

    quant_method: Any = METHOD

    def __init__(self, file: str = ARTIFACT, **others: Any) -> None:  # noqa: ARG002
        self.quant_method = METHOD
        self.file = file


class ArtpackQuantizer(HfQuantizer):  # type: ignore[misc, unused-ignore]
    """
    Gives the loader of transformers the decoded weights in the place of an empty file.

    Args:
        quantization_config: Which artifact.
        **kwargs: As transformers gives them.
    """

    requires_calibration = True
    """Weights are not quantized on loading: an artifact is made by ``artpack compress``."""

    def __init__(self, quantization_config: Any, **kwargs: Any) -> None:
        super().__init__(quantization_config, **kwargs)
        self._file: object = quantization_config.file
        self._decoded = ExitStack()

    def _process_model_before_weight_loading(self, model: Any, **kwargs: Any) -> Any:
        files = kwargs.get("checkpoint_files")
        if not isinstance(files, list):
            raise UsageError(
                f"transformers {transformers.__version__} does not tell which files it loads:"
                " take version 5, artpack.transformers.load, or a folder that artpack.unpack writes"
            )
        with (
            ExitStack() as stack,
            _usual_defaults(),
            open_artifact(self._find(model.config)) as artifact,
        ):
            artifact.check_trailer()
            check_size(model, _weights_of(artifact))
            folder = Path(stack.enter_context(_temporary()))
            fill_folder(artifact, folder)
            self._decoded = stack.pop_all()
        files[:] = sorted(str(path) for path in folder.glob("*.safetensors"))
        return model

    def _find(self, config: Any) -> Path:
        """Return the artifact beside the configuration, in a folder or on the hub."""
        file = self._file
        if not isinstance(file, str) or find_name_fault((file,)):
            raise UsageError(f"quantization_config: the file name {file!r} is no plain path")
        revision = getattr(config, "_commit_hash", None) or "main"
        found: Any = hub.cached_file(config.name_or_path, file, revision=revision)
        return Path(found)

    def _process_model_after_weight_loading(self, model: Any, **_: Any) -> Any:
        # What is loaded are plain weights: they may be saved, cast and trained.
        self._decoded.close()
        become_plain: Any = self.remove_quantization_config
        become_plain(model)
        return model

    def is_serializable(self, *_: Any, **__: Any) -> bool:
        """Return True: once loaded, there is nothing special about the model."""
        return True

    @property
    def is_trainable(self) -> bool:
        """True, for the same reason."""
        return True


def _temporary() -> tempfile.TemporaryDirectory[str]:
    # What is loaded may still be mapped, and some systems then keep the file.
    return tempfile.TemporaryDirectory(ignore_cleanup_errors=True)


@contextmanager
def _usual_defaults() -> Iterator[None]:
    """Let torch make tensors on the CPU and in fp32; here transformers has other defaults."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(dtype)


def _config_of(artifact: Artifact, path: str | os.PathLike[str]) -> Any:
    """Return the carried configuration."""
    stored = artifact.model
    if kind_of(stored) != TRANSFORMERS:
        other = "" if stored is None or kind_of(stored) is None else f": {describe_kind(stored)}"
        raise UsageError(f"{path}: holds no model of transformers{other}")
    config = read_config(artifact.files)
    if config is None:
        raise UsageError(f"{path}: carries no {CONFIG_NAME}, which transformers needs")
    return config


def _model_class(artifact: Artifact) -> Any:
    """Return the class that the header names, if transformers has it; else ``AutoModel``."""
    stored = artifact.model or {}
    named = getattr(transformers, str(stored.get("architecture")), None)
    known = isinstance(named, type) and issubclass(named, transformers.PreTrainedModel)
    return named if known else transformers.AutoModel


def _skeleton(kind: Any, folder: Path) -> Any:
    """Build the model of a folder without memory for its weights."""
    with torch.device("meta"):
        if kind is transformers.AutoModel:
            config = transformers.AutoConfig.from_pretrained(folder, **LOCAL)
            from_config: Any = kind.from_config
            return from_config(config, trust_remote_code=False)
        return kind(kind.config_class.from_pretrained(folder, local_files_only=True))


def _weights_of(artifact: Artifact) -> int:
    return sum(math.prod(tensor.shape) for tensor in artifact.header.plan.tensors)


def _own_dtype() -> dict[str, str]:
    """Ask for the dtype that the configuration names, in the words of this transformers."""
    return {"dtype" if int(transformers.__version__.split(".")[0]) >= 5 else "torch_dtype": "auto"}


def _tokenizer(folder: Path) -> Any:
    """Load the tokenizer, if there is one."""
    if not has_tokenizer(path.name for path in folder.iterdir()):
        return None
    return transformers.AutoTokenizer.from_pretrained(folder, **LOCAL)


if METHOD not in auto.AUTO_QUANTIZER_MAPPING and hasattr(auto, "register_quantizer"):
    auto.register_quantization_config(METHOD)(ArtpackConfig)
    auto.register_quantizer(METHOD)(ArtpackQuantizer)
