"""Numbers and names as people read them: one rounding of each kind, in tables, pictures and messages alike."""

import math


def short(text: str, most: int) -> str:
    """At most so many letters, with both ends, as names are often told apart by one of them."""
    return text if len(text) <= most else f"{text[: most // 2]}…{text[-(most - most // 2 - 1) :]}"


def quantity(value: float, digits: int = 3) -> str:
    """A large number, rounded: 3377000 is 3.38 M, 950 is 950."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size * (1 - 0.5 * 10**-digits):  # from where it rounds up to it
            return f"{value / size:.{digits}g}{unit}"
    return f"{value:.0f}"


def decimal(value: float) -> str:
    """A measured number: four decimals below 10, four digits from there on."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else str(value)
    if value != 0 and abs(value) < 0.001:
        return f"{value:.1e}"
    if abs(value) < 10:
        return f"{value:.4f}"
    return f"{value:#.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def duration(seconds: float) -> str:
    """As people say it: 27 s, 12 min, 2.1 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def score(value: float) -> str:
    """As `decimal`, of a metric: a dash for -1, by which metrics of COCO say that there was nothing to be found."""
    return "—" if value == -1 else decimal(value)


def one_line(text: str) -> str:
    """Without line breaks and doubled spaces."""
    return " ".join(text.split())


def reason_of(error: BaseException) -> str:
    """What another's code failed by, in one line that is never empty."""
    return one_line(str(error))[:300] or type(error).__name__


def cell(text: str) -> str:
    """A text as it stands in a table of Markdown."""
    return one_line(text).replace("|", "\\|")


def listed(items: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return "".join(items) if len(items) < 2 else f"{', '.join(items[:-1])} and {items[-1]}"
