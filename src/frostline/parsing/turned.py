"""Which size of a picture that EXIF turns by a quarter its annotations belong to: as it is shown, or as it is stored.

Both are in use, and the size that a file states usually tells. Label Studio's converter gives what was drawn on the
shown picture beside the stored size, so that the size says one thing and boxes beyond it another.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from frostline.errors import check_choice
from frostline.pictures.reading import quarter_turn

RULES = ("auto", "shown", "stored")
_SLACK = 1.0  # pixels beyond an edge that rounding may cause
_MOST_READ = 500  # pictures whose headers are read to weigh the evidence

Size = tuple[int, int]
Annotated = tuple[Path | None, Size | None, np.ndarray | None]  # a picture, the size stated, boxes (n, 4) in pixels


class Turned:
    """Which size annotations belong to, by a rule of RULES.

    auto: to the size that is stated, unless more pictures have boxes that leave it and lie within the size turned than
    the other way round; then to the other, throughout. annotated: all pictures, or those looked at. shown_by: the tool
    that is known to give what was drawn on the shown picture, whatever size it states.
    Raises FrostlineError for another rule.
    """

    def __init__(self, rule: str, annotated: Iterable[Annotated], shown_by: str | None = None) -> None:
        check_choice("dataset.source.turned", rule, RULES)
        self._why: str | None = None
        self._by = shown_by if rule == "auto" else None
        self._moved = 0
        self._reading = None if rule == "auto" else rule
        if rule == "auto":
            self._weigh(annotated)
            self._reading = self._reading or ("shown" if shown_by else None)

    @property
    def note(self) -> str | None:
        """What was found out, once every picture's size was asked for; None where nothing was."""
        if self._why or not (self._moved and self._by):
            return self._why
        return (
            f"{self._moved} picture(s) are turned by EXIF: boxes are taken as of the picture as it is shown, as "
            f"{self._by} gives them beside the stored size; dataset.source.turned=stored takes the other"
        )

    def _weigh(self, annotated: Iterable[Annotated]) -> None:
        against: list[tuple[Path, Size]] = []
        fitting: list[tuple[Path, Size]] = []
        for path, size, boxes in annotated:
            if path is None or size is None or boxes is None or not len(boxes) or size[0] == size[1]:
                continue
            here, there = _within(boxes, size), _within(boxes, size[::-1])
            if here != there:
                (fitting if here else against).append((path, size))
        votes: Counter[str] = Counter()
        for path, size in against[:_MOST_READ]:
            if (stored := quarter_turn(path)) is not None:
                votes["shown" if size == stored else "stored"] += 1
        if votes:
            agreeing = sum(quarter_turn(path) is not None for path, _ in fitting[:_MOST_READ])
            reading, count = votes.most_common(1)[0]
            if count > agreeing:
                self._reading = reading
                stated = "stored" if reading == "shown" else "shown"
                self._why = (
                    f"boxes of {count} picture(s) that EXIF turns, such as '{against[0][0].name}', leave the {stated} "
                    f"size, which their file states, and lie within the {reading} one: all are taken as of the picture "
                    f"as it is {reading}; dataset.source.turned={stated} takes the other"
                )

    def size(self, picture: Path | None, stated: Size | None) -> Size | None:
        """Width and height of what was annotated: those stated, turned where that is not what annotations belong to."""
        if self._reading is None or picture is None or (stored := quarter_turn(picture)) is None:
            return stated
        meant = stored if self._reading == "stored" else stored[::-1]
        if stated is None:
            return meant
        if (stated[0] > stated[1]) == (meant[0] > meant[1]):
            return stated
        self._moved += 1
        return stated[::-1]


def _within(boxes: np.ndarray, size: Size) -> bool:
    return bool((boxes[:, 2:] <= np.array(size) + _SLACK).all() and (boxes[:, :2] >= -_SLACK).all())
