"""`frostline plan`: a study's runs, or what they will cost."""

import argparse
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from frostline.cli.common import QUICKSTART, Commands, show
from frostline.config import Config
from frostline.errors import FrostlineError
from frostline.words import duration


def add(commands: Commands) -> None:
    plan = commands.add_parser("plan", help="write one resolved configuration per run of a study")
    plan.add_argument("study", type=Path, nargs="?", default=QUICKSTART, help="its folder, or its name in experiments/")
    plan.add_argument("--dry-run", action="store_true", help="print the grid, what is stale and what it will cost")
    plan.set_defaults(command=run)


def run(args: argparse.Namespace) -> None:
    from frostline.studies.pipeline import study_called
    from frostline.studies.plan import compose_runs, write_plan
    from frostline.studies.stale import finished_ahead, stale

    study = study_called(args.study)
    if not args.dry_run:
        planned = write_plan(study)
        print(f"{len(planned)} runs planned in {study.runs / 'plan'}")
        if lines := _to_be_fetched(planned.values()):
            print(f"Not here, so training fetches these weights, which takes a network: {', '.join(lines)}.")
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
    total = duration(repro_seconds(seconds.values(), todo.values()))
    print(f"{len(todo)} of {len(runs)} runs to train, about {total} on this machine once the pictures are prepared")


def _to_be_fetched(runs: Iterable[Config]) -> list[str]:
    """The backbones whose weights are not here, each with where they come from."""
    from frostline.runs.catalogue import Entry, known, to_be_fetched

    rows: dict[str, Entry | None] = {}
    sources = {}
    for node in (run["backbone"] for run in runs):
        if (name := str(node["name"])) not in rows:
            rows[name] = None
            with suppress(FrostlineError):  # one's own, which no table has
                rows |= known([name])
        if source := to_be_fetched(rows[name], node):
            sources[name] = source
    return [f"{name} (from {source})" for name, source in sources.items()]
