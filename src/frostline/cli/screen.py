"""`frostline screen`: many backbones looked at cheaply, so that only what may win is trained whole."""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from frostline.cli.common import Commands, show, with_paths
from frostline.errors import FrostlineError, check_number

if TYPE_CHECKING:
    from frostline.screen.screening import Asked, Screen
    from frostline.screen.table import Judged

SEEDS, MARGIN = 3, 0.05
DESCRIPTION = """\
For each backbone, what lies below its head is computed once, for the training views, validation and test, and kept in
the cache that later runs read; small heads are trained on that for several seeds. One table for each task: quality
with its interval, milliseconds, parameters, memory, two estimates; which backbones may still win, which are on the
Pareto edge, and what could not be told apart. It lies in runs/screen/DATASET/ as a picture, a CSV and JSON, and each
probe is a run like any other, with the tracker, too. Stopped, the same command goes on; done, it answers at once;
with more seeds or backbones it trains those alone. Status 1: some of those named could not be looked at.
"""
EPILOG = """\
  frostline screen dataset.root=path/to/pictures                   every backbone whose weights are here
  frostline screen task=detection,segmentation backbones=[efficientnet_lite0,resnet18,timm:regnety_002]
  frostline screen task=all dataset=pets dataset.root=path/to/pets image_size=128 --seeds 5
  frostline screen dataset.root=path/to/pictures --study mine --budget 2h --until verdict

KEY=VALUE beside these is what `frostline train` takes, and holds for all: dataset, image_size, augment, trainer, head.
backbone.pretrained=false begins all of them at random. What a probe has where you say nothing: schedule=frozen,
augment.views=2, 20 epochs for classes and for one box, 6 for boxes and masks, with
small heads (src/frostline/screen/recipe.py).
What each column says, and how far it can be trusted: docs/screen.md
"""


def add(commands: Commands) -> None:
    screen = commands.add_parser(
        "screen",
        help="look at many backbones cheaply: which may win, which nothing can save",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    screen.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="which pictures, task=, backbones=, and what else is of a run"
    )
    screen.add_argument(
        "--seeds", type=int, default=SEEDS, metavar="N", help=f"heads of each backbone, by default {SEEDS}"
    )
    screen.add_argument(
        "--margin", type=float, default=MARGIN, metavar="M",
        help="of the primary metric: how much an order may change once backbones are thawed, by default "
        f"{MARGIN}; who is certainly further behind than that is out",
    )  # fmt: skip
    screen.add_argument("--study", metavar="NAME", help="write experiments/NAME, a study of what may still win")
    screen.add_argument("--budget", metavar="TIME", help="for --study, such as 2h: as many backbones and seeds as fit")
    screen.add_argument("--until", choices=["verdict"], help="for --study: train it, too, until there is a verdict")
    screen.add_argument(
        "--against", type=Path, metavar="FOLDER",
        help="of a finished study: screen its tasks, backbones and pictures, and write there how far both orders agree",
    )  # fmt: skip
    screen.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    check_number("--seeds", args.seeds, 1, whole=True)
    check_number("--margin", args.margin, 0, 1)
    if (args.budget or args.until) and not args.study:
        raise FrostlineError("--budget and --until are of a study: give --study NAME, too.")
    if args.until and not args.budget:
        raise FrostlineError("--until verdict needs a --budget, such as 2h.")
    if args.against:
        return _against(args)
    from frostline.studies.seeds import seconds_of

    asked = _asked(with_paths(args.overrides), args.seeds, _command(args))
    budget = seconds_of(args.budget, "--budget") if args.budget else None
    if budget is not None:
        from frostline.screen.study import check_budget  # torch, as steps are timed

        check_budget(asked, budget)
    found, verdicts = _screened(asked, args.margin)
    if args.study:
        return _study(args, asked, found, verdicts, budget)
    return int(any(found.refused.values()))


def _command(args: argparse.Namespace) -> str:
    return shlex.join(["frostline", "screen", *args.overrides, "--seeds", str(args.seeds)])


def _asked(overrides: Sequence[str], seeds: int, command: str) -> "Asked":
    from frostline.screen.candidates import names_of
    from frostline.screen.recipe import tasks_of
    from frostline.screen.screening import Asked

    tasks, names, others = "classification", None, []
    for word in overrides:
        key, _, value = word.partition("=")
        if key == "task":
            tasks = value
        elif key in ("backbones", "backbone"):
            names = names_of(value)
        else:
            others.append(word)
    return Asked(tasks_of(tasks), names, others, seeds, command)


def _screened(asked: "Asked", margin: float) -> "tuple[Screen, Judged]":
    """Looked at, told, drawn, and with the tracker."""
    from frostline.screen.agreement import committed
    from frostline.screen.picture import PICTURE, write_picture
    from frostline.screen.screening import screen, tell_tracker
    from frostline.screen.table import CSV, JSON, judged, sentences, tables, write

    found, measured = screen(asked), committed()
    verdicts = judged(found, margin)
    show(*tables(found, verdicts), *sentences(found, margin, measured))
    path = found.folder / JSON
    before = path.read_bytes() if path.is_file() else b""
    write(found, verdicts, margin, measured)
    if any(found.looked.values()) and (path.read_bytes() != before or not (found.folder / PICTURE).is_file()):
        write_picture(found, verdicts, margin)
    print(", ".join(str(found.folder / name) for name in (PICTURE, CSV, JSON) if (found.folder / name).is_file()))
    if found.trained:
        tell_tracker(found.folder)
    if not any(found.looked.values()):
        raise FrostlineError("None of these backbones could be looked at, for the reasons in the table.")
    return found, verdicts


def _study(args: argparse.Namespace, asked: "Asked", found: "Screen", verdicts: "Judged", budget: float | None) -> int:
    from frostline.screen.study import fit, write_study
    from frostline.screen.table import ranked

    means: dict[str, list[int]] = {}  # the place of each that may win, in the tasks where it may
    for task, rows in found.looked.items():
        for place, row in enumerate(ranked(rows)):
            if verdicts[task][row.name].wins:
                means.setdefault(row.name, []).append(place)
    names = sorted(means, key=lambda name: (-len(means[name]), sum(means[name])))
    fitted = fit(names, found.candidates, asked.tasks, asked.overrides, budget)
    command = f"{asked.command} --study {args.study}" + (f" --budget {args.budget}" if args.budget else "")
    study, before = write_study(
        args.study, fitted, found.candidates, asked.tasks, asked.overrides, args.budget, command
    )
    if before:
        print(f"{study.folder} was written before, by the same command: it is left as it is.")
    else:
        print(fitted.told(study))
    if args.until and budget is not None:
        from frostline.launch.rounds import until_verdict

        return int(not until_verdict(study.folder, budget))
    print(f"`make repro STUDY={study.name}` trains it; `frostline study seeds {study.name} --until verdict` goes on.")
    return 0


def _against(args: argparse.Namespace) -> int:
    from frostline.screen.against import asked_of, compared

    if args.study or args.overrides:
        raise FrostlineError("--against takes pictures, tasks and backbones from the study: leave out all else.")
    asked, schedule = asked_of(args.against, args.seeds, _command(args) + f" --against {args.against}")
    found, _ = _screened(asked, args.margin)
    path, study = compared(args.against, found, schedule)
    for name, one in study.by.items():
        print(f"{name.replace('_', ' ')} against `{schedule}`: {one}")
    print(path)
    return 0
