"""A worker with a target that it dies of."""

import os
from random import Random

from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import main


def _change(draw: Random, data: bytes) -> bytes:
    return draw.choice((data, b"die"))


def _read(data: bytes) -> str:
    if data == b"die":
        os.abort()
    return data.decode()


if __name__ == "__main__":
    TARGETS["dying"] = Target("dying", lambda: [b"live"], _change, _read)
    main()
