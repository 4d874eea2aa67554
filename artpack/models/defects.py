"""
Published defects of a model, left out or put back.

What a defect is, is a matter of the config alone: fields that say *as published* in
:mod:`~artpack.models.mechanisms`, and presets that have an ``as_published`` form.
"""

from dataclasses import replace

from artpack.models.config import ModelConfig
from artpack.models.presets import PRESETS


def as_meant(config: ModelConfig) -> ModelConfig:
    """
    Leave out what was published by mistake.

    Args:
        config: Any model.

    Returns:
        The preset as meant, if this is one as published; otherwise the same model with
        its documents kept apart. A RoPE base that follows the length of the input stays:
        the config does not tell which window was meant.

    """
    for preset in PRESETS.values():
        if config == preset.as_published:
            return preset.config
    smear = config.smear
    return replace(
        config,
        rope=replace(config.rope, crosses_documents=False),
        smear=None if smear is None else replace(smear, crosses_documents=False),
    )


def as_published(config: ModelConfig) -> ModelConfig:
    """
    Put back what was published by mistake.

    Args:
        config: Any model.

    Returns:
        The preset as published, if this is one as meant; otherwise the same model.

    """
    for preset in PRESETS.values():
        if config == preset.config and preset.as_published is not None:
            return preset.as_published
    return config
