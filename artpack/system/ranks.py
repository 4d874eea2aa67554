"""Processes that share one job, as torchrun starts them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed
from numpy.typing import NDArray


@dataclass(frozen=True)
class Ranks:
    """
    Which of how many processes this is.

    Attributes:
        rank: From 0.
        world: Number of processes.
    """

    rank: int = 0
    world: int = 1

    @classmethod
    def current(cls) -> "Ranks":
        """Return this process's place in torch's process group, alone if there is none."""
        if not torch.distributed.is_initialized():
            return cls()
        return cls(torch.distributed.get_rank(), torch.distributed.get_world_size())


@contextmanager
def joined(device: str) -> Iterator[str]:
    """
    Join the processes that torchrun started, if it did.

    Args:
        device: As torch names it. Of ``cuda``, of whatever number, each process takes its own.

    Yields:
        This process's own device: with several GPUs, each process has one.

    """
    if "WORLD_SIZE" not in os.environ:
        yield device
        return
    gpu = torch.device(device).type == "cuda"
    own = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if gpu else None
    torch.distributed.init_process_group("nccl" if gpu else "gloo", device_id=own)
    try:
        yield str(own or device)
    finally:
        torch.distributed.destroy_process_group()


def sum_over_ranks(sums: NDArray[np.float64], *, device: str) -> NDArray[np.float64]:
    """
    Add up what all processes hold.

    Args:
        sums: The same shape in every process.
        device: This process's own, as :func:`joined` gave it.

    Returns:
        The sum, the same in every process; ``sums`` itself in a single one.

    """
    if Ranks.current().world == 1:
        return sums
    total = torch.from_numpy(sums.copy()).to(device)
    torch.distributed.all_reduce(total)
    return total.cpu().numpy()
