"""`frostline lecture`: an introduction to convolutional networks, drawn and checked on one's own pictures."""

import argparse
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from frostline.cli.common import Commands, check_of_dataset
from frostline.lecture.order import ORDER, chosen

if TYPE_CHECKING:
    from frostline.lecture.page import Told

OUT = Path("runs/lecture")
PARTS = ", ".join(f"{number} {name}" for number, name in enumerate(ORDER, 1))


def add(commands: Commands) -> None:
    lecture = commands.add_parser(
        "lecture",
        help="an introduction to convolutional networks, drawn and checked on this machine",
        description="Run the lecture, or some of its parts: draw every picture, fill in every number of its text and "
        "check every claim, on drawn scenes or on your own. What comes of it is one page, README.md, with its pictures "
        "beside it. A part for which the pictures lack something (masks, boxes, or enough of them) says so and is left "
        "out. Exits with 1 where a claim does not hold, and with 2 where nothing could be made.",
        epilog=f"""\
parts, by number or name: {PARTS}

  frostline lecture                                        all of them, on drawn scenes: some minutes
  frostline lecture pooling 9                              two of them
  frostline lecture dataset.root=path/to/pictures          the same, with your pictures: a folder per class, COCO, …
  frostline lecture dataset=folder dataset.root=path/to/pictures --out lecture
""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    lecture.add_argument(
        "what", nargs="*", metavar="PART | KEY=VALUE", help="parts, and which pictures, as for `frostline prepare`"
    )
    lecture.add_argument("--out", type=Path, metavar="FOLDER", default=OUT, help=f"by default {OUT}")
    lecture.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    names = chosen([word for word in args.what if "=" not in word])
    overrides = [word for word in args.what if "=" in word]
    check_of_dataset(overrides, "the lecture has its own")
    from tqdm import tqdm

    from frostline.environment import importing, keep_memory

    keep_memory()
    with importing():  # torch
        from frostline.lecture.material import material
        from frostline.lecture.tour import tour

    out = [] if args.out == OUT else ["--out", as_seen_from_here(args.out)]
    command = shlex.join(["frostline", "lecture", *args.what, *out])
    pictures, since = material(overrides), time.monotonic()
    with tqdm(total=len(names), desc=f"lecture, {names[0]}", unit=" parts", leave=False, disable=None) as bar:

        def tell(told: "Told") -> None:
            bar.update()
            following = names[names.index(told.page.name) + 1 :] or names[-1:]
            bar.set_description(f"lecture, {following[0]}")
            bar.write(line(told), file=sys.stderr if told.state == "not so" else sys.stdout)

        found = tour(names, pictures, args.out, tell, command)
    done = [told for told in found if told.state == "done"]
    claims, seconds = sum(len(told.page.claims) for told in done), time.monotonic() - since
    print(f"{len(done)} of {len(found)} parts, {claims} claims hold, {seconds:.0f} s")
    print(args.out / "README.md")
    if any(told.state == "not so" for told in found):
        return 1
    return 0 if done else 2


def as_seen_from_here(folder: Path) -> str:
    """A path that others can type, too: what lies below the working folder does not name that."""
    return str(folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder)


def line(told: "Told") -> str:
    """How a part went."""
    page = told.page
    if told.state == "not so":
        return f"frostline: {told.why}"
    head = f"{ORDER.index(page.name) + 1} {page.name:13}"
    if told.state == "lacking":
        return f"{head} left out: {told.why}"
    return f"{head} {len(page.claims):3} claims hold  {told.seconds:5.1f} s"
