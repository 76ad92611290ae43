"""What is wrong with annotated pictures, as one page to look at."""

import base64
import math
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from jinja2 import Environment
from PIL import Image, ImageDraw

from frostline.checking.whole import Examined, Finding
from frostline.doctor.diagnosis import summary
from frostline.doctor.inventory import Inventory
from frostline.pictures.reading import UnreadablePictureError, read_rgb
from frostline.scenes.faults import KINDS

SHOWN = 24  # offenders of one kind that the page shows; all are in the JSON
THUMBNAIL = 180  # px, the longer side


def to_html(examined: Examined, name: str, there: Inventory | None = None) -> str:
    """One page that needs nothing else: what is there, then faults by kind, with thumbnails of the first of each."""
    found: dict[str, list[Finding]] = {}
    for finding in examined.findings:
        found.setdefault(finding.fault.kind, []).append(finding)
    kinds = []
    for kind, known in KINDS.items():
        if findings := found.get(kind):
            shown = [_shown(finding, examined.files) for finding in findings[:SHOWN]]
            kinds.append(
                {"name": kind, "known": known, "count": len(findings), "policy": findings[0].policy, "shown": shown}
            )
    # What stands in file names and annotations is a stranger's: it is escaped.
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        Path(__file__).with_name("page.html.j2").read_text(encoding="utf-8")
    )
    tables = [] if there is None else [there.rows, *(there.class_rows(kind) for kind in there.kinds)]
    notes = [] if there is None else there.notes
    return page.render(name=name, summary=summary(examined), kinds=kinds, tables=tables, notes=notes)


def _shown(finding: Finding, files: Mapping[str, str]) -> dict[str, Any]:
    fault = finding.fault
    line = "" if fault.line is None else f":{fault.line}"
    short = "/".join(Path(fault.file).parts[-2:])
    pictures = [_thumbnail(files.get(finding.scene), fault.box)]
    if finding.other is not None:
        pictures.append(_thumbnail(files.get(finding.other)))
    return {
        "file": f"{fault.file}{line}",
        "short": f"{short}{line}",
        "what": fault.what,
        "pictures": [picture for picture in pictures if picture],
    }


def _thumbnail(file: str | None, box: Sequence[float] | None = None) -> str | None:
    """A picture as a data URL, small, with a box drawn on it; None where there is none to see."""
    if file is None or not Path(file).is_file():
        return None
    try:
        image: Image.Image = read_rgb(Path(file))
    except (OSError, UnreadablePictureError):
        return None
    width, height = image.size
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    if box is not None:
        image = _with_box(image, [side * image.width / width for side in box])
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _with_box(image: Image.Image, box: Sequence[float]) -> Image.Image:
    """The picture with a box around it or on it; one that leaves it makes room at the sides, but no endless room."""
    width, height = image.size
    x0, x1 = sorted(min(max(side, -width), 2 * width) for side in (box[0], box[2]))
    y0, y1 = sorted(min(max(side, -height), 2 * height) for side in (box[1], box[3]))
    x1, y1 = max(x1, x0 + 4), max(y1, y0 + 4)  # one without area is to be seen, too
    left, top = max(0, math.ceil(-x0)), max(0, math.ceil(-y0))
    right, bottom = max(width, math.ceil(x1)), max(height, math.ceil(y1))
    canvas = Image.new("RGB", (left + right, top + bottom), "#8a949c")
    canvas.paste(image, (left, top))
    ImageDraw.Draw(canvas).rectangle((x0 + left, y0 + top, x1 + left - 1, y1 + top - 1), outline="#e0401b", width=2)
    return canvas
