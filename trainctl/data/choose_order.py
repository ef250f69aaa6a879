"""Choose how the rows of a run are visited: by where they are, and whether some have no label."""

import torch
from torch import Tensor

from trainctl.data.order import Order
from trainctl.data.paired_order import PairedOrder
from trainctl.data.rows import Rows
from trainctl.data.stored_rows import StoredRows
from trainctl.data.window_order import WindowOrder
from trainctl.errors import ConfigError, format_bytes
from trainctl.fileformat import rows_file
from trainctl.wording import amount

AnyOrder = Order | PairedOrder | WindowOrder


def order_of(
    rows: Rows,
    unlabeled: Rows | None,
    batch_size: int,
    unlabeled_size: int,
    seed: int,
    device: torch.device,
    taught: Tensor | None = None,
) -> AnyOrder:
    """Return the order in which training visits its rows.

    Args:
        rows: The training rows, with a label if others have none.
        unlabeled: The training rows without a label that a teacher makes useful; None if there are none.
        batch_size: Rows in a step.
        unlabeled_size: Rows without a label in a step.
        seed: The run's seed.
        device: The device of the indices.
        taught: What a teacher says about each row; None if that is not stored.
    """
    if unlabeled is not None:
        return PairedOrder(rows, unlabeled, batch_size, unlabeled_size, seed, device, taught)
    if isinstance(rows, StoredRows):
        return WindowOrder(rows, batch_size, seed, device, taught)
    return Order(rows, batch_size, seed, device, taught)


def largest_batch(rows: Rows) -> int:
    """Return how many rows a batch may have: all, but of those on disk no more than a window, which is what is in memory."""
    return rows.source.file.block_rows * rows_file.WINDOW_BLOCKS if isinstance(rows, StoredRows) else len(rows)


def check_batch(rows: Rows, batch_size: int, typed: object) -> None:
    """Check that a batch of rows on disk is smaller than a window, which is what is in memory.

    Args:
        rows: The training rows.
        batch_size: Rows in a step.
        typed: The setting ``loop.batch_size``.

    Raises:
        ConfigError: If it is not.
    """
    most = largest_batch(rows)
    if isinstance(rows, StoredRows) and batch_size > most:
        size = format_bytes(batch_size * rows.source.row_bytes)
        raise ConfigError(
            f"loop.batch_size={typed}: the rows stay on disk, and a batch of {amount(batch_size, 'row')} takes {size} of memory: give"
            f" at most {amount(most, 'row')}, or set dataset.keep=memory"
        )
