"""The lecture from its first part to its last: each part's page, and all of them as one."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from frostline.errors import FrostlineError
from frostline.files import write_whole
from frostline.lecture.cells import run
from frostline.lecture.material import Material
from frostline.lecture.page import Lacking, NotSo, Page

PARTS = Path(__file__).parent / "parts"
ORDER = ("convolution", "filters", "pooling")


@dataclass(frozen=True)
class Told:
    """How a part went. state: of one that is `lacking`, the pictures have not what it needs."""

    page: Page
    state: str
    seconds: float
    why: str = ""


def chosen(names: Sequence[str]) -> list[str]:
    """Parts by their names or numbers, in their order; all where none is named. Raises FrostlineError."""
    numbers = {str(number): name for number, name in enumerate(ORDER, 1)}
    found = [numbers.get(name, name) for name in names]
    if unknown := [name for name in found if name not in ORDER]:
        known = ", ".join(f"{number} {name}" for number, name in numbers.items())
        raise FrostlineError(f"The lecture has no part '{unknown[0]}'; there are {known}.")
    return [name for name in ORDER if name in found or not found]


def tour(names: Sequence[str], material: Material, out: Path, tell: Callable[[Told], None]) -> list[Told]:
    """Make the pages of these parts, and of all of them `out`/README.md, with its pictures beside it."""
    found = []
    for name in names:
        page, since = Page(name, material, out / "pictures"), time.monotonic()
        try:
            run(PARTS / f"{name}.py", page)
        except Lacking as error:
            told = Told(page, "lacking", time.monotonic() - since, str(error))
        except NotSo as error:
            told = Told(page, "not so", time.monotonic() - since, str(error))
        else:
            told = Told(page, "done", time.monotonic() - since)
        tell(told)
        found.append(told)
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "README.md", "\n\n".join(_text(told) for told in found) + "\n")
    return found


def _text(told: Told) -> str:
    if told.state == "done":
        return "\n\n".join([*told.page.lines, told.page.checked()])
    return f"## {told.page.name.title()}\n\n{told.why}"
