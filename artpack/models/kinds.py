"""Kinds of models that an artifact can hold: this project's own, and those of other libraries."""

from artpack.errors import CorruptError
from artpack.stages import Config, JsonValue

TRANSFORMERS = "transformers"
ONNX = "onnx"

EXTRAS = {TRANSFORMERS: "hf", ONNX: "onnx"}
"""Kinds that an optional extra of artpack brings, and its name."""


DEQUANTIZED = ("fp8", "mxfp4", "compressed-tensors")
"""Methods that transformers can take back to plain weights when it loads them."""


def transformers_model(config: JsonValue) -> Config | None:
    """
    Tell whether a ``config.json`` is one of transformers.

    Args:
        config: Its content.

    Returns:
        What a header says of such a model; None for another config. The config itself is
        carried as a file.

    >>> transformers_model({"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"})
    {'kind': 'transformers', 'architecture': 'GPT2LMHeadModel', 'model_type': 'gpt2'}
    >>> transformers_model({"vocab_size": 7})

    """
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        return None
    named = config.get("architectures")
    architecture = named[0] if isinstance(named, list) and named else None
    if not isinstance(architecture, str):
        if "transformers_version" not in config:
            return None
        architecture = None
    return {
        "kind": TRANSFORMERS,
        "architecture": architecture,
        "model_type": config["model_type"],
    }


def quantization_of(config: JsonValue) -> str | None:
    """
    Tell whether a ``config.json`` of transformers is one of quantized weights.

    Args:
        config: Its content.

    Returns:
        The method that its ``quantization_config`` names; None without one.

    >>> quantization_of({"quantization_config": {"quant_method": "gptq", "bits": 4}})
    'gptq'
    >>> quantization_of({"model_type": "gpt2"})

    """
    if not isinstance(config, dict):
        return None
    for key in ("quantization_config", "compression_config"):
        told = config.get(key)
        if isinstance(told, dict):
            method = told.get("quant_method")
            return method if isinstance(method, str) else "an unnamed method"
    return None


def kind_of(stored: Config | None) -> str | None:
    """
    Return the kind of a model that a header describes.

    Args:
        stored: The header's field.

    Returns:
        The kind; None for this project's own models, and where there is no model.

    Raises:
        CorruptError: The kind is no text.

    """
    if stored is None or "kind" not in stored:
        return None
    kind = stored["kind"]
    if not isinstance(kind, str):
        raise CorruptError("the artifact describes no model: its kind is no text")
    return kind


def describe_kind(stored: Config) -> str:
    """
    Say what model of another library this is, and what runs it.

    Args:
        stored: The header's field, with a kind.

    Returns:
        A clause for a message.

    >>> describe_kind({"kind": "transformers", "architecture": "GPT2LMHeadModel"})
    "GPT2LMHeadModel of transformers, which pip install 'artpack[hf]' brings"
    >>> describe_kind({"kind": "flax"})
    "a model of the kind 'flax', which this artpack does not know"

    """
    kind = kind_of(stored)
    if kind == ONNX:
        return "an ONNX graph, which is not scored here: unpack it and run it with onnxruntime"
    if kind not in EXTRAS:
        return f"a model of the kind {kind!r}, which this artpack does not know"
    architecture = stored.get("architecture")
    named = architecture if isinstance(architecture, str) else "a model"
    return f"{named} of {kind}, which pip install 'artpack[{EXTRAS[kind]}]' brings"
