"""What all text files of YOLO's layout tell together, where one line can be read in two ways: by most of what stands
there, so that one slip settles nothing."""

import math
from array import array
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from frostline.errors import FrostlineError, check_choice
from frostline.parsing.files import read_lines

ANGLES = ("auto", "degrees", "radians", "none")
CONFIDENCE = "confidence"
A_SHARE = 1.5  # what is larger is no share of a picture, even of an object that hangs over its edge
_FEWEST = 20  # numbers between 0 and 1, of which as many would hardly be all of them, were they angles
_SLIPS = 0.05  # of the numbers, that may contradict
_MANY = 0.25  # of the numbers, beyond 0 to 1: of angles, a third and more
_FEW_DEGREES = 0.1  # of the numbers exceed a turn in radians; of small angles in degrees, still more
_TURN = {"degrees": 360.0, "radians": 2 * math.pi}


def beyond_shares(values: Iterable[float]) -> bool:
    """Whether most of an object's values are no shares of a picture."""
    found = [value > A_SHARE for value in values]
    return sum(found) * 2 > len(found)


class Evidence:
    """Text files, read when something is asked for, none of them twice.

    angle: one of ANGLES, what a sixth number of a line is; none: a confidence. kinds: how many lines there are by how
    many numbers follow the class, as far as was read. notes: what was concluded, a sentence each.
    Raises FrostlineError for another angle.
    """

    def __init__(self, texts: Iterable[Path], angle: str) -> None:
        check_choice("dataset.source.angle", angle, ANGLES)
        self._texts, self._angle = iter(texts), angle
        self.kinds: Counter[int] = Counter()
        self.notes: list[str] = []
        self._sixths = array("d")
        self._in_pixels = 0  # lines, less those in shares

    def read(self, until_box: bool = False) -> None:
        """Read what is not read yet, or until a file with a plain box."""
        while not (until_box and self.kinds[4]):
            if (text := next(self._texts, None)) is None:
                return
            try:
                lines = read_lines(text)
            except FrostlineError:  # told where its picture is read
                continue
            for _, line in lines:
                self._add(line.split())

    def _add(self, words: list[str]) -> None:
        """Take a line; of a long outline its first two points alone."""
        if len(words) < 5 or (len(words) > 6 and len(words) % 2 == 0):
            return
        try:
            values = [float(word) for word in words[1 : 6 if len(words) == 6 else 5]]
        except ValueError:
            return
        if not all(map(math.isfinite, values)):
            return
        self._in_pixels += 1 if beyond_shares(values[:4]) else -1
        self.kinds[4 if len(words) == 6 and self._angle == "none" else len(words) - 1] += 1
        self._sixths.extend(values[4:])

    @property
    def in_pixels(self) -> bool:
        """Whether most objects are given in pixels."""
        self.read()
        return self._in_pixels > 0

    @cached_property
    def sixth(self) -> str | None:
        """What a sixth number is: an angle in degrees or radians, a CONFIDENCE, or None where that cannot be told.

        auto: an angle where no line is a plain box and many numbers lie beyond 0 to 1; a confidence where nearly all
        lie between and there are enough of them.
        """
        if self._angle != "auto":
            return CONFIDENCE if self._angle == "none" else self._angle
        self.read()
        told = [value for value in self._sixths if value]  # 0 is an angle as good as a confidence
        beyond = sum(not 0 < value <= 1 for value in told)
        zeros = len(self._sixths) - len(told)
        if beyond and beyond >= _MANY * len(told) and not self.kinds[4]:
            large = sum(abs(value) > _TURN["radians"] for value in told)
            unit = "degrees" if large > _FEW_DEGREES * len(told) else "radians"
            self.notes.append(
                f"boxes have an angle, taken for {unit}: the upright box around each is taken; dataset.source.angle="
                f"{'radians' if unit == 'degrees' else 'degrees'} or none says otherwise"
            )
            return unit
        if len(told) - beyond >= _FEWEST and beyond <= _SLIPS * len(told) and zeros <= _SLIPS * len(self._sixths):
            self.notes.append(
                f"a sixth number stands in {len(self._sixths)} lines, nearly always between 0 and 1: it is taken for a "
                "confidence and left aside; dataset.source.angle=radians or degrees says otherwise"
            )
            return CONFIDENCE
        return None

    def contradicts(self, number: float) -> str | None:
        """What is wrong with a sixth number; None where nothing is."""
        kind = self.sixth
        if kind is None:
            return (
                "has a line of 6 numbers, of which the last may be an angle or a confidence: dataset.source.angle is "
                "degrees or radians for an angle, none for a confidence"
            )
        if kind == CONFIDENCE:
            return None if 0 <= number <= 1 else f"has {number:g} where a confidence from 0 to 1 is meant"
        if abs(number) <= _TURN[kind] * 1.001:
            return None
        return f"has the angle {number:g}, which is more than a turn in {kind}"
