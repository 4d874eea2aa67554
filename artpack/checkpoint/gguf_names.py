"""Names and shapes of a GGUF file's tensors, as transformers reads them."""

import inspect
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artpack.checkpoint.gguf_header import GgufHeader
from artpack.checkpoint.gguf_model import (
    FAULTS,
    READER,
    empty_model,
    make_config,
    read_metadata,
    unusable,
)
from artpack.checkpoint.optional import import_reader
from artpack.errors import UsageError


@dataclass(frozen=True, eq=False)
class Translation:
    """
    How tensors become those of a model of transformers.

    Attributes:
        shapes: Name of each tensor of the model to its shape.
        aliases: Names of tensors that are the same to one that stands for all.
        mapping: Names of llama.cpp to names of the model.
        processor: Undoes what the conversion to GGUF did to values.
    """

    shapes: Mapping[str, tuple[int, ...]]
    aliases: Mapping[str, str]
    mapping: Mapping[str, str]
    processor: Any

    def find_name(self, name: str) -> str | None:
        """
        Find what a tensor is for.

        Args:
            name: As llama.cpp calls it.

        Returns:
            The name of what it is, or is a part of; None if the model has no such tensor.

        """
        # Experts are a parameter, and no module with a weight, in the models of transformers 5.
        found = self.mapping.get(name) or self.mapping.get(name.removesuffix(".weight"))
        return found if found in self.shapes else None

    def missing(self, present: Collection[str]) -> list[str]:
        """
        List what the model needs besides.

        Args:
            present: Names of the model that there are tensors for.

        Returns:
            The others; of tensors that are the same, one is enough.

        """
        known = {self.aliases[name] for name in present}
        return [name for name, one in self.aliases.items() if one not in known]

    def translate(self, name: str, parts: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """
        Make a tensor of the model.

        Args:
            name: Its name.
            parts: Name of llama.cpp to values, of all that it is made of.

        Returns:
            Its values.

        Raises:
            KeyError: transformers made something else of them.

        """
        made: dict[str, Any] = {}
        for part, weights in parts.items():
            result = self.processor.process(
                weights=weights,
                name=part,
                tensor_key_mapping=self.mapping,
                parsed_parameters={"tensors": made},
            )
            if result.name is not None:
                made[self.mapping[result.name]] = result.weights
        return np.asarray(made[name])


def find_translation(path: Path, header: GgufHeader) -> Translation | None:
    """
    Ask transformers what the tensors of a file are called.

    Args:
        path: The file.
        header: Its header.

    Returns:
        The translation; None if transformers does not know the architecture.

    Raises:
        CheckpointError: It knows it, and the metadata make no model.
        UsageError: It is not installed, or too old.

    """
    fields = read_metadata(path)
    if fields is None:
        return None
    reader = import_reader(READER)
    if not hasattr(reader, "TENSOR_PROCESSORS"):
        raise UsageError("GGUF files need transformers 4.56 or later: pip install -U transformers")
    try:
        model = empty_model(make_config(fields))
        processor = reader.TENSOR_PROCESSORS.get(header.architecture, reader.TensorProcessor)(
            config=fields
        )
        find_names = reader.get_gguf_hf_weights_map
        # Before 4.52 names did not depend on the processor.
        wanted = {"processor"} & inspect.signature(find_names).parameters.keys()
        mapping = find_names(model, **dict.fromkeys(wanted, processor))
    except FAULTS as error:
        raise unusable(path, error) from error
    parameters = model.state_dict(keep_vars=True)
    first: dict[int, str] = {}
    aliases = {name: first.setdefault(id(one), name) for name, one in parameters.items()}
    shapes = {name: tuple(one.shape) for name, one in parameters.items()}
    return Translation(shapes, aliases, mapping, processor)
