"""Whether one arm is better than every other."""

import math
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass

from frostline.errors import FrostlineError
from frostline.statistics.paired import Paired, paired
from frostline.statistics.student import mean_of


@dataclass(frozen=True)
class Champion:
    """The candidate against each other arm.

    champion: the candidate where it is better than each other arm whose runs all ended with a value; else None.
    unbeaten: arms that it isn't shown to be better than. equivalent: those within the margin of it (such an arm may be
    beaten as well: the difference is certain, and too small to matter). higher: those of a higher mean than it has.
    failed: arms with a run whose value is not finite; they win nothing and hold nobody up. missing: planned runs that
    are not there, by arm; where there is one, nobody is champion. pairs: candidate minus arm.
    """

    candidate: str
    champion: str | None
    unbeaten: tuple[str, ...]
    equivalent: tuple[str, ...]
    higher: tuple[str, ...]
    failed: tuple[str, ...]
    missing: dict[str, tuple[Hashable, ...]]
    pairs: dict[str, Paired]


def champion(
    candidate: str,
    arms: Mapping[str, Mapping[Hashable, float]],
    planned: Mapping[str, Collection[Hashable]],
    margin: float | None = None,
) -> Champion:
    """Test whether the candidate beats each other arm in its own paired t test, 0.025 a side, without correction.

    That all must pass is an intersection-union test, whose level is that of one of them (Berger 1982): with two arms
    tied at the top each is declared falsely in 0.025 at most. The candidate is given, as it is to be chosen on other
    data than these (the validation split); chosen on these, the level holds all the same, but its mean is flattered.

    arms: name -> identity -> value, NaN for a run that failed. planned: name -> identities that there should be.
    Raises FrostlineError where the candidate is none of the arms.
    """
    if candidate not in arms:
        raise FrostlineError(f"{candidate!r} is none of the arms; there are {', '.join(arms)}.")
    missing = {
        name: lacking
        for name, identities in planned.items()
        if (lacking := tuple(identity for identity in identities if identity not in arms.get(name, {})))
    }
    failed = tuple(name for name, values in arms.items() if not all(map(math.isfinite, values.values())))
    pairs = {name: paired(arms[candidate], values, margin) for name, values in arms.items() if name != candidate}
    rivals = [name for name in pairs if name not in failed]
    unbeaten = tuple(name for name in rivals if not pairs[name].beats)
    wins = bool(rivals) and not unbeaten and not missing and candidate not in failed
    own = _mean(arms[candidate])
    return Champion(
        candidate=candidate,
        champion=candidate if wins else None,
        unbeaten=unbeaten,
        equivalent=tuple(name for name in rivals if pairs[name].equivalent),
        higher=tuple(name for name in rivals if _mean(arms[name]) > own),
        failed=failed,
        missing=missing,
        pairs=pairs,
    )


def _mean(values: Mapping[Hashable, float]) -> float:
    return mean_of([*values.values()]).mean
