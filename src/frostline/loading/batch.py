"""A batch: what a loader gives and a task takes. Stacked of items, packed into rows for a cache, or made up."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Required, TypeAlias, TypedDict, cast, final

import torch
from torch import Tensor

Item = dict[str, Any]  # one scene, with what `collate` stacks
Keys: TypeAlias = Sequence[tuple[int, int]]  # of items: position in the split, view
Rectangle = tuple[int, int, int, int]  # left, top, width, height

NONE = -1  # box label of a row without a box


class Annotated(TypedDict, total=False):
    """What every batch of B scenes has, and, as far as the task needs it, what was annotated on them.

    size: S, the side of the square that models see. index: (B,) int64, within the split. id: of each scene.
    label: (B,) int64, or (B, C) float32 probabilities where labels are mixed. boxes: for each scene (n, 4) float32,
    x0 y0 x1 y1 in pixels of S. box_labels: for each scene (n,) int64. box_marks: for each scene (n,) uint8, as in
    `Scene`. mask: (B, S, S) int64, VOID where unknown.
    Of "val" and "test" alone, for each scene: place: where the picture lies in the square. picture_size: its own width
    and height. native_mask: (h, w) uint8, of a task with masks, at the picture's own size.
    """

    size: Required[int]
    index: Required[Tensor]
    id: Required[list[str]]
    label: Tensor
    boxes: list[Tensor]
    box_labels: list[Tensor]
    box_marks: list[Tensor]
    mask: Tensor
    place: list[Rectangle]
    picture_size: list[tuple[int, int]]
    native_mask: list[Tensor]


@final
class Pictures(Annotated):
    """A batch of pictures. image: (B, 3, S, S) uint8; models scale and normalise it, on their own device."""

    image: Required[Tensor]


@final
class Activations(Annotated):
    """A batch in which what lies below the frost line is computed already.

    activations: (B, ...) by name, each what a stage leaves that the head or the next stage reads. depth: how many
    groups lie below.
    """

    activations: Required[dict[str, Tensor]]
    depth: Required[int]


Batch: TypeAlias = Pictures | Activations
Shortcut: TypeAlias = Callable[[Keys], Activations]  # from the keys of a batch to the batch, without its pictures


def stack_pictures(pictures: Sequence[Tensor]) -> Tensor:
    """Pictures (3, S, S), or masks (S, S), as one tensor; channels that lie last stay there, as models like them."""
    if pictures[0].is_contiguous():
        return torch.stack(list(pictures))
    return torch.stack([picture.permute(1, 2, 0) for picture in pictures]).permute(0, 3, 1, 2)


def of_none(batch: Batch) -> Batch:
    """For a process that has no scene where the others have some: it computes what they compute, and nothing counts."""
    return cast(Batch, {**batch, "id": []})


def collate(items: Sequence[Item]) -> Pictures:
    """Items to a batch, with the annotations that the first one has; without any, a batch of no scenes."""
    if not items:
        return cast(Pictures, {"id": []})
    first = items[0]
    batch: dict[str, Any] = {key: [item[key] for item in items] for key in first}
    batch["image"] = stack_pictures([image.as_subclass(Tensor) for image in batch["image"]])
    batch["size"] = first["image"].shape[-1]
    batch["index"] = torch.tensor(batch["index"])
    if "label" in first:
        batch["label"] = torch.stack([torch.as_tensor(label) for label in batch["label"]])
    if "mask" in first:
        batch["mask"] = torch.stack([mask.as_subclass(Tensor) for mask in batch["mask"]]).long()
    return cast(Pictures, batch)


def made_up(scenes: int, size: int, classes: int = 1, seed: int = 0) -> Pictures:
    """A batch of noise that serves any task, in training and evaluation, on pictures of `size` pixels.

    Of the classes each scene takes the next: as its label, and as that of its one box. Its mask has a stripe of each.
    """
    generator = torch.Generator().manual_seed(seed)
    mask = (torch.arange(size) * classes // size).to(torch.uint8).expand(size, size).contiguous()
    return collate(
        [
            {
                "image": torch.randint(0, 256, (3, size, size), dtype=torch.uint8, generator=generator),
                "index": number,
                "id": f"scene {number}",
                "label": number % classes,
                "boxes": torch.tensor([[size * 0.2, size * 0.2, size * 0.8, size * 0.8]]),
                "box_labels": torch.tensor([number % classes]),
                "box_marks": torch.zeros(1, dtype=torch.uint8),
                "mask": mask,
                "place": (0, 0, size, size),
                "picture_size": (size, size),
                "native_mask": mask,
            }
            for number in range(scenes)
        ]
    )


def pack(batch: Annotated, most_boxes: int) -> dict[str, Tensor]:
    """The annotations of a batch as arrays of B rows, as a cache can keep them.

    label: as in the batch. mask: (B, S, S) uint8. boxes: (B, most_boxes, 4) float32, and box_labels: (B, most_boxes)
    int64, NONE where a scene has fewer. box_marks: (B, most_boxes) uint8.
    """
    packed: dict[str, Tensor] = {}
    if "label" in batch:
        packed["label"] = batch["label"]
    if "mask" in batch:
        packed["mask"] = batch["mask"].to(torch.uint8)
    if "boxes" in batch:
        packed["boxes"] = torch.zeros(len(batch["boxes"]), most_boxes, 4)
        packed["box_labels"] = torch.full((len(batch["boxes"]), most_boxes), NONE)
        packed["box_marks"] = torch.zeros(len(batch["boxes"]), most_boxes, dtype=torch.uint8)
        for name in ("boxes", "box_labels", "box_marks"):
            for row, values in enumerate(batch[name]):  # type: ignore[literal-required]
                packed[name][row, : len(values)] = values
    return packed


def unpack(packed: Mapping[str, Tensor]) -> dict[str, Any]:
    """What `pack` packed, as it was: fields of a batch."""
    batch: dict[str, Any] = {}
    if "label" in packed:
        batch["label"] = packed["label"]
    if "mask" in packed:
        batch["mask"] = packed["mask"].long()
    if "boxes" in packed:
        counts = (packed["box_labels"] != NONE).sum(1).tolist()
        for name in ("boxes", "box_labels", "box_marks"):
            batch[name] = [values[:n] for values, n in zip(packed[name], counts, strict=True)]
    return batch


def packed_names(needs: frozenset[str]) -> list[str]:
    """Names of the arrays that `pack` makes for a task with these needs."""
    names: list[str] = [name for name in ("label", "mask", "boxes") if name in needs]
    return [*names, "box_labels", "box_marks"] if "boxes" in needs else names
