"""`frostline train`: one run, or all stale runs of a study."""

import argparse
import sys
from pathlib import Path

from frostline.cli.common import Commands, add_overrides
from frostline.errors import FrostlineError
from frostline.words import listed


def add(commands: Commands) -> None:
    train = commands.add_parser(
        "train",
        help="train and evaluate one run",
        description="Train one run and evaluate its best epoch on the test split; results go to runs/STUDY/results/. "
        "Stopped, the same command goes on; done, it says so. It takes some ten seconds to begin, and then as long as "
        "pictures, backbone and epochs want; what is wrong with the values is told at once.",
    )
    train.add_argument(
        "--plan", type=Path, metavar="FILE", help="a run that `frostline plan` wrote, instead of overrides"
    )
    train.add_argument("--study", type=Path, metavar="FOLDER", help="all stale runs of a study, before `dvc repro`")
    train.add_argument(
        "--ahead",
        action="store_true",
        help="with --plan: finish the run in its workplace, and leave it to `dvc repro` to take it over",
    )
    train.add_argument("--show", action="store_true", help="print the resolved configuration and stop")
    add_overrides(train)
    train.set_defaults(command=run)


def run(args: argparse.Namespace) -> None:
    if sum(map(bool, (args.plan, args.study, args.overrides))) > 1:
        raise FrostlineError("Give one of --plan, --study and KEY=VALUE overrides: each names what is to be trained.")
    if args.show and (args.plan or args.study):
        raise FrostlineError("--show prints what overrides compose to; a planned run is a file that can be read.")
    if args.ahead and not args.plan:
        raise FrostlineError("--ahead is of a planned run: give --plan FILE, too.")
    if args.study:
        from frostline.launch.ahead import train_ahead
        from frostline.studies.pipeline import study_called

        train_ahead(study_called(args.study))
    elif args.plan and args.ahead:
        from frostline.cli.stopping import heeded_by_this_process_alone
        from frostline.config import read
        from frostline.launch.planned import Job, train_ahead_of_dvc

        with heeded_by_this_process_alone():
            if line := train_ahead_of_dvc(Job(args.plan, read(args.plan))):
                print(line)
    elif args.plan:
        from frostline.launch.planned import train_planned

        if said := train_planned(args.plan):
            print(said)
    else:
        from frostline.config import compose, to_yaml

        config = compose(args.overrides)
        if args.show:
            print(to_yaml(config), end="")
            return
        from frostline.runs.alone import train_alone

        result, trained = train_alone(config, ["train", *args.overrides])
        print(f"{result.summary}  -> {(result.folder or Path()) / 'result.json'}")
        if result.unseen:
            lacking = listed([f"'{name}'" for name in result.unseen])
            print(f"frostline: the test split has no example of {lacking}: nothing is known of it.", file=sys.stderr)
        if not trained:
            again = f"To train it anew, remove its results: rm -r {result.folder}"
            print(f"This run was done before: nothing is trained. {again}")
