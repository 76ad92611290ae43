"""COCO: instance annotations out; `layouts` reads them back."""

from collections.abc import Sequence
from typing import Any

from frostline.annotate.boxes import Proposal
from frostline.scenes.layout import coco


def write(proposals: Sequence[Proposal], names: Sequence[str], name: str) -> dict[str, Any]:
    """COCO's instance annotations of the dataset `name`, as JSON can hold them, in the order of the proposals.

    A `file_name` is relative to the dataset's folder `images`. A predicted box has its `score`, as in COCO's results.
    """
    numbers = {label: number for number, label in enumerate(names)}
    pictures = []
    for proposal in proposals:
        width, height = proposal.size
        scores = [{} if box.score is None else {"score": box.score} for box in proposal.boxes]
        boxes = [(numbers[box.label], box.corners, score) for box, score in zip(proposal.boxes, scores, strict=True)]
        pictures.append(({"file_name": proposal.file, "width": width, "height": height}, boxes))
    return coco({"description": f"{name}, boxes to correct"}, pictures, names)
