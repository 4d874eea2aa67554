"""The sensitivity of a table that is both looked up and the output head."""

import torch
from torch import Tensor


def join_roles(hessian: Tensor, rows: Tensor, lookups: Tensor) -> tuple[Tensor, Tensor]:
    """
    Join the two roles of a tied table: output head, and rows that are looked up.

    An error e of row j costs ``½ (rows[j] e H e' + lookups[j] e e')``. One metric of the
    columns has to do for all rows, so it is that of the sum over rows.

    Args:
        hessian: Of the head.
        rows: Information of the head's rows.
        lookups: Information of the rows that were looked up.

    Returns:
        Hessian and information of the rows.

    """
    share = lookups.double().sum() / rows.double().sum().clamp(min=1e-30)
    joint = hessian.double() + share * torch.eye(len(hessian))
    mean = hessian.double().diagonal().mean()
    return joint, (rows * mean + lookups) / (mean + share)
