"""
The protocols of every step, and the tables they are looked up in.

A stage is a frozen dataclass with a permanent ``stage_id``. Its fields are its
configuration: :class:`ConfiguredStage` turns them into JSON and back, so
equality, ``repr`` and config all come from the dataclass. Both directions of a
step live in one class. A stage that decodes is always told how much to expect
and fails on anything else.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from typing import (
    Any,
    ClassVar,
    Protocol,
    Self,
    TypeAlias,
    TypeVar,
    cast,
    get_type_hints,
    runtime_checkable,
)

from torch import Tensor

from artpack.errors import UnknownStageError, UsageError
from artpack.stages.symbols import PartSpec, Quantized, Symbols

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
Config: TypeAlias = dict[str, JsonValue]


class Stage(Protocol):
    """A step with a permanent id and a JSON-able configuration."""

    stage_id: ClassVar[str]
    """Lower case with hyphens; never reused once an artifact has carried it."""

    def config(self) -> Config:
        """Return what rebuilds this stage through ``from_config``."""

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """Rebuild a stage from its configuration."""


class Quantizer(Stage, Protocol):
    """Weights to symbols and back; lossy unless it says otherwise."""

    @property
    def label(self) -> str:
        """Short name of the grid for tables, such as ``int6``."""

    def parts(self, shape: tuple[int, ...]) -> tuple[PartSpec, ...]:
        """Return the parts that a tensor of this shape is stored as, in order."""

    def quantize(self, weight: Tensor) -> Quantized:
        """Turn a finite tensor into symbols."""

    def dequantize(self, quantized: Quantized) -> Tensor:
        """Turn symbols back into a tensor of ``quantized.shape``."""


class Layout(Stage, Protocol):
    """The order in which the symbols of one part are coded: a bijection."""

    def side_bytes(self, shape: tuple[int, int]) -> int:
        """Return how many bytes of side information ``inverse`` needs."""

    def forward(self, symbols: Symbols) -> tuple[bytes, Symbols]:
        """Return side information and the reordered symbols, one-dimensional."""

    def inverse(self, side: bytes, symbols: Symbols, *, shape: tuple[int, int]) -> Symbols:
        """Return the symbols in their own order and shape."""


class SymbolCoder(Stage, Protocol):
    """Symbols to bytes: packing and entropy coding alike."""

    def accepts(self, alphabet: int) -> bool:
        """Return whether symbols of this alphabet can be coded."""

    def encode(self, symbols: Symbols, *, alphabet: int) -> bytes:
        """Code one-dimensional symbols."""

    def decode(self, data: bytes, *, alphabet: int, count: int) -> Symbols:
        """Decode exactly ``count`` symbols that use up ``data`` exactly."""


@runtime_checkable
class MatrixCoder(SymbolCoder, Protocol):
    """A symbol coder that sees where rows begin and parts end."""

    def encode_matrices(self, matrices: Sequence[Symbols], *, alphabet: int) -> bytes:
        """Code two-dimensional symbols, several matrices of them."""

    def decode_matrices(
        self, data: bytes, *, shapes: Sequence[tuple[int, int]], alphabet: int
    ) -> list[Symbols]:
        """Decode matrices of exactly these shapes that use up ``data`` exactly."""


class Codec(Stage, Protocol):
    """Bytes to bytes."""

    def encode(self, data: bytes) -> bytes:
        """Compress."""

    def decode(self, data: bytes, *, size: int) -> bytes:
        """Decompress to exactly ``size`` bytes, never allocating much more."""


StageT = TypeVar("StageT", bound=Stage)
Table: TypeAlias = Mapping[str, type[StageT]]


def by_id(stages: Iterable[type[StageT]]) -> Table[StageT]:
    """
    Make a lookup table of stages.

    Args:
        stages: The classes, each with its own ``stage_id``.

    Returns:
        ``stage_id`` to class, in the order given.

    Raises:
        UsageError: Two stages share an id.

    """
    table: dict[str, type[StageT]] = {}
    for stage in stages:
        if stage.stage_id in table:
            raise UsageError(f"stage id {stage.stage_id!r} is taken by {table[stage.stage_id]}")
        table[stage.stage_id] = stage
    return table


def stage_to_json(stage: Stage) -> Config:
    """
    Return a stage's id and configuration as one JSON object.

    Args:
        stage: Any stage.

    Returns:
        The configuration with the key ``id`` in front.

    """
    return {"id": stage.stage_id, **stage.config()}


def stage_from_json(table: Table[StageT], value: JsonValue) -> StageT:
    """
    Rebuild a stage from what :func:`stage_to_json` made.

    Args:
        table: Where to look the id up.
        value: An object with the key ``id`` and the stage's fields, or a bare id.

    Returns:
        The stage.

    Raises:
        UnknownStageError: No stage of the table has that id.
        UsageError: The value has no id, or its fields do not fit the stage.

    """
    config: JsonValue = {"id": value} if isinstance(value, str) else value
    if not isinstance(config, dict) or not isinstance(config.get("id"), str):
        raise UsageError(f"a stage is an object with an 'id', got {value!r}")
    stage_id = cast("str", config["id"])
    if stage_id not in table:
        raise UnknownStageError(f"unknown stage {stage_id!r}{nearest(stage_id, table)}")
    return table[stage_id].from_config({k: v for k, v in config.items() if k != "id"})


def nearest(word: str, known: Iterable[str]) -> str:
    """
    Say which known word was probably meant.

    Args:
        word: What was given.
        known: What would have been right.

    Returns:
        A remedy to append to an error message.

    >>> nearest("brotly", ["brotli", "zstd"])
    " (did you mean 'brotli'?)"
    >>> nearest("x", ["brotli", "zstd"])
    ' (known: brotli, zstd)'

    """
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    return f" (did you mean {close[0]!r}?)" if close else f" (known: {', '.join(names)})"


class ConfiguredStage:
    """
    Gives a frozen dataclass ``config`` and ``from_config`` out of its fields.

    A field is a bool, int, float or str, a tuple of floats, or another stage: then the field's
    metadata names the table to look it up in, ``field(metadata={"table": CLIPS})``.
    Ranges are checked by the dataclass's own ``__post_init__``.
    """

    stage_id: ClassVar[str]

    def config(self) -> Config:
        """
        Return the fields as JSON.

        Returns:
            Field name to value; stages as :func:`stage_to_json` writes them.

        """
        return {f.name: _to_json(f, getattr(self, f.name)) for f in _fields(type(self))}

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """
        Rebuild from :meth:`config`; every key and type is checked.

        Args:
            config: Field name to value. Fields with a default may be missing.

        Returns:
            An equal stage.

        Raises:
            UsageError: A key is unknown or missing, or a value has the wrong type.
            UnknownStageError: A field names a stage that does not exist.

        """
        known = {f.name: f for f in _fields(cls)}
        for key in config:
            if key not in known:
                remedy = nearest(key, known) if known else " (it takes none)"
                raise UsageError(f"{cls.stage_id}: unknown field {key!r}{remedy}")
        hints = get_type_hints(cls)
        values = {}
        for name, field in known.items():
            if name in config:
                values[name] = cls._read(field, hints[name], config[name])
            elif field.default is MISSING and field.default_factory is MISSING:
                raise UsageError(f"{cls.stage_id}: field {name!r} is missing")
        return cls(**values)

    @classmethod
    def _read(cls, field: Field[Any], hint: object, value: JsonValue) -> object:
        if "table" in field.metadata:
            return stage_from_json(field.metadata["table"], value)
        if hint is float and type(value) is int:
            return float(value)
        if hint == tuple[float, ...]:
            return _numbers(f"{cls.stage_id}: {field.name}", value)
        if type(value) is not hint:
            wanted = getattr(hint, "__name__", str(hint))
            raise UsageError(f"{cls.stage_id}: {field.name} must be {wanted}, got {value!r}")
        return value


def _to_json(field: Field[Any], value: Any) -> JsonValue:
    if "table" in field.metadata:
        return stage_to_json(value)
    return list(value) if isinstance(value, tuple) else cast("JsonValue", value)


def _numbers(what: str, value: JsonValue) -> tuple[float, ...]:
    numbers = value if isinstance(value, list) else [None]
    if any(type(number) not in (int, float) for number in numbers):
        raise UsageError(f"{what} must be a list of numbers, got {value!r}")
    return tuple(float(cast("float", number)) for number in numbers)


def _fields(cls: type) -> tuple[Field[Any], ...]:
    return fields(cast("Any", cls))
