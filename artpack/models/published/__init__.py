"""
Configs of the published systems, read from their own constructor arguments.

Each system names and means its arguments in its own way; a reader here knows
one system. What it returns computes what that system's code computes in
float32, published defects included: the presets say what was meant instead.
An argument that a reader does not know, or a value of it that this family has
no mechanism for, is an error, never ignored.
"""

import re

from artpack.errors import UsageError
from artpack.models.config import ModelConfig
from artpack.models.published.lm6m import read_lm6m
from artpack.models.published.pr576 import read_pr576
from artpack.models.published.pr826 import read_pr826
from artpack.models.published.pr1123 import read_pr1123
from artpack.models.published.pr1934 import read_pr1934
from artpack.models.published.pr2086 import read_pr2086
from artpack.stages import JsonValue, nearest

MAX_KIND, MAX_KEYS = 64, 4
"""Letters of a name, and names, that a message quotes of a stranger's config."""

__all__ = ["READERS", "foreign_kind", "from_published_config", "published_system", "read_config"]

READERS = {
    "pr2086": read_pr2086,
    "pr1934": read_pr1934,
    "pr1123": read_pr1123,
    "pr826": read_pr826,
    "pr576": read_pr576,
    "lm6m": read_lm6m,
}
"""System to the function that reads its config."""

KINDS = ("model_type", "architectures", "_class_name", "model_name", "arch", "architecture")
"""Where other libraries say what model a config is of: transformers, diffusers, timm."""


def read_config(value: JsonValue) -> ModelConfig:
    """
    Read the config that lies beside a checkpoint.

    Args:
        value: What :meth:`ModelConfig.to_json` wrote, perhaps with the
            ``train_window_tokens`` that the trainer adds, or a published system's own
            ``config.json``.

    Returns:
        The model.

    Raises:
        UsageError: It is neither, or does not describe a model of this family.

    """
    if isinstance(value, dict) and ("rope" not in value or foreign_kind(value)):
        return from_published_config(value)
    if isinstance(value, dict):
        # It stands beside the model and is no part of it.
        value = {key: item for key, item in value.items() if key != "train_window_tokens"}
    return ModelConfig.from_json(value)


def from_published_config(config: JsonValue) -> ModelConfig:
    """
    Read a published system's own ``config.json``.

    Args:
        config: The object; ``pr`` or ``script`` in it names the system.

    Returns:
        The model as that system's code runs it in float32.

    Raises:
        UsageError: The system is unknown, an argument is missing, unknown or has a value
            that this family has no mechanism for.

    """
    system = published_system(config)
    kind = foreign_kind(config)
    if kind is not None:
        raise UsageError(
            f"it is of another kind of model ({kind}): these weights can be packed, unpacked"
            " and verified, but no model of this family can run or score them"
        )
    if not isinstance(config, dict) or system not in READERS:
        raise UsageError(f"no published system has the config {system!r}{nearest(system, READERS)}")
    return READERS[system](config)


def foreign_kind(config: JsonValue) -> str | None:
    """
    Say what model a config of another library is of.

    Args:
        config: Any JSON.

    Returns:
        What it says of itself; None for a config that may be of this family.

    >>> foreign_kind({"model_type": "llama", "hidden_size": 64})
    'model_type: llama'
    >>> foreign_kind({"hidden_size": 64, "layers": 2})
    'hidden_size, layers and no model_dim'

    """
    if not isinstance(config, dict) or "model_dim" in config or published_system(config) != "lm6m":
        return None
    for key in KINDS:
        value = config.get(key)
        named = value[0] if isinstance(value, list) and value else value
        if isinstance(named, str) and named:
            return f"{key}: {named[:MAX_KIND]}"
    keys = ", ".join(key[:MAX_KIND] for key in list(config)[:MAX_KEYS])
    return f"{keys or 'no keys'} and no model_dim"


def published_system(config: JsonValue) -> str:
    """
    Say which published system a ``config.json`` comes from.

    Args:
        config: The object.

    Returns:
        ``pr2086``, ``pr1934``, ``pr1123``, ``pr826``, ``pr576``; ``lm6m`` for one that
        names no system.

    >>> published_system({"script": "PR 1934 train_gpt.py"})
    'pr1934'

    """
    if not isinstance(config, dict):
        return repr(config)
    number = config.get("pr", config.get("script"))
    digits = re.search(r"\d+", str(number))
    return f"pr{digits[0]}" if digits else "lm6m"
