"""`frostline compare`: a study's answer."""

import argparse
from pathlib import Path

from frostline.cli.common import QUICKSTART, Commands


def add(commands: Commands) -> None:
    compare = commands.add_parser("compare", help="write a study's results.csv, report.md and plots")
    compare.add_argument(
        "study", type=Path, nargs="?", default=QUICKSTART, help="its folder, or its name in experiments/"
    )
    compare.add_argument("--table", action="store_true", help="only print the table of results.csv, as it stands")
    compare.set_defaults(command=run)


def run(args: argparse.Namespace) -> None:
    from frostline.studies.pipeline import study_called

    study = study_called(args.study)
    from frostline.report.compare import compare
    from frostline.report.table import read_csv, terminal_table

    if args.table:
        print(terminal_table(read_csv(study.folder / "results.csv")))
    else:
        from frostline.runs.speed import time_in_turn

        time_in_turn(study.runs)
        compare(study.folder, study.runs)
    print(f"\nreport: {study.folder / 'report.md'}   every run in MLflow: make ui")
