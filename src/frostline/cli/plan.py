"""`frostline plan`: a study's runs, or what they will cost."""

import argparse
from pathlib import Path

from frostline.cli.common import QUICKSTART, Commands, show


def add(commands: Commands) -> None:
    plan = commands.add_parser("plan", help="write one resolved configuration per run of a study")
    plan.add_argument("study", type=Path, nargs="?", default=QUICKSTART, help="folder with study.yaml")
    plan.add_argument("--dry-run", action="store_true", help="print the grid, what is stale and what it will cost")
    plan.set_defaults(command=run)


def run(args: argparse.Namespace) -> None:
    from frostline.studies.plan import compose_runs, write_plan
    from frostline.studies.stale import finished_ahead, stale
    from frostline.studies.study import read_study

    study = read_study(args.study)
    if not args.dry_run:
        names = write_plan(study)
        print(f"{len(names)} runs planned in {study.runs / 'plan'}")
        return
    runs = compose_runs(study)
    reasons = stale(study, runs)
    from rich.table import Table

    from frostline.launch.cost import Estimator, repro_seconds  # imports torch

    estimate = Estimator()
    ahead = finished_ahead(study, {name: runs[name] for name in reasons})
    reasons |= dict.fromkeys(ahead, "trained: `dvc repro` takes it over")
    todo = {name: config for name, config in runs.items() if name in reasons and name not in ahead}
    seconds = {name: estimate(config) for name, config in todo.items()}
    table = Table("run", "state", "seconds", title=f"{study.name}: {study.question}")
    for name in runs:
        table.add_row(name, reasons.get(name, "up to date"), f"{seconds[name]:.0f}" if name in seconds else "")
    show(table)
    total = repro_seconds(seconds.values(), todo.values())
    print(f"{len(todo)} of {len(runs)} runs to train, about {total / 60:.0f} min on this machine")
