"""A race: seeds go to the arms that can still win, until the champion is clear, the rest are as good, or seeds end.

Looks are planned beforehand and each costs part of the error, so that a race that is watched errs no more often than
one that is not. At a look the leading arm is held against every other that still competes; one that it beats leaves.
The champion is the last one there. As all others must be beaten (intersection-union, as in `champion`), the tests need
no correction for their number: of two arms tied at the top each beats the other in about 0.024 of studies at most.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from frostline.errors import FrostlineError
from frostline.statistics.blocks import Bools, Floats, Ints, led
from frostline.statistics.spending import levels

LOOKS = (3, 4, 5, 6, 8, 10)
# A side, over all looks; a little under 0.025, as Welch's test is a little bold at few seeds of very unlike spreads.
ERROR = 0.024
End = Literal["champion", "equivalent", "more seeds", "cannot tell"]


@dataclass(frozen=True)
class Race:
    """Where it stands.

    end: `more seeds` where the next look needs runs that are not there yet, `cannot tell` where all looks are spent.
    champion: by name, or None. leader: of the highest mean among those that compete, None before the first look.
    competing: arms that nobody has beaten, in the order given. equivalent: those of them within the margin of the
    leader, where all are. beaten: arm -> the number of seeds at which it left. failed: arms with a run whose value is
    not finite; they win nothing. look: how many seeds the last look was at, 0 for none. seeds: how many each competing
    arm needs for the next look, 0 where there is none. missing: arm -> the identities it lacks for that.
    """

    end: End
    champion: str | None
    leader: str | None
    competing: tuple[str, ...]
    equivalent: tuple[str, ...]
    beaten: dict[str, int]
    failed: tuple[str, ...]
    look: int
    seeds: int
    missing: dict[str, tuple[Hashable, ...]]


@dataclass(frozen=True, eq=False)
class Standing:
    """The same of many studies at once, by number: (studies,) or (studies, arms).

    left: the number of seeds at which an arm was beaten or had failed, 0 while it competes. look: that of the last
    look. leader, champion: -1 where there is none.
    """

    leader: Ints
    champion: Ints
    competing: Bools
    left: Ints
    equivalent: Bools
    look: Ints


def race(
    arms: Mapping[str, Mapping[Hashable, float]],
    identities: Sequence[Hashable],
    looks: Sequence[int] = LOOKS,
    margin: float | None = None,
) -> Race:
    """Decide by the values so far; the same values always give the same answer, whenever and however often asked.

    arms: name -> identity -> value, NaN for a run that failed. identities: in the order in which they are run, as many
    as the last look. looks: how many seeds each competing arm has at each look. margin: within which arms are as good.
    Values beyond what a look asks for are not looked at. Raises FrostlineError for fewer than two arms, and for looks
    that do not rise from 2 or more.
    """
    _check(arms, identities, looks)
    names = list(arms)
    values = np.full((1, len(names), looks[-1]), np.nan)
    for row, name in enumerate(names):
        for column, identity in enumerate(identities[: looks[-1]]):
            if identity in arms[name]:
                value = arms[name][identity]
                values[0, row, column] = value if math.isfinite(value) else -np.inf
    found = run(values, looks, margin)
    failed = [bool(np.isneginf(row).any()) for row in values[0]]
    # A run may have failed beyond the last look; its arm is out all the same.
    competing = [n for n, name in enumerate(names) if found.competing[0, n] and not failed[n]]
    return _told(found, names, failed, competing, arms, identities, looks)


def run(values: Floats, looks: Sequence[int] = LOOKS, margin: float | None = None) -> Standing:
    """Many studies at once: (studies, arms, seeds); NaN has not been run, -infinity has failed."""
    studies, arms, _ = values.shape
    beat = levels(tuple(looks), ERROR)
    same = levels(tuple(looks), 2 * ERROR)
    left = np.zeros((studies, arms), np.int64)
    look = np.zeros(studies, np.int64)
    leader, champion = np.full(studies, -1), np.full(studies, -1)
    equivalent = np.zeros((studies, arms), bool)
    going = np.arange(studies)  # those whose race has not ended, and whose runs are there
    for k, seeds in enumerate(looks):
        seen = values[going, :, :seeds]
        out = (left[going] == 0) & np.isneginf(seen).any(2)
        left[going] = np.where(out, seeds, left[going])
        competing = left[going] == 0
        ready = ~(competing & np.isnan(seen).any(2)).any(1) & (competing.sum(1) > 1)
        going, seen, competing = going[ready], seen[ready], competing[ready]
        if not len(going):
            break
        run_to = np.where(competing, seeds, left[going])[:, :, None]
        against = led(seen, np.isfinite(seen) & (np.arange(seeds) < run_to), competing)
        rivals = competing.copy()
        rivals[np.arange(len(going)), against.leader] = False
        beaten = rivals & (against.above() < beat[k])
        left[going] = np.where(beaten, seeds, left[going])
        look[going], leader[going] = seeds, against.leader
        rivals &= ~beaten
        won = ~rivals.any(1)
        champion[going[won]] = against.leader[won]
        if margin is not None:
            # Ahead by less than the margin; the leader is ahead in any case, but by chance, so both sides are tested.
            near = rivals & (np.maximum(against.below(margin), against.above(-margin)) < same[k])
            alike = rivals.any(1) & (near == rivals).all(1)
            equivalent[going[alike]] = near[alike]
            won |= alike
        going = going[~won]
    return Standing(leader, champion, left == 0, left, equivalent, look)


def _told(
    found: Standing,
    names: list[str],
    failed: list[bool],
    competing: list[int],
    arms: Mapping[str, Mapping[Hashable, float]],
    identities: Sequence[Hashable],
    looks: Sequence[int],
) -> Race:
    look, first = int(found.look[0]), int(found.leader[0])
    first = -1 if first >= 0 and first not in competing else first
    champion = names[first] if first >= 0 and found.champion[0] == first else None
    equivalent = tuple(names[n] for n in competing if found.equivalent[0, n])
    end: End = "champion" if champion else "equivalent" if equivalent else "more seeds"
    seeds = next((seeds for seeds in looks if seeds > look), 0)
    if end == "more seeds" and (not seeds or len(competing) < 2):
        end = "cannot tell"
    seeds = seeds if end == "more seeds" else 0
    needed = {names[n]: tuple(i for i in identities[:seeds] if i not in arms[names[n]]) for n in competing}
    return Race(
        end=end,
        champion=champion,
        leader=names[first] if first >= 0 else None,
        competing=tuple(names[n] for n in competing),
        equivalent=equivalent,
        beaten={name: int(found.left[0, n]) for n, name in enumerate(names) if found.left[0, n] and not failed[n]},
        failed=tuple(name for name, lost in zip(names, failed, strict=True) if lost),
        look=look,
        seeds=seeds,
        missing={name: lacking for name, lacking in needed.items() if lacking},
    )


def _check(arms: Mapping[str, object], identities: Sequence[Hashable], looks: Sequence[int]) -> None:
    if len(arms) < 2:
        raise FrostlineError(f"A race has two arms or more, and this one has {len(arms)}.")
    if not looks or looks[0] < 2 or any(later <= earlier for earlier, later in pairwise(looks)):
        raise FrostlineError(f"Looks are at {list(looks)} seeds; they rise, and the first is at 2 or more.")
    if len(set(identities)) < looks[-1]:
        raise FrostlineError(
            f"{len(set(identities))} seeds are planned, and the last look is at {looks[-1]}: plan more."
        )
