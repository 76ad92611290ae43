"""The tasks of Label Studio's JSON export and of JSON-MIN: rectangles, polygons, ellipses, brushes and choices.

The formats are those of https://labelstud.io/guide/export and https://labelstud.io/guide/task_format.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from frostline.errors import FrostlineError
from frostline.parsing.files import PICTURE_SUFFIXES
from frostline.parsing.shapes import Page, Shape, number, size_in
from frostline.sources.brush import brushed
from frostline.words import short

RULES = ("newest", "oldest", "ground_truth")
_LONGEST = 60  # signs of what strangers wrote, in messages
_NEVER = datetime.min.replace(tzinfo=UTC)
_KEYS = ("image", "img", "picture", "photo")  # of a picture in a task's data, where several are texts


@dataclass(frozen=True)
class Annotation:
    """What one person submitted for a task.

    result: its regions as they stand there. time: of its last change. odd: what is wrong with it as a whole.
    """

    result: Sequence[Any]
    cancelled: bool = False
    time: datetime = _NEVER
    ground_truth: bool = False
    odd: str | None = None


@dataclass(frozen=True)
class Task:
    """called: in messages. data, meta: as they stand there. annotations: in their order there. small: of JSON-MIN."""

    called: str
    data: Mapping[str, Any]
    meta: Any = None
    annotations: Sequence[Annotation] = ()
    small: bool = False

    @property
    def done(self) -> list[Annotation]:
        """Those that were not cancelled."""
        return [found for found in self.annotations if not found.cancelled]

    @property
    def picture(self) -> str | None:
        """The address of the picture; None where the data name none."""
        texts = {key: value for key, value in self.data.items() if isinstance(value, str)}
        for key in _KEYS:
            if key in texts:
                return texts[key]
        return next((text for text in texts.values() if text.lower().endswith(tuple(PICTURE_SUFFIXES))), None)


def read_tasks(content: bytes, file: str) -> list[Task]:
    """The tasks of an export as JSON or JSON-MIN. file: its name in messages. Raises FrostlineError for others."""
    try:
        tasks = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FrostlineError(f"{file} is no JSON ({error}): export from Label Studio again, as JSON.") from error
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise FrostlineError(f"{file} is no list of Label Studio's tasks: export from Label Studio as JSON.")
    return [_task(task, position, file) for position, task in enumerate(tasks, start=1)]


def pick(done: Sequence[Annotation], rule: str, page: Page) -> Annotation:
    """The annotation that holds of several. rule: one of RULES; of those of one time the last, or the first.

    What is wrong with any of them is in `page.odd`.
    """
    for odd in (found.odd for found in done):
        if odd:
            page.wrong(odd)
    marked = [found for found in done if found.ground_truth] if rule == "ground_truth" else []
    if rule == "oldest":
        return min(done, key=lambda found: found.time)
    return max(reversed(marked or done), key=lambda found: found.time)


def add_regions(page: Page, result: Sequence[Any]) -> dict[str, list[str]]:
    """Put the shapes of an annotation onto a page, in shares of the picture as it is shown.

    Returns what was chosen for the whole picture, by the name of each question. What cannot be read is in `page.odd`,
    types of regions that give neither a shape nor a choice in `page.strange`.
    """
    chosen: dict[str, list[str]] = {}
    named: dict[Any, list[Any]] = {}  # the labels of regions that have them apart, by the region's id
    placed = set()
    for region in result:
        if isinstance(region, dict) and isinstance(value := region.get("value"), dict):
            identity = str(region.get("id"))
            placed |= {identity} if _kind(value) else set()
            for labels in _labels(value):
                named.setdefault(identity, []).extend(labels)
    for region in result:
        value = region.get("value") if isinstance(region, dict) else None
        kind = region.get("type", "region") if isinstance(region, dict) else region
        if not isinstance(value, dict):
            if kind == "relation":
                page.strange.append("relation")
            else:
                page.wrong(f"has a region of the type {kind!r} without a value")
        elif shape := _kind(value):
            _add(page, region, value, shape, named)
        elif isinstance(value.get("choices"), list) and "x" not in value:
            if str(region.get("id")) not in placed or region.get("id") is None:
                chosen.setdefault(str(region.get("from_name")), []).extend(map(str, value["choices"]))
        elif not (str(region.get("id")) in placed and any(True for _ in _labels(value))):
            page.strange.append(str(kind))
    return chosen


def _kind(value: dict[str, Any]) -> str | None:
    """The kind of shape that a region's value tells; None for one without an area."""
    if "rle" in value:
        return "pixels"
    if "points" in value:
        return "polygon"
    if "radiusX" in value:
        return "ellipse"
    return "box" if "x" in value and "height" in value and "text" not in value else None


def _labels(value: dict[str, Any]) -> list[list[Any]]:
    return [each for key, each in value.items() if key.endswith("labels") and isinstance(each, list)]


def _add(page: Page, region: dict[str, Any], value: dict[str, Any], kind: str, named: dict[Any, list[Any]]) -> None:
    """Put one shape onto the page, or what is wrong with it."""
    called = {"box": "rectangle", "pixels": "brush"}.get(kind, kind)
    labels = [label for each in _labels(value) for label in each] or named.get(str(region.get("id")), [])
    size = (region.get("original_width"), region.get("original_height"))
    page.size = page.size or size_in(*size)
    if len(labels) != 1 or not isinstance(labels[0], str) or not labels[0]:
        what = f"has a {called} with the labels {labels!r}: give each exactly one label"
        page.wrong(what, kind="label_unknown")
    elif region.get("image_rotation"):
        what = "was annotated on a turned picture, where boxes lie elsewhere: turn it back and submit it again"
        page.wrong(what)
    else:
        try:
            page.shapes.append(_SHAPES[kind](value, labels[0], size))
        except ValueError as error:
            page.wrong(f"has a {called} that cannot be read ({error})")


def _box(value: dict[str, Any], label: str, size: Any) -> Shape:
    x, y, width, height = (number(value.get(key)) / 100 for key in ("x", "y", "width", "height"))
    turn = number(value.get("rotation") or 0)
    # Label Studio turns a rectangle about its first corner.
    return Shape(label, "box", (x, y, x + width, y + height), degrees=turn, pivot="corner")


def _ellipse(value: dict[str, Any], label: str, size: Any) -> Shape:
    values = tuple(number(value.get(key)) / 100 for key in ("x", "y", "radiusX", "radiusY"))
    return Shape(label, "ellipse", values, degrees=number(value.get("rotation") or 0))


def _polygon(value: dict[str, Any], label: str, size: Any) -> Shape:
    points = value["points"]
    if not isinstance(points, list) or not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise ValueError("its points are no pairs of numbers")
    if len(points) < 3:
        raise ValueError("less than three points")
    return Shape(label, "polygon", outlines=(tuple(number(side) / 100 for point in points for side in point),))


def _brush(value: dict[str, Any], label: str, size: Any) -> Shape:
    known = size_in(*size)
    if known is None or not isinstance(value["rle"], list):
        raise ValueError("its pixels or its original_width and original_height are not there")
    return Shape(label, "pixels", (0.0, 0.0), grid=partial(brushed, value["rle"], *known))


_SHAPES = {"box": _box, "ellipse": _ellipse, "polygon": _polygon, "pixels": _brush}


def _task(task: dict[str, Any], position: int, file: str) -> Task:
    """One task of JSON, or one annotation of JSON-MIN."""
    known = isinstance(task.get("id"), int | str)
    called = f"the task {short(repr(task['id']), _LONGEST)}" if known else f"the task at place {position}"
    if "data" not in task and not {"annotations", "completions"} & task.keys():
        return _small(task, called)
    annotations = task.get("annotations", task.get("completions", []))
    data = task.get("data")
    if (
        not isinstance(annotations, list)
        or not isinstance(data, dict)
        or not all(isinstance(found, dict) and isinstance(found.get("result"), list) for found in annotations)
    ):
        raise FrostlineError(
            f"{file} is no list of Label Studio's tasks: {called} has no data, or annotations without their result; "
            "export from Label Studio as JSON."
        )
    return Task(called, data, task.get("meta"), [_annotation(found) for found in annotations])


def _annotation(found: dict[str, Any]) -> Annotation:
    cancelled = bool(found.get("was_cancelled") or found.get("skipped"))
    time, odd = _time(found)
    return Annotation(found["result"], cancelled, time, bool(found.get("ground_truth")), odd)


def _small(task: dict[str, Any], called: str) -> Task:
    """A task of JSON-MIN, which keeps the data first, then the answers by their questions, then who gave them."""
    result = []
    keys = list(task)
    answers = (
        keys[keys.index("id") + 1 : keys.index("annotator") if "annotator" in keys else None] if "id" in keys else keys
    )
    for key in keys:
        value = task[key]
        if isinstance(value, list) and all(isinstance(each, dict) for each in value):
            sizes = ("original_width", "original_height")
            result += [{"from_name": key, "value": each, **{side: each.get(side) for side in sizes}} for each in value]
        elif isinstance(value, dict) and isinstance(value.get("choices"), list):
            result.append({"from_name": key, "value": value})
        elif key in answers and "id" in keys and isinstance(value, str):
            result.append({"from_name": key, "value": {"choices": [value]}})
    data = {key: value for key, value in task.items() if isinstance(value, str)}
    time, odd = _time(task)
    return Task(called, data, None, [Annotation(result, time=time, odd=odd)], small=True)


def _time(annotation: dict[str, Any]) -> tuple[datetime, str | None]:
    """When an annotation was changed last, and what is wrong where that is no time."""
    text = annotation.get("updated_at") or annotation.get("created_at")
    if text is None:
        return _NEVER, None
    try:
        time = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return _NEVER, f"has an annotation of the time {short(repr(text), _LONGEST)}, which is none"
    return time if time.tzinfo else time.replace(tzinfo=UTC), None


def together(tasks: Sequence[Task]) -> list[Task]:
    """JSON-MIN has an entry for each annotation: those of one task as one."""
    found: dict[Any, Task] = {}
    for place, task in enumerate(tasks):
        key = (task.called, task.picture) if task.small else place
        if key in found:
            task = replace(task, annotations=[*found[key].annotations, *task.annotations])
        found[key] = task
    return list(found.values())
