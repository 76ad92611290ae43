"""What all tests share: the fixtures of `helpers`."""

from helpers.batches import batch, make
from helpers.drawn import dataset, drawn, folders, listed, real_data
from helpers.runs import here, small, small_meadow, train_small
from helpers.tiny import tiny

__all__ = [
    "batch", "dataset", "drawn", "folders", "here", "listed", "make", "real_data", "small", "small_meadow", "tiny",
    "train_small",
]  # fmt: skip
