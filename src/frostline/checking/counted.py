"""What became of all scenes, in one line of counts."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping

from frostline.scenes.dataset import Dataset
from frostline.scenes.faults import KINDS
from frostline.scenes.layout import FAULTS
from frostline.scenes.scene import SPLITS


def counted(dataset: Dataset) -> str:
    """How many scenes came into each split, how many did not, and why, and what was mended."""
    found = dataset.info["found"]
    sides = ", ".join(f"{dataset.info['counts'][split]['scenes']} {split}" for split in SPLITS)
    said = [f"{found['scenes']} scenes: {sides}"]
    done = {what: Counter(kind for kind, how in _faults(dataset) if how == what) for what in ("left out", "mended")}
    if gone := found["scenes"] - found["kept"]:
        why = ", ".join(f"{count} {reason}" for reason, count in found.get("gone", {}).items())
        kinds = _listed(done["left out"])
        said.append(f"{gone} left out{f': {why}' if why else ''}{f' ({kinds})' if kinds else ''}")
    if mended := done["mended"]:
        said.append(f"mended: {', '.join(_how(kind, count) for kind, count in sorted(mended.items()))}")
    return "; ".join(said)


def _how(kind: str, count: int) -> str:
    """How a kind of fault was mended. A dataset may be of a version that knew other kinds."""
    how = KINDS[kind].fixable if kind in KINDS else None
    return f"{count} {kind}" + (f" ({how})" if how else "")


def _listed(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))


def _faults(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """The kind of each fault of a scene, and what was done about it."""
    with (dataset.path / FAULTS).open(encoding="utf-8") as lines:
        for line in lines:
            fault = json.loads(line)
            yield fault["kind"], fault["done"]
