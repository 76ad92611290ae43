"""Label Studio: tasks with pre-annotations out, its JSON export back in.

The formats are those of https://labelstud.io/guide/task_format and https://labelstud.io/tags/rectanglelabels.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote
from xml.etree import ElementTree

from frostline.annotate.boxes import Answer, Answers, Box, Proposal, Reading, Sizes, note, number, upright
from frostline.errors import FrostlineError

_CONTROL, _PICTURE, _KIND = "label", "image", "rectanglelabels"
_NEVER = datetime.min.replace(tzinfo=UTC)


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
    """What people said in a JSON export.

    sizes: width and height of every scene. file: its name in messages. An annotation without regions says "looked,
    found none". A task without an annotation, or with skipped ones only, says nothing: predictions and drafts do not
    count. Of several annotations the newest that was not skipped holds. A turned rectangle becomes the upright box
    around it. Raises FrostlineError for what is no such export, and for regions that are no rectangles of one label.
    """
    try:
        tasks = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FrostlineError(f"{file} is no JSON ({error}): export from Label Studio again, as JSON.") from error
    if not isinstance(tasks, list) or not all(_is_task(task) for task in tasks):
        raise FrostlineError(
            f"{file} is no list of Label Studio's tasks with their annotations: export as JSON, not as JSON-MIN."
        )
    reading = Reading(file, sizes)
    skipped = several = 0
    for task in tasks:
        scene = _scene(task, reading)
        annotations = task.get("annotations", [])
        done = [annotation for annotation in annotations if not annotation.get("was_cancelled")]
        skipped += bool(annotations) and not done
        several += len(done) > 1
        if not done:
            continue
        _, _, newest = max((_time(found, reading.where(scene)), position, found) for position, found in enumerate(done))
        reading.add(scene, Answer(tuple(_box(region, scene, reading) for region in newest["result"])))
    notes = note(skipped, "scene was skipped and stays as it was", "scenes were skipped and stay as they were")
    notes += note(
        several,
        "scene has several annotations, of which the newest holds",
        "scenes have several annotations, of which the newest hold",
    )
    return reading.answers(tells_empty=True, notes=notes)


def _is_task(task: Any) -> bool:
    annotations = task.get("annotations", []) if isinstance(task, dict) else None
    return (
        isinstance(annotations, list)
        and isinstance(task.get("data"), dict)
        and all(isinstance(found, dict) and isinstance(found.get("result"), list) for found in annotations)
    )


def _scene(task: dict[str, Any], reading: Reading) -> str:
    """The scene that the task tells; where it tells none, the one that its picture is of."""
    meta = task.get("meta")
    ids = [task["data"].get("scene"), meta.get("scene") if isinstance(meta, dict) else None]
    for scene in ids:
        if isinstance(scene, str) and scene in reading.sizes:
            return scene
    address = task["data"].get("image")
    named = next((scene for scene in ids if scene is not None), None)
    return reading.scene(named or (unquote(address) if isinstance(address, str) else address))


def _time(annotation: dict[str, Any], where: str) -> datetime:
    text = annotation.get("updated_at") or annotation.get("created_at")
    if text is None:
        return _NEVER
    try:
        time = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise FrostlineError(f"{where} has an annotation of the time {text!r}, which is none: export again.") from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _box(region: Any, scene: str, reading: Reading) -> Box:
    where = reading.where(scene)
    if not isinstance(region, dict) or region.get("type") != _KIND or not isinstance(region.get("value"), dict):
        kind = region.get("type") if isinstance(region, dict) else region
        raise FrostlineError(
            f"{where} has a region of the type {kind!r}, and only {_KIND} are read: set the project up with the "
            "labelling configuration that `frostline annotate export` wrote."
        )
    value = region["value"]
    labels = value.get(_KIND)
    if not isinstance(labels, list) or len(labels) != 1 or not isinstance(labels[0], str) or not labels[0]:
        raise FrostlineError(f"{where} has a rectangle with the labels {labels!r}: give each exactly one label.")
    if region.get("image_rotation"):
        raise FrostlineError(
            f"{where} was annotated on a turned picture, where boxes lie elsewhere: turn it back and submit it again."
        )
    if "original_width" in region:
        reading.check_size((region["original_width"], region.get("original_height")), scene)
    width, height = reading.sizes[scene]
    try:
        x, y, w, h = (number(value.get(key)) / 100 for key in ("x", "y", "width", "height"))
        degrees = number(value.get("rotation") or 0)
    except ValueError as error:
        raise FrostlineError(f"{where} has a rectangle that cannot be read ({error}): export again.") from error
    x, y, w, h = x * width, y * height, w * width, h * height
    if degrees:
        return Box(labels[0], upright(x, y, w, h, degrees, (width, height)), turned=True)
    return Box(labels[0], (x, y, x + w, y + h))
