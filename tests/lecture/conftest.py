"""What the tests of the lecture share."""

from helpers.lecture import few, made_up

__all__ = ["few", "made_up"]
