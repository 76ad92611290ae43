"""What is wrong with annotated pictures, before anything is prepared: as a table, or as JSON."""

import json
from collections import Counter
from collections.abc import Mapping

from rich.markup import escape
from rich.table import Table
from tqdm import tqdm

from frostline.checking.journal import Journal
from frostline.checking.scene import check
from frostline.checking.white import FULL, White
from frostline.checking.whole import Examined, Finding, examine
from frostline.doctor.inventory import Inventory
from frostline.parallel import in_threads
from frostline.pictures.reading import MAX_PIXELS
from frostline.scenes.faults import KINDS
from frostline.scenes.splits import Split
from frostline.sources.base import Source


def diagnose(
    source: Source,
    split: Split,
    policy: Mapping[str, str],
    name: str,
    max_pixels: int | None = None,
    white: White = FULL,
    duplicates: str = "split",
) -> Examined:
    """Check every scene as `prepare` would, and write nothing that stays.

    policy: of each kind of fault (`faults.policies`). duplicates: as `examine` takes it.
    """
    most = MAX_PIXELS if max_pixels is None else max_pixels
    records = in_threads(lambda scene: check(scene, source.classes, most, white).record, source.scenes())
    journal = Journal.aside()
    for record in tqdm(records, desc=f"doctor {name}", unit=" pictures", disable=None):
        journal.add(record)
    return examine(journal, source.classes, split, policy, source.derived, duplicates)


def table(examined: Examined, name: str) -> Table:
    """One row a kind of fault that was found: how often, what `prepare` would do, and where first."""
    found = Counter(finding.fault.kind for finding in examined.findings)
    firsts: dict[str, Finding] = {}
    for finding in examined.findings:
        firsts.setdefault(finding.fault.kind, finding)
    rows = Table(title=escape(f"{name}: {summary(examined)}"))
    for heading in ("fault", "count", "prepare", "what it is", "the first one"):
        rows.add_column(heading, no_wrap=heading == "fault", overflow="fold")
    for kind in KINDS:
        if found[kind]:
            first = firsts[kind]
            # What stands in brackets in a stranger's file name is no markup.
            rows.add_row(kind, str(found[kind]), first.policy, KINDS[kind].means, escape(str(first.fault)))
    return rows


def to_json(examined: Examined, name: str, there: Inventory | None = None) -> str:
    """What is there, and everything that was found: counts by kind, and each fault with its file and line."""
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
    told = {"name": name, "scenes": examined.scenes} | ({} if there is None else {"inventory": there.as_json()})
    told |= {"counts": dict(sorted(counts.items())), "findings": findings}
    return json.dumps(told, indent=1, ensure_ascii=False)


def summary(examined: Examined) -> str:
    """One sentence: how many scenes, how many findings."""
    scenes = f"{examined.scenes} scene{'' if examined.scenes == 1 else 's'}"
    count = len(examined.findings)
    failing = sum(finding.policy == "fail" for finding in examined.findings)
    if not count:
        return f"{scenes}, nothing is wrong"
    if count == 1:
        return f"{scenes}, 1 finding, which would {'' if failing else 'not '}stop prepare"
    return f"{scenes}, {count} findings, {failing or 'none'} of which would stop prepare"
