"""COCO: instance annotations out; `layouts` reads them back."""

from collections.abc import Sequence
from typing import Any

from frostline.annotate.boxes import Proposal


def write(proposals: Sequence[Proposal], names: Sequence[str], name: str) -> dict[str, Any]:
    """COCO's instance annotations of the dataset `name`, as JSON can hold them, in the order of the proposals.

    A `file_name` is relative to the dataset's folder `images`. A predicted box has its `score`, as in COCO's results.
    """
    categories = {label: number for number, label in enumerate(names, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, proposal in enumerate(proposals, start=1):
        width, height = proposal.size
        images.append({"id": number, "file_name": proposal.file, "width": width, "height": height})
        for box in proposal.boxes:
            x0, y0, x1, y1 = box.corners
            annotation: dict[str, Any] = {
                "id": len(annotations) + 1,
                "image_id": number,
                "category_id": categories[box.label],
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": (x1 - x0) * (y1 - y0),
                "iscrowd": 0,
            }
            annotations.append(annotation if box.score is None else annotation | {"score": box.score})
    return {
        "info": {"description": f"{name}, boxes to correct"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": label} for label, number in categories.items()],
    }
