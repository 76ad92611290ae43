"""CVAT: its XML for images, version 1.1, out and back in.

The format is that of https://docs.cvat.ai/docs/manual/advanced/xml_format.
"""

from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from frostline.annotate.boxes import Answer, Answers, Proposal, Reading, Sizes
from frostline.sources.cvat import read_cvat

_CORNERS = ("xtl", "ytl", "xbr", "ybr")


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
    reading = Reading(file, sizes)
    for page in read_cvat(content, Path(file)):
        scene = reading.scene(page.name or None)
        reading.check_size(page.size or (None, None), scene)
        reading.add(scene, Answer(reading.boxes(page, scene)))
    return reading.answers(tells_empty=False)
