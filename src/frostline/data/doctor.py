"""What is wrong with annotated pictures, before anything is prepared: a table, JSON, or a page to look at."""

import base64
import json
from collections import Counter
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from tqdm import tqdm

from frostline.data.checks import check
from frostline.data.examine import Examined, Finding, Record, examine
from frostline.data.faults import KINDS
from frostline.data.parallel import in_threads
from frostline.data.pictures import MAX_PIXELS, UnreadablePictureError, read_rgb
from frostline.data.scenes import Scene, Source
from frostline.data.splits import Split

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
    return examine(scenes, source.classes, split, policy)


def table(examined: Examined, name: str) -> "Table":
    """One row a kind of fault that was found: how often, what `prepare` would do, and where first."""
    from rich.table import Table

    found = Counter(finding.fault.kind for finding in examined.findings)
    rows = Table("fault", "count", "prepare", "what it is", "the first one", title=f"{name}: {_summary(examined)}")
    for kind in KINDS:
        if found[kind]:
            first = next(finding for finding in examined.findings if finding.fault.kind == kind)
            rows.add_row(kind, str(found[kind]), first.policy, KINDS[kind].means, str(first.fault))
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
    """One page that needs nothing else: the faults by kind, each with a thumbnail of its picture."""
    from jinja2 import Environment

    kinds = []
    for kind, known in KINDS.items():
        findings = [finding for finding in examined.findings if finding.fault.kind == kind]
        if findings:
            shown = [_shown(finding, examined.files.get(finding.scene)) for finding in findings[:SHOWN]]
            kinds.append(
                {"name": kind, "known": known, "count": len(findings), "policy": findings[0].policy, "shown": shown}
            )
    # What stands in file names and annotations is a stranger's: it is escaped.
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        Path(__file__).with_name("doctor.html.j2").read_text(encoding="utf-8")
    )
    return page.render(name=name, summary=_summary(examined), kinds=kinds)


def _summary(examined: Examined) -> str:
    if not examined.findings:
        return f"{examined.scenes} scenes, nothing is wrong"
    failing = sum(finding.policy == "fail" for finding in examined.findings)
    return f"{examined.scenes} scenes, {len(examined.findings)} findings, {failing} of which stop `prepare`"


def _shown(finding: Finding, picture: str | None) -> dict[str, Any]:
    fault = finding.fault
    place = str(fault.file) if fault.line is None else f"{fault.file}:{fault.line}"
    return {"place": place, "what": fault.what, "picture": _thumbnail(picture)}


def _thumbnail(file: str | None) -> str | None:
    """A picture as a data URL, small; None where there is none to see."""
    if file is None or not Path(file).is_file():
        return None
    try:
        image: Image.Image = read_rgb(Path(file))
    except (OSError, UnreadablePictureError):
        return None
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
