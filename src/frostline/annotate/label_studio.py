"""Label Studio: tasks with pre-annotations out, its JSON export back in.

The formats are those of https://labelstud.io/guide/task_format and https://labelstud.io/tags/rectanglelabels.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from xml.etree import ElementTree

from frostline.annotate.boxes import Answer, Answers, Box, Proposal, Reading, Sizes, note
from frostline.parsing.shapes import Page
from frostline.sources.label_studio_tasks import Task, add_regions, pick, read_tasks, together

_CONTROL, _PICTURE, _KIND = "label", "image", "rectanglelabels"


def write(proposals: Sequence[Proposal], prefix: str, version: str) -> list[dict[str, Any]]:
    """Tasks in the order of the proposals, as JSON can hold them.

    prefix: what comes before `images/NAME` in a picture's address. version: the `model_version` of all predictions,
    whoever proposed them, because a project shows people the predictions of one version only.
    Boxes that are annotated already become an annotation, others a prediction that people can take over and correct;
    its score is 1 - uncertainty, so that Label Studio's own order by score, lowest first, is the same. The scene's id
    travels in `data` and in `meta`.
    """
    tasks = []
    for proposal in proposals:
        known = {"scene": proposal.scene}
        regions = [_region(box, number, proposal) for number, box in enumerate(proposal.boxes)]
        task: dict[str, Any] = {"data": {"image": f"{prefix}images/{quote(proposal.file)}"} | known, "meta": known}
        if proposal.annotated:
            task["annotations"] = [{"result": regions}]
        elif proposal.by is not None:
            prediction: dict[str, Any] = {"model_version": version, "result": regions}
            if proposal.uncertainty is not None:
                prediction["score"] = 1 - proposal.uncertainty
            task["predictions"] = [prediction]
        tasks.append(task)
    return tasks


def labelling_config(names: Sequence[str]) -> str:
    """The labelling configuration of the tasks, an XML text: rectangles of these classes, which cannot be turned."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", name=_PICTURE, value="$image", zoom="true")
    labels = ElementTree.SubElement(view, "RectangleLabels", name=_CONTROL, toName=_PICTURE, canRotate="false")
    for name in names:
        ElementTree.SubElement(labels, "Label", value=name)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def _region(box: Box, position: int, proposal: Proposal) -> dict[str, Any]:
    (x0, y0, x1, y1), (width, height) = box.corners, proposal.size
    region = {
        "id": f"{proposal.scene}-{position}",
        "type": _KIND,
        "from_name": _CONTROL,
        "to_name": _PICTURE,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {
            "x": 100 * x0 / width,
            "y": 100 * y0 / height,
            "width": 100 * (x1 - x0) / width,
            "height": 100 * (y1 - y0) / height,
            "rotation": 0,
            _KIND: [box.label],
        },
    }
    return region if box.score is None else region | {"score": box.score}


def read(content: bytes, sizes: Sizes, file: str) -> Answers:
    """What people said in a JSON export, or in JSON-MIN.

    sizes: width and height of every scene. file: its name in messages. An annotation without regions says "looked,
    found none". A task without an annotation, or with skipped ones only, says nothing: predictions and drafts do not
    count. Of several annotations the newest that was not skipped holds. A turned rectangle becomes the upright box
    around it. Raises FrostlineError for what is no such export, and for regions that are no rectangles of one label.
    """
    reading = Reading(file, sizes)
    skipped = several = 0
    for task in together(read_tasks(content, file)):
        scene = _scene(task, reading)
        skipped += bool(task.annotations) and not task.done
        several += len(task.done) > 1
        if not task.done:
            continue
        page = Page(scene, Path(file), shares=True)
        add_regions(page, pick(task.done, "newest", page).result)
        if page.size is not None:
            reading.check_size(page.size, scene)
        reading.add(scene, Answer(reading.boxes(page, scene)))
    notes = note(skipped, "scene was skipped and stays as it was", "scenes were skipped and stay as they were")
    notes += note(
        several,
        "scene has several annotations, of which the newest holds",
        "scenes have several annotations, of which the newest hold",
    )
    return reading.answers(tells_empty=True, notes=notes)


def _scene(task: Task, reading: Reading) -> str:
    """The scene that the task tells; where it tells none, the one that its picture is of."""
    meta = task.meta
    ids = [task.data.get("scene"), meta.get("scene") if isinstance(meta, dict) else None]
    for scene in ids:
        if isinstance(scene, str) and scene in reading.sizes:
            return scene
    address = task.data.get("image")
    named = next((scene for scene in ids if scene is not None), None)
    return reading.scene(named or (unquote(address) if isinstance(address, str) else address))
