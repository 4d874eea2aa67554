"""
Protocols of every step, the tables they are looked up in, and their configuration.

A stage is a frozen dataclass with a permanent ``stage_id``. Its fields are its
configuration: :class:`ConfiguredStage` turns them into JSON and back, so
equality, ``repr`` and config all come from the dataclass. Both directions of a
step live in one class. A stage that decodes is always told how much to expect
and fails on anything else.
"""

from artpack.stages.protocols import (
    Codec,
    Config,
    JsonValue,
    Layout,
    Quantizer,
    Stage,
    SymbolCoder,
)
from artpack.stages.record import APART, ConfiguredStage, Record, check_keys, check_range, later
from artpack.stages.tables import (
    StageT,
    Table,
    by_id,
    nearest,
    stage_from_json,
    stage_to_json,
)

__all__ = [
    "APART",
    "Codec",
    "Config",
    "ConfiguredStage",
    "JsonValue",
    "Layout",
    "Quantizer",
    "Record",
    "Stage",
    "StageT",
    "SymbolCoder",
    "Table",
    "by_id",
    "check_keys",
    "check_range",
    "later",
    "nearest",
    "stage_from_json",
    "stage_to_json",
]
