"""What was annotated of a batch as arrays with one row a scene, and back: the form in which a cache can keep it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

NONE = -1  # box label of a row without a box


def pack(batch: Mapping[str, Any], most_boxes: int) -> dict[str, Tensor]:
    """The annotations of a batch (see `collate`) as arrays of B rows.

    label: (B,) int64, or (B, C) float32 where labels are mixed. mask: (B, S, S) uint8. boxes: (B, most_boxes, 4)
    float32, and box_labels: (B, most_boxes) int64, NONE where a scene has fewer.
    """
    packed: dict[str, Tensor] = {}
    if "label" in batch:
        packed["label"] = batch["label"]
    if "mask" in batch:
        packed["mask"] = batch["mask"].to(torch.uint8)
    if "boxes" in batch:
        packed["boxes"] = torch.zeros(len(batch["boxes"]), most_boxes, 4)
        packed["box_labels"] = torch.full((len(batch["boxes"]), most_boxes), NONE)
        for row, (boxes, labels) in enumerate(zip(batch["boxes"], batch["box_labels"], strict=True)):
            packed["boxes"][row, : len(boxes)] = boxes
            packed["box_labels"][row, : len(labels)] = labels
    return packed


def unpack(packed: Mapping[str, Tensor]) -> dict[str, Any]:
    """What `pack` packed, as it was."""
    batch: dict[str, Any] = {}
    if "label" in packed:
        batch["label"] = packed["label"]
    if "mask" in packed:
        batch["mask"] = packed["mask"].long()
    if "boxes" in packed:
        counts = (packed["box_labels"] != NONE).sum(1).tolist()
        batch["boxes"] = [boxes[:n] for boxes, n in zip(packed["boxes"], counts, strict=True)]
        batch["box_labels"] = [labels[:n] for labels, n in zip(packed["box_labels"], counts, strict=True)]
    return batch


def packed_names(needs: "frozenset[str]") -> list[str]:
    """Names of the arrays that `pack` makes for a task with these needs."""
    return [
        name
        for need, names in (("label", ["label"]), ("mask", ["mask"]), ("boxes", ["boxes", "box_labels"]))
        for name in names
        if need in needs
    ]
