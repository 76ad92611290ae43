"""The lecture as one page, README.md, and its claims as claims.json for who counts them."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from frostline.files import write_whole
from frostline.lecture import order
from frostline.lecture.cells import title_of
from frostline.lecture.errors import Lacking
from frostline.lecture.material import Material
from frostline.lecture.page import Told, plain
from frostline.runs import provenance

README, PICTURES, CLAIMS = "README.md", "pictures", "claims.json"
HEAD = """\
# Convolutional networks, to be run

What a convolutional network is, from the field that a neuron sees to a class for every pixel, {parts}. One
command, `frostline lecture`, makes every figure, fills in every number and checks every claim: most are measured by
that run; some are read from studies that are committed beside it, and say so; those of papers stand beside their paper.
The pictures are {pictures}.

With `dataset.root=path/to/pictures` behind it, the same story is told with yours: a folder for each class is enough for
most parts. Each part is a small file of Python in `src/frostline/lecture/parts/`, which Jupyter (with jupytext), VS
Code and others open as a notebook."""
MEADOW = "of the *meadow*: flowers of five kinds, in any colour, which Frostline draws by program"
END = """\
## What now

Which pretrained architecture, how deep frozen, for how long? For your own pictures and task that is a study: runs that
differ in one thing at a time, on the same pictures, with an answer that says how sure it is. `frostline study new NAME`
begins one, and `frostline --help` shows the rest."""


def write(folder: Path, found: Sequence[Told], material: Material, command: str, seconds: float) -> None:
    """found: the parts, as they went. command: that makes them again. seconds: that all took together."""
    origin = _origin(material, command)
    claims = [_as_json(told) for told in found]
    told = {**origin, "seconds": round(seconds, 1), "parts": claims}
    content = json.dumps(told, indent=1, ensure_ascii=False, default=str)
    write_whole(folder / CLAIMS, content + "\n")
    write_whole(folder / README, readme(found, material, origin, seconds))


def readme(found: Sequence[Told], material: Material, origin: dict[str, str], seconds: float) -> str:
    all_of_them = len(found) == len(order.ORDER)
    parts = "in nine short parts" if all_of_them else f"here {len(found)} of {len(order.ORDER)} parts"
    claims = sum(len(told.page.claims) for told in found if told.state == "done")
    table = ["| part | claims | seconds |", "| --- | ---: | ---: |", *map(_row, found)]
    table.append(f"| to prepare the pictures | | {seconds - sum(told.seconds for told in found):.1f} |")
    table.append(f"| together | {claims} | {seconds:.1f} |")
    failed = sum(told.state == "not so" for told in found)
    sources = {
        **origin,
        "claims": f"{claims}, of which each was checked" + (f"; {failed} more do not hold" if failed else ""),
    }
    end = ["## Where the numbers come from", "\n".join(["| | |", "| --- | --- |", *_rows(sources)])]
    head = HEAD.format(parts=parts, pictures=f"those of {material.ending.strip()}" if material.ending else MEADOW)
    blocks = [head, "\n".join(table), *map(_part, found), END, *end]
    return "\n\n".join(blocks) + "\n"


def anchor(title: str) -> str:
    """By which GitHub links to a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _origin(material: Material, command: str) -> dict[str, str]:
    commit, changed = provenance.commit()
    try:
        data = f"{material.dataset.name} `{material.dataset.data_hash}`"
    except Lacking:
        data = "of these pictures no dataset could be made"
    versions = ", ".join(f"{name} {version}" for name, version in provenance.versions().items())
    return {
        "run it again": f"`{command}`",
        "commit": f"`{commit}`" + (" with uncommitted changes" if changed else ""),
        "data": data,
        "machine": provenance.machine(),
        "versions": versions,
    }


def _row(told: Told) -> str:
    title = title_of(_file(told))
    claims = {"done": str(len(told.page.claims)), "lacking": "left out"}.get(told.state, "**not so**")
    return f"| [{title}](#{anchor(title)}) | {claims} | {told.seconds:.1f} |"


def _rows(facts: dict[str, str]) -> list[str]:
    return [f"| {name} | {fact} |" for name, fact in facts.items()]


def _part(told: Told) -> str:
    page = told.page
    if told.state != "done":
        why = f"**A claim does not hold.** {told.why}" if told.state == "not so" else f"Left out: {told.why}"
        return f"## {title_of(_file(told))}\n\n{why}"
    alone = f"This part alone, in {told.seconds:.1f} s: `frostline lecture {page.name}{page.material.ending}`"
    text = "\n\n".join([*page.lines, alone, page.checked()])
    return re.sub(r"(?<=\d)%(?!\w)", "\u00a0%", text)  # as Python writes no space there; one that does not break


def _file(told: Told) -> Path:
    return order.PARTS / f"{told.page.name}.py"


def _as_json(told: Told) -> dict[str, Any]:
    claims = [
        {"claim": one.text, "said": plain(one.said), "found": one.found, "within": one.within}
        for one in told.page.claims
    ]
    return {
        "name": told.page.name,
        "state": told.state,
        "why": told.why,
        "seconds": round(told.seconds, 1),
        "claims": claims,
    }
