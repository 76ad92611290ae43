"""Seeds beyond the grid, for the arms that still compete: as study.yaml has them, and written there."""

import io
import re
from collections.abc import Collection, Mapping, Sequence
from itertools import count, islice, pairwise
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from frostline.errors import FrostlineError
from frostline.files import write_whole
from frostline.statistics.race import LOOKS
from frostline.studies.vary import check_fold
from frostline.words import listed

UNITS = {"h": 3600.0, "min": 60.0, "s": 1.0}
NOTE = (
    "\nWritten by `frostline study seeds`. looks: at how many seeds the arms that compete are looked at,\n"
    "planned before the first, as who looks more often finds more false champions. seeds_for: seeds beyond the grid's."
)


def seconds_of(value: Any, what: str) -> float:
    """A time such as `2h`, `45min`, `90s` or `1h30min`, in seconds. what: it, as the message names it.

    Raises FrostlineError for anything else.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)(h|min|s)", str(value).replace(" ", ""))
    if not parts or "".join(map("".join, parts)) != str(value).replace(" ", ""):
        raise FrostlineError(f"{what} is {value!r}; it is a time such as 2h, 45min or 1h30min.")
    if not (seconds := sum(float(number) * UNITS[unit] for number, unit in parts)):
        raise FrostlineError(f"{what} is {value!r}, in which nothing can be trained: give more.")
    return seconds


def read_looks(value: Any, place: str) -> tuple[int, ...]:
    """The key `looks` of study.yaml. Raises FrostlineError where these are no numbers of seeds that rise."""
    if value is None:
        return ()
    if not isinstance(value, list) or not value or not all(map(_is_whole, value)) or value[0] < 2:
        raise FrostlineError(
            f"{place}: 'looks' is {value!r}; it is numbers of seeds, 2 or more each, such as [3, 5, 8]."
        )
    if any(later <= earlier for earlier, later in pairwise(value)):
        raise FrostlineError(f"{place}: 'looks' is {value!r}; each has more seeds than the one before.")
    return tuple(value)


def read_seeds(
    value: Any, arms: Collection[str], seeds: Collection[Any], folds: int | None, place: str
) -> dict[str, list[int]]:
    """The key `seeds_for` of study.yaml: arm -> seeds. arms, seeds: those of the grid.

    Raises FrostlineError where it names an arm that there isn't, or seeds that are none or there already.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise FrostlineError(f"{place}: 'seeds_for' is {value!r}; it is arm: seeds, such as {min(arms)}: [2, 3].")
    if value and not all(map(_is_whole, seeds or [None])):
        raise FrostlineError(
            f"{place}: 'seeds_for' needs whole numbers as seeds: give the grid an axis seed: [0, 1, 2]."
        )
    for arm, more in value.items():
        if arm not in arms:
            raise FrostlineError(f"{place}: 'seeds_for' names '{arm}', and the grid has {listed(sorted(arms))}.")
        if not isinstance(more, list) or not more or not all(map(_is_whole, more)):
            raise FrostlineError(f"{place}: 'seeds_for' has {more!r} for {arm}; it is whole numbers, such as [2, 3].")
        check_fold(more, folds, place)
        if twice := [seed for n, seed in enumerate(more) if seed in seeds or seed in more[:n]]:
            raise FrostlineError(f"{place}: {arm} has seed {twice[0]} already; take it out of 'seeds_for'.")
    return {str(arm): list(more) for arm, more in value.items()}


def plan_looks(seeds: Sequence[Any], folds: int | None) -> tuple[int, ...]:
    """At how many seeds the arms that compete are to be looked at, where none has been planned so far.

    seeds: those of the grid; the first look is at no fewer.
    """
    most = folds or LOOKS[-1]
    later = [look for look in LOOKS if len(seeds) < look < most]
    return tuple(sorted({*later, *([len(seeds)] if len(seeds) >= LOOKS[0] else []), max(most, len(seeds))}))


def in_order(seeds: Sequence[int], number: int) -> list[int]:
    """The first seeds of an arm, so many of them: those of the grid, then the whole numbers that it does not have."""
    more = (seed for seed in count() if seed not in seeds)
    return [*seeds, *islice(more, max(0, number - len(seeds)))][:number]


def write_seeds(path: Path, looks: Sequence[int], seeds_for: Mapping[str, Sequence[int]]) -> None:
    """Write both keys into study.yaml, where all else stays as it is, comments too."""
    yaml = YAML()  # of the same version as it is read by: 1.2
    yaml.preserve_quotes, yaml.width = True, 1 << 20
    yaml.indent(mapping=2, sequence=4, offset=2)
    content: CommentedMap = yaml.load(path.read_text(encoding="utf-8"))
    fresh = "looks" not in content and "seeds_for" not in content
    content["looks"] = _flow(looks)
    if seeds_for:
        content["seeds_for"] = CommentedMap({arm: _flow(seeds) for arm, seeds in seeds_for.items()})
    if fresh:
        content.yaml_set_comment_before_after_key("looks", before=NOTE)
    written = io.StringIO()
    yaml.dump(content, written)
    write_whole(path, written.getvalue())


def _flow(values: Sequence[int]) -> CommentedSeq:
    """A list in one line."""
    found = CommentedSeq(values)
    found.fa.set_flow_style()
    return found


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
