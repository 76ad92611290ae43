"""What a study expected of a panel, held against what came out."""

from frostline.report.judged import Judged
from frostline.studies.stated import Expected
from frostline.words import decimal, listed


def outcome(expected: Expected | None, judged: Judged) -> str:
    """In a sentence, empty where nothing was stated that can be held against it."""
    first = judged.candidate
    if expected is None or first is None or not (expected.best or expected.range):
        return ""
    said = []
    if expected.best:
        told = listed([f"{axis}={value}" for axis, value in expected.best.items()])
        facets = judged.arms[first].facets
        hit = all(facets.get(axis) == value for axis, value in expected.best.items())
        sure = not judged.raced and judged.champion is not None and judged.champion.champion is not None
        if hit:
            said.append(f"{told} was expected best, and is" if sure else f"{told} was expected best, and stands first")
        elif sure:
            said.append(f"{told} was expected best; it is `{first}`")
        else:
            said.append(f"{told} was expected best; first stands `{first}`, which decides nothing yet")
    if expected.range:
        low, high = expected.range
        mean = judged.summaries[first].seen.mean
        where = "within" if low <= mean <= high else "below" if mean < low else "above"
        said.append(f"{decimal(mean)} lies {where} the expected {low:g} to {high:g}")
    return f"Against the expectation: {'; '.join(said)}."
