"""What is wrong with annotated pictures, before anything is prepared: a table, JSON, or a page to look at."""

import base64
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw
from tqdm import tqdm

from frostline.checking.scene import check
from frostline.checking.whole import Examined, Finding, Record, examine
from frostline.parallel import in_threads
from frostline.pictures.reading import MAX_PIXELS, UnreadablePictureError, read_rgb
from frostline.scenes.faults import KINDS
from frostline.scenes.scene import Scene, Source
from frostline.scenes.splits import Split

if TYPE_CHECKING:
    from rich.table import Table

SHOWN = 24  # offenders of one kind that the page shows; all are in the JSON
THUMBNAIL = 180  # px, the longer side


def diagnose(
    source: Source,
    split: Split,
    policy: Mapping[str, str],
    name: str,
    max_pixels: int = MAX_PIXELS,
    workers: int | None = None,
) -> Examined:
    """Check every scene as `prepare` would, and write nothing. policy: of each kind of fault (`checks.policies`)."""

    def work(scene: Scene) -> Record:
        return Record.of(check(scene, source.classes, max_pixels), fingerprint="")

    scenes = tqdm(in_threads(work, source.scenes(), workers), desc=f"doctor {name}", unit=" pictures", disable=None)
    return examine(scenes, source.classes, split, policy, getattr(source, "derived", ()))


def table(examined: Examined, name: str) -> "Table":
    """One row a kind of fault that was found: how often, what `prepare` would do, and where first."""
    from rich.markup import escape
    from rich.table import Table

    found = Counter(finding.fault.kind for finding in examined.findings)
    rows = Table(title=escape(f"{name}: {summary(examined)}"))
    for heading in ("fault", "count", "prepare", "what it is", "the first one"):
        rows.add_column(heading, no_wrap=heading == "fault", overflow="fold")
    for kind in KINDS:
        if found[kind]:
            first = next(finding for finding in examined.findings if finding.fault.kind == kind)
            # What stands in brackets in a stranger's file name is no markup.
            rows.add_row(kind, str(found[kind]), first.policy, KINDS[kind].means, escape(str(first.fault)))
    return rows


def to_json(examined: Examined, name: str) -> str:
    """Everything that was found: counts by kind, and each fault with its file and line."""
    findings = [
        {
            "kind": finding.fault.kind,
            "scene": finding.scene or None,
            "file": str(finding.fault.file),
            "line": finding.fault.line,
            "what": finding.fault.what,
            "box": finding.fault.box,
            "other": finding.other,
            "policy": finding.policy,
        }
        for finding in examined.findings
    ]
    counts = Counter(finding.fault.kind for finding in examined.findings)
    return json.dumps(
        {"name": name, "scenes": examined.scenes, "counts": dict(sorted(counts.items())), "findings": findings},
        indent=1,
        ensure_ascii=False,
    )


def to_html(examined: Examined, name: str) -> str:
    """One page that needs nothing else: the faults by kind, each with thumbnails of the pictures that it is about."""
    from jinja2 import Environment

    kinds = []
    for kind, known in KINDS.items():
        findings = [finding for finding in examined.findings if finding.fault.kind == kind]
        if findings:
            shown = [_shown(finding, examined.files) for finding in findings[:SHOWN]]
            kinds.append(
                {"name": kind, "known": known, "count": len(findings), "policy": findings[0].policy, "shown": shown}
            )
    # What stands in file names and annotations is a stranger's: it is escaped.
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        Path(__file__).with_name("doctor.html.j2").read_text(encoding="utf-8")
    )
    return page.render(name=name, summary=summary(examined), kinds=kinds)


def summary(examined: Examined) -> str:
    """One sentence: how many scenes, how many findings."""
    if not examined.findings:
        return f"{examined.scenes} scenes, nothing is wrong"
    failing = sum(finding.policy == "fail" for finding in examined.findings)
    return (
        f"{examined.scenes} scenes, {len(examined.findings)} findings, {failing or 'none'} of which would stop prepare"
    )


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
