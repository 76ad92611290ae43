"""What a panel's runs allow to say, in sentences a person can act on."""

import math
from collections.abc import Mapping, Sequence

from frostline.report.arms import Arm
from frostline.report.growth import Growing
from frostline.report.judged import Judged
from frostline.statistics.paired import Paired
from frostline.statistics.power import CAP, More, more_seeds, smallest_difference
from frostline.statistics.student import Interval
from frostline.words import decimal, listed, score

SHOWN = 3  # arms that a sentence names, of more
CHEAPER = 0.8  # of the candidate's seconds: below, an arm that is as good is worth a word


def answer(judged: Judged, rounds: str = "") -> str:
    """The verdict, and what to do: Markdown, one paragraph.

    rounds: the verdict where seeds were added in rounds. It pays for looking more than once, which `judged` does not.
    """
    verdict = [f"**By rounds of seeds**: {rounds}"] if rounds else _verdict(judged)
    return " ".join([*_warnings(judged), *verdict, *_asides(judged)])


def between(pairs: Paired) -> str:
    """A difference with its interval, such as `+0.021 [0.009, 0.033]`."""
    mean, interval = pairs.differences.mean, pairs.interval
    told = f"{mean:+.4f}" if math.isfinite(mean) else "—"
    return f"{told} {bounds(interval)}" if interval else told


def bounds(interval: Interval | None) -> str:
    return f"[{decimal(interval.low)}, {decimal(interval.high)}]" if interval else "—"


def more(wanted: More) -> str:
    """About how many more seeds; empty where nothing is known of it."""
    if wanted.median is None and wanted.low is None:
        return f"more than {CAP} more seeds would be needed"
    if wanted.median is None:
        return f"more than {CAP} more seeds would be needed ({wanted.low} at least)"
    low, high = (str(k) if k is not None else f"more than {CAP}" for k in (wanted.low, wanted.high))
    about = str(wanted.median)
    span = f" ({low} to {high})" if low != high else ""
    return f"about {about} more {'seed' if about == '1' else 'seeds'} would decide{span}"


def _warnings(judged: Judged) -> list[str]:
    """What must be said before anything is believed."""
    said = []
    if judged.missing:
        runs = "1 planned run is" if len(judged.missing) == 1 else f"{len(judged.missing)} planned runs are"
        said.append(f"**Provisional**: {runs} missing, so no champion is named.")
    if judged.growing:
        names = [f"`{name}` ({_needed(one)})" for name, one in judged.growing.items()]
        if len(names) > SHOWN:
            others = len(names) - SHOWN
            names = [*names[:SHOWN], f"{others} other arms" if others > 1 else "one other arm"]
        said.append(
            f"**Still getting better**: {listed(names)} had their best epoch last; in brackets, the epochs they would "
            "need by their curves. What follows holds for this budget, and not for longer ones."
        )
    return said


def _needed(growing: Growing) -> str:
    if growing.needed is None:
        return f"how many more than {growing.epochs}, they do not tell"
    return f"about {growing.needed} in place of {growing.epochs}"


def _verdict(judged: Judged) -> list[str]:
    primary, name = judged.panel.primary, judged.candidate
    if name is None:
        return ["**Nothing can be said**: no arm has a finite result in each of its runs."]
    figure = _figure(judged, name)
    own = f"`{name}` with {figure}"
    found = judged.champion
    if found is None:
        return [f"`{name}`: {primary} {figure}; there is no second arm to compare with."]
    lead = f"{judged.first} stands {own}"
    if judged.summaries[name].seen.n < 2:
        return [f"**Cannot tell**: {lead}, and with a single seed nothing is known of the spread between runs."]
    if found.champion:
        rivals = [other for other in found.pairs if other not in found.failed]
        nearest = nearest_of({other: found.pairs[other] for other in rivals})
        if judged.taken != name:
            near = listed([f"`{one}`" for one in found.equivalent])
            return [
                f"**Take `{judged.taken}`**: `{name}` is highest with {figure}, but {near} lie so near, within "
                f"{judged.margin:g}, that it does not matter, and `{judged.taken}` trains in the least time."
            ]
        whom = f"`{nearest}`" if len(rivals) == 1 else f"each of {len(rivals)} other arms, the nearest, `{nearest}`,"
        said = [f"**Take `{name}`**: {figure}, better than {whom} by {between(found.pairs[nearest])}."]
        said += _on_other_pictures(judged, nearest)
        return said + _cheaper(judged, list(found.equivalent))
    if all(other in found.failed for other in found.pairs):
        return [f"**Cannot tell**: {lead}, and no other arm has a finite result in each of its runs."]
    if judged.better:
        told = [f"`{one}` ({between(found.pairs[one])})" for one in judged.better]
        return [f"**Cannot tell**: {lead}, but better than it on the test split: {listed(told)}."]
    rivals = [other for other in found.unbeaten if found.pairs[other].verdict != "equivalent"]
    if judged.missing and not rivals:
        return [f"Of the runs that are there no other arm is shown to be better than {own}."]
    if not rivals:
        same = listed([f"`{one}`" for one in (name, *found.equivalent)])
        return [
            f"**Take `{judged.taken}`**: {same} are equivalent within {judged.margin:g}"
            + (f"; {lead}." if judged.busy else f", and it trains in the least time; {lead}.")
        ]
    return [f"**Cannot tell**: {lead}, but it is not shown to be better than {_rivals(judged, rivals)}."] + _next(
        judged, rivals
    )


def _on_other_pictures(judged: Judged, nearest: str) -> list[str]:
    """What the test pictures allow to say of others, where it is not the same."""
    assert judged.candidate
    if nearest not in judged.pictures or judged.candidate not in judged.pictures:
        return []
    over = judged.pictures[judged.candidate].minus(judged.pictures[nearest]).interval()
    if over is None or over.low > 0:
        return []
    return [f"That is of these test pictures: over others of their kind the lead lies in {bounds(over)}."]


def _next(judged: Judged, rivals: Sequence[str]) -> list[str]:
    """What helps where nothing is decided: the cheapest of those that may be best, and how many seeds would tell."""
    assert judged.candidate and judged.champion
    said = []
    if judged.busy:
        said.append("Which arm is cheapest is not told: the machine did other work while some of them were trained.")
    elif len(judged.as_good) > 1:
        cheapest = judged.as_good[0]
        seconds = judged.arms[cheapest].seconds
        said.append(f"Until then take `{cheapest}`, the cheapest that is not shown to be worse ({decimal(seconds)} s).")
    if rivals:
        nearest = nearest_of({other: judged.champion.pairs[other] for other in rivals})
        pair = judged.champion.pairs[nearest]
        if pair.differences.n > 1:
            said.append(
                f"Against `{nearest}` these seeds could show a difference from {decimal(smallest_difference(pair))} "
                f"on; {more(more_seeds(pair))}."
            )
    return said


def _asides(judged: Judged) -> list[str]:
    said = []
    if judged.champion and judged.champion.higher:
        higher = [f"`{name}` ({score(judged.summaries[name].seen.mean)})" for name in judged.champion.higher]
        said.append(f"Higher on the test split, though not chosen on the validation split: {listed(higher)}.")
    if failed := [f"`{name}`" for name, one in judged.summaries.items() if one.failed]:
        said.append(f"Not ranked, as a seed has no finite result: {listed(failed)}.")
    if judged.outlying:
        seeds = [f"`{name}` (seed {', '.join(_seeds(odd))})" for name, odd in judged.outlying.items()]
        said.append(f"Seeds unlike the others of their arm, which widens its interval: {listed(seeds)}.")
    if judged.champion:
        apart = {name: [*pair.only_b] for name, pair in judged.champion.pairs.items()}
        own = [one for pair in judged.champion.pairs.values() for one in pair.only_a]
        apart[judged.champion.candidate] = list(dict.fromkeys(own))
        if alone := {name: _seeds(ones) for name, ones in apart.items() if ones}:
            told = [f"`{name}` (seed {', '.join(seeds)})" for name, seeds in alone.items()]
            said.append(
                f"Runs without a partner of the same seed, data, budget and versions are left out: {listed(told)}."
            )
    return said


def _cheaper(judged: Judged, equivalent: Sequence[str]) -> list[str]:
    assert judged.candidate
    own = judged.arms[judged.candidate].seconds
    costs = {name: judged.arms[name].seconds / own for name in equivalent if own > 0}
    told = [f"`{name}` ({share:.0%} of its seconds)" for name, share in costs.items() if share < CHEAPER]
    if judged.busy:
        told = []
    return [f"As good within {judged.margin:g}, and cheaper to train: {listed(told)}."] if told else []


def _rivals(judged: Judged, rivals: Sequence[str]) -> str:
    assert judged.champion
    near = sorted(rivals, key=lambda other: _distance(judged.champion.pairs[other]))  # type: ignore[union-attr]
    told = [f"`{other}` ({between(judged.champion.pairs[other])})" for other in near[:SHOWN]]
    return listed(told) + (f" and {len(near) - SHOWN} more" if len(near) > SHOWN else "") if near else "any"


def nearest_of(pairs: Mapping[str, Paired]) -> str:
    """The arm that lies nearest below the candidate, or farthest above it."""
    return min(pairs, key=lambda name: _distance(pairs[name]))


def _distance(pair: Paired) -> float:
    return pair.differences.mean if math.isfinite(pair.differences.mean) else math.inf


def _figure(judged: Judged, name: str) -> str:
    """An arm's figure, its interval over seeds, and the test pictures that this is of."""
    arm, summary = judged.arms[name], judged.summaries[name]
    interval = f" {bounds(summary.interval)}" if summary.interval else ""
    seeds = f"{summary.seen.n} seed{'s' * (summary.seen.n != 1)}"
    tested = _tested(arm)
    return f"{score(summary.seen.mean)}{interval} ({seeds}{f', {tested} test pictures' if tested else ''})"


def _tested(arm: Arm) -> int:
    return arm.runs[0].result.scenes.get("test", 0)


def _seeds(identities: Sequence[object]) -> list[str]:
    return [str(one[0]) if isinstance(one, tuple) else str(one) for one in identities]
