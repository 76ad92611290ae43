"""CVAT: its XML for images, version 1.1, out and back in.

The format is that of https://docs.cvat.ai/docs/manual/advanced/xml_format.
"""

import math
from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import Element, ParseError, SubElement, indent, tostring

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from frostline.annotate.boxes import Answer, Answers, Box, Proposal, Reading, Sizes, number, upright
from frostline.errors import FrostlineError

_CORNERS = ("xtl", "ytl", "xbr", "ybr")
_NO_SHAPE = ("box", "tag")  # what is read, and what says something of the picture as a whole


def write(proposals: Sequence[Proposal], names: Sequence[str], name: str) -> str:
    """The XML text of one CVAT task: `name`, its labels, and an image for each proposal with its boxes.

    CVAT knows no scores: a box tells by `source` whether it was made by hand, and nothing more.
    """
    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    task = SubElement(SubElement(root, "meta"), "task")
    SubElement(task, "name").text = name
    SubElement(task, "size").text = str(len(proposals))
    SubElement(task, "mode").text = "annotation"
    labels = SubElement(task, "labels")
    for label in names:
        entry = SubElement(labels, "label")
        SubElement(entry, "name").text = label
        SubElement(entry, "attributes")
    # CVAT numbers pictures in the order of their names.
    position = {file: number for number, file in enumerate(sorted(proposal.file for proposal in proposals))}
    for proposal in proposals:
        width, height = map(str, proposal.size)
        picture = SubElement(
            root, "image", id=str(position[proposal.file]), name=proposal.file, width=width, height=height
        )
        for box in proposal.boxes:
            corners = {key: repr(value) for key, value in zip(_CORNERS, box.corners, strict=True)}
            source = "manual" if proposal.annotated else "auto"
            fields = {"label": box.label, "source": source, "occluded": "0"} | corners | {"z_order": "0"}
            SubElement(picture, "box", fields)
    indent(root)
    return tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def read(content: bytes, sizes: Sizes, file: str) -> Answers:
    """What people said in an XML file for images.

    sizes: width and height of every scene. file: its name in messages. A turned box becomes the upright box around it;
    tags are passed over. CVAT lists the pictures that nobody looked at, too, so an image without boxes says nothing
    for certain. Raises FrostlineError for what is no such file, and for shapes other than boxes.
    """
    try:
        root = ElementTree.fromstring(content)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise FrostlineError(f"{file} is no readable XML ({error}): export from CVAT again.") from error
    if root.tag != "annotations" or root.find("track") is not None:
        raise FrostlineError(f"{file} is not CVAT's XML for images: export as 'CVAT for images 1.1'.")
    reading = Reading(file, sizes)
    for picture in root.findall("image"):
        scene = reading.scene(picture.get("name"))
        where = reading.where(scene)
        reading.check_size((_whole(picture.get("width")), _whole(picture.get("height"))), scene)
        if strange := [shape.tag for shape in picture if shape.tag not in _NO_SHAPE]:
            raise FrostlineError(f"{where} has a <{strange[0]}>, and only boxes are read: draw a box in its place.")
        reading.add(scene, Answer(tuple(_box(shape, sizes[scene], where) for shape in picture.findall("box"))))
    return reading.answers(tells_empty=False)


def _whole(text: str | None) -> Any:
    return int(text) if text is not None and text.isdecimal() else text


def _box(shape: Element, size: tuple[int, int], where: str) -> Box:
    label = shape.get("label")
    if not label:
        raise FrostlineError(f"{where} has a box without a label: give it one.")
    try:
        x0, y0, x1, y1 = (number(float(shape.get(key, "absent"))) for key in _CORNERS)
        degrees = number(float(shape.get("rotation", "0")))
    except ValueError as error:
        raise FrostlineError(f"{where} has a box that cannot be read ({error}): export again.") from error
    if not degrees:
        return Box(label, (x0, y0, x1, y1))
    # CVAT turns a box about its centre.
    turn, width, height = math.radians(degrees), x1 - x0, y1 - y0
    x = (x0 + x1) / 2 - (width * math.cos(turn) - height * math.sin(turn)) / 2
    y = (y0 + y1) / 2 - (width * math.sin(turn) + height * math.cos(turn)) / 2
    return Box(label, upright(x, y, width, height, degrees, size), turned=True)
