"""How a part of the lecture ends before its end."""

from frostline.errors import FrostlineError


class Lacking(FrostlineError):
    """What a part needs and the pictures do not have: what, and what would help."""


class NotSo(FrostlineError):
    """A claim that does not hold: where, what was said, and what was found."""
