"""The lecture from its first part to its last: each part's page, and all of them as one."""

import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from frostline.errors import FrostlineError
from frostline.files import replacing_folder
from frostline.lecture import order
from frostline.lecture.cells import run
from frostline.lecture.errors import Lacking, NotSo
from frostline.lecture.material import Material
from frostline.lecture.order import ORDER, chosen
from frostline.lecture.page import Page, Told
from frostline.lecture.readme import CLAIMS, PICTURES, README, write

__all__ = ["ORDER", "chosen", "tour"]


def tour(
    names: Sequence[str],
    material: Material,
    out: Path,
    tell: Callable[[Told], None],
    command: str = "frostline lecture",
) -> list[Told]:
    """Make these parts: in `out` a README.md, with its pictures beside it and every claim in claims.json.

    The folder appears whole or not at all; an earlier lecture there is replaced. tell: called as each part ends.
    command: that makes it again. Raises FrostlineError where `out` holds anything else.
    """
    found: list[Told] = []
    with replacing_folder(out, (README, PICTURES, CLAIMS), CLAIMS, "lecture") as aside:
        pictures = aside / PICTURES
        pictures.mkdir()
        since = time.monotonic()
        with suppress(Lacking):  # each part that needs them says so
            _ = material.dataset  # prepared now, as it is no part's work
        for name in names:
            found.append(_told(Page(name, material, pictures)))
            if found[-1].why:  # what it has drawn by then stands on no page
                for drawn in pictures.glob(f"{name}-*.png"):
                    drawn.unlink()
            tell(found[-1])
        write(aside, found, material, command, time.monotonic() - since)
    return found


def _told(page: Page) -> Told:
    since, state, why = time.monotonic(), "done", ""
    file = order.PARTS / f"{page.name}.py"
    try:
        run(file, page)
    except NotSo as error:
        state, why = "not so", str(error)
    except FrostlineError as error:  # Lacking, or such as weights that are not on this machine
        state, why = "lacking", str(error)
    except Exception as error:  # of another's, or a fault of ours: the other parts come all the same
        state, why = "not so", f"{page.name}: {_where(error, file)} ended with {type(error).__name__}: {error}"
    return Told(page, state, time.monotonic() - since, why)


def _where(error: Exception, file: Path) -> str:
    """The line of the part, or of what it called, of which an error came."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame.lineno for frame in frames if frame.filename == str(file)]
    return f"line {own[-1]}" if own else "it"
