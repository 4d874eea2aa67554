"""
Frozen dataclasses that turn into JSON and back, with every key and type checked.

A field is a bool, int, float, str or ``Literal``, a tuple of one of these or of
records, another record, or one of them or None, which JSON may also call ``"none"``. A
field whose metadata names a ``table`` is a stage. Ranges are checked by the record's own
``__post_init__``.
"""

from collections.abc import Collection
from dataclasses import MISSING, Field, fields
from dataclasses import field as declare
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, Self, Union, cast, get_args, get_origin, get_type_hints

from artpack.errors import UsageError
from artpack.stages.protocols import Config, JsonValue
from artpack.stages.tables import nearest, stage_from_json, stage_to_json

APART = {"apart": True}
"""Metadata of a field that is no part of the JSON: who reads a record tells it."""

NONE = "none"
"""None where it is typed: TOML has no word for it."""


class Record:
    """Gives a frozen dataclass ``to_json`` and ``from_json`` out of its fields."""

    def to_json(self) -> Config:
        """
        Return every field as JSON.

        Returns:
            Field name to value; a mechanism that is off is None, and what :func:`later`
            declared is left out at its default.

        """
        return {
            field.name: _to_json(field, getattr(self, field.name))
            for field in _fields(self)
            if not ("later" in field.metadata and getattr(self, field.name) == field.default)
        }

    @classmethod
    def from_json(cls, value: JsonValue, *, where: str = "model", **apart: object) -> Self:
        """
        Rebuild from :meth:`to_json`.

        Args:
            value: Field name to value. Fields with a default may be missing.
            where: Path of the record, for messages; empty at the top of a file.
            **apart: Fields that are no part of the JSON, see :data:`APART`.

        Returns:
            An equal record.

        Raises:
            UsageError: A key is unknown or missing, a value has the wrong type
                or is out of range; the message gives the field's path.
            UnknownStageError: A field names a stage that does not exist.

        """
        if not isinstance(value, dict):
            raise UsageError(f"{where or cls.__name__} must be an object, got {value!r}")
        prefix, dot = (f"{where}: ", f"{where}.") if where else ("", "")
        known = {field.name: field for field in _fields(cls)}
        check_keys(value, known, prefix)
        hints = get_type_hints(cls)
        read = {}
        for name, field in known.items():
            if name in value:
                read[name] = _read(field, hints[name], value[name], f"{dot}{name}")
            elif field.default is MISSING and field.default_factory is MISSING:
                raise UsageError(f"{prefix}field {name!r} is missing")
        try:
            return cls(**read, **apart)
        except UsageError as error:
            told = str(error).startswith(prefix)  # stages begin with their id
            raise UsageError(str(error) if told else f"{prefix}{error}") from None


class ConfiguredStage(Record):
    """
    Gives a frozen dataclass ``config`` and ``from_config`` out of its fields.

    A field may be another stage: then its metadata names the table to look it up in,
    ``field(metadata={"table": CLIPS})``.
    """

    stage_id: ClassVar[str]

    def config(self) -> Config:
        """Return the fields as JSON, without the id."""
        return self.to_json()

    @classmethod
    def from_config(cls, config: Config, *, where: str = "") -> Self:
        """
        Rebuild from :meth:`config`; every key and type is checked.

        Args:
            config: Field name to value. Fields with a default may be missing.
            where: Path of the stage, for messages; empty for its id.

        Returns:
            An equal stage.

        Raises:
            UsageError: A key is unknown or missing, or a value has the wrong type.
            UnknownStageError: A field names a stage that does not exist.

        """
        return cls.from_json(config, where=where or cls.stage_id)


def later(default: Any, **metadata: object) -> Any:
    """
    Declare a field that files written before it existed do not have.

    Args:
        default: Its default. JSON leaves the field out where it has this value, so that
            what is older keeps its bytes and its hash.
        **metadata: More of the field's metadata.

    Returns:
        The field.

    """
    return declare(default=default, metadata={"later": True, **metadata})


def check_range(
    record: Record,
    name: str,
    lowest: float,
    highest: float,
) -> None:
    """
    Check that a number lies in a closed range.

    Args:
        record: Whose field it is.
        name: The field; None in it is not checked.
        lowest: Smallest value allowed.
        highest: Largest value allowed.

    Raises:
        UsageError: It does not.

    """
    value = getattr(record, name)
    if value is not None and not lowest <= value <= highest:
        raise UsageError(f"{name} must be in {lowest}..{highest}, got {value}")


def check_keys(value: Config, known: Collection[str], prefix: str = "") -> None:
    """
    Check that an object has no key that nobody reads.

    Args:
        value: The object.
        known: Keys that it may have.
        prefix: Of the message.

    Raises:
        UsageError: It has another.

    """
    for key in value:
        if key not in known:
            remedy = nearest(key, known) if known else " (it takes none)"
            raise UsageError(f"{prefix}unknown field {key!r}{remedy}")


def _fields(record: object) -> list[Field[Any]]:
    return [field for field in fields(cast("Any", record)) if "apart" not in field.metadata]


def _to_json(field: Field[Any], value: Any) -> JsonValue:
    if "table" in field.metadata:
        return field.metadata.get("absent") if value is None else stage_to_json(value)
    if isinstance(value, tuple):
        return [_to_json(field, item) for item in value]
    return value.to_json() if isinstance(value, Record) else cast("JsonValue", value)


def _read(field: Field[Any], hint: Any, value: JsonValue, where: str) -> object:
    if NoneType in get_args(hint) and value in (None, NONE, field.metadata.get("absent")):
        return None
    if "table" in field.metadata:
        return stage_from_json(field.metadata["table"], value, where=where)
    if get_origin(hint) in (Union, UnionType):  # the first is that of Literal[...] | None
        hint = next(choice for choice in get_args(hint) if choice is not NoneType)
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise UsageError(f"{where} must be a list, got {value!r}")
        item = get_args(hint)[0]
        return tuple(_read(field, item, v, f"{where}[{i}]") for i, v in enumerate(value))
    if get_origin(hint) is Literal:
        return _read_choice(get_args(hint), value, where)
    if isinstance(hint, type) and issubclass(hint, Record):
        return hint.from_json(value, where=where)
    return _read_scalar(hint, value, where)


def _read_choice(choices: tuple[str, ...], value: JsonValue, where: str) -> str:
    if not isinstance(value, str) or value not in choices:
        remedy = nearest(value, choices) if isinstance(value, str) else f" ({', '.join(choices)})"
        raise UsageError(f"{where}: unknown choice {value!r}{remedy}")
    return value


def _read_scalar(hint: type, value: JsonValue, where: str) -> object:
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise UsageError(f"{where} must be {hint.__name__}, got {value!r}")
    return value
