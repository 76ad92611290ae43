"""The parts of the lecture, in their order."""

from collections.abc import Sequence
from pathlib import Path

from frostline.errors import FrostlineError

PARTS = Path(__file__).parent / "parts"
ORDER = (
    *("convolution", "filters", "pooling", "architectures", "pretrained"),
    *("transfer", "localization", "detection", "segmentation"),
)


def chosen(names: Sequence[str]) -> list[str]:
    """Parts by their names or numbers, in their order; all where none is named. Raises FrostlineError."""
    numbers = {str(number): name for number, name in enumerate(ORDER, 1)}
    found = [numbers.get(name, name) for name in names]
    if unknown := [name for name in found if name not in ORDER]:
        known = ", ".join(f"{number} {name}" for number, name in numbers.items())
        raise FrostlineError(
            f"The lecture has no part '{unknown[0]}': there are {known}. Pictures are given as dataset.root=PATH."
        )
    return [name for name in ORDER if name in found or not found]
