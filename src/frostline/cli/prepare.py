"""`frostline prepare`: pictures checked, split and stored."""

import argparse
import sys
from pathlib import Path

from frostline.cli.common import Commands, add_overrides, with_paths
from frostline.errors import FrostlineError
from frostline.words import listed


def add(commands: Commands) -> None:
    prepare = commands.add_parser(
        "prepare",
        help="check, split and store the pictures of a study or of one dataset",
    )
    prepare.add_argument("--study", type=Path, metavar="FOLDER", help="prepare the datasets that its plan names")
    prepare.add_argument("--only", metavar="NAME", help="with --study: this one of its datasets")
    add_overrides(prepare, "such as dataset=folder dataset.root=PATH; a PATH alone is dataset.root")
    prepare.set_defaults(command=run)


def run(args: argparse.Namespace) -> None:
    from frostline.checking.counted import counted
    from frostline.checking.prepare import prepare_from_config
    from frostline.config import compose, read

    if args.study is None:
        from frostline.runs.alone import prepared

        dataset = prepared(compose(with_paths(args.overrides)))
        print(f"frostline: dataset '{dataset.name}': {counted(dataset)}.", file=sys.stderr)
        print(dataset.path)
        return
    from frostline.studies.pipeline import study_called

    study = study_called(args.study)
    planned = sorted((study.runs / "plan" / "data").glob("*.yaml"))
    if args.only is not None and args.only not in (names := [path.stem for path in planned]):
        raise FrostlineError(f"{study.runs / 'plan'} plans no dataset '{args.only}': it has {listed(names) or 'none'}.")
    if not planned:
        raise FrostlineError(f"{study.runs / 'plan'} plans no dataset: run `frostline plan {args.study}` first.")
    for path in planned:
        if args.only not in (None, path.stem):
            continue
        out = study.runs / "data" / path.stem
        # Whether it is to be made anew, DVC has decided.
        dataset = prepare_from_config(read(path), out, remember=False)
        print(f"frostline: dataset '{dataset.name}': {counted(dataset)}.", file=sys.stderr)
        print(out)
