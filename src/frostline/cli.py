"""The command line: `frostline plan | prepare | train | compare`."""

import argparse
import hashlib
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from frostline.errors import FrostlineError

# Everything heavy (torch, Lightning, MLflow: ten seconds on a cold start) is imported by the command that needs it,
# so that `--help` and a misspelt key answer at once.

QUICKSTART = Path("experiments/quickstart")

OVERRIDES = """\
overrides are KEY=VALUE, as Hydra composes them from conf/:
  task=classification|localization|detection|segmentation
  dataset=meadow|folder|pets    folder and pets with dataset.root=PATH
  backbone=efficientnet_lite0   or backbone=timm backbone.name=resnet18
  head=linear|box|dense|unet    each task has its own by default
  schedule=frozen|thaw|full     how deep frozen, for how long
  augment=light|none
  trainer.epochs=10 trainer.batch_size=32 optimizer.lr=0.002 image_size=128 seed=0
every key and its default: `frostline train --show`
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 where it worked, 2 where the user can mend what is wrong."""
    args = _parser().parse_args(argv)
    try:
        args.command(args)
    except FrostlineError as error:
        print(f"frostline: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="frostline",
        description="Which pretrained architecture, how deep frozen, for how long? Answered on your own pictures.",
        epilog="`dvc repro` runs a study: plan, prepare, train each run, compare. `frostline train` is one run alone.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    plan = commands.add_parser("plan", help="write one resolved configuration per run of a study")
    plan.add_argument(
        "study", type=Path, nargs="?", default=Path("experiments/quickstart"), help="folder with study.yaml"
    )
    plan.add_argument("--dry-run", action="store_true", help="print the grid, what is stale and what it will cost")
    plan.set_defaults(command=_plan)

    prepare = commands.add_parser(
        "prepare",
        help="check, split and store the pictures of a study or of one dataset",
        epilog=OVERRIDES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    prepare.add_argument("--study", type=Path, metavar="FOLDER", help="prepare the datasets that its plan names")
    prepare.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="such as dataset=folder dataset.root=PATH")
    prepare.set_defaults(command=_prepare)

    train = commands.add_parser(
        "train",
        help="train and evaluate one run",
        description="Train one run and evaluate its best epoch on the test split; results go to runs/STUDY/results/.",
        epilog=OVERRIDES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    train.add_argument(
        "--plan", type=Path, metavar="FILE", help="a run that `frostline plan` wrote, instead of overrides"
    )
    train.add_argument("--study", type=Path, metavar="FOLDER", help="all stale runs of a study, before `dvc repro`")
    train.add_argument("--show", action="store_true", help="print the resolved configuration and stop")
    train.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    train.set_defaults(command=_train)

    compare = commands.add_parser("compare", help="write a study's results.csv, report.md and plots")
    compare.add_argument(
        "study", type=Path, nargs="?", default=Path("experiments/quickstart"), help="folder with study.yaml"
    )
    compare.set_defaults(command=_compare)
    return parser


def _plan(args: argparse.Namespace) -> None:
    from frostline.studies.plan import compose_runs, read_study, stale, write_plan

    study = read_study(args.study)
    if not args.dry_run:
        names = write_plan(study)
        print(f"{len(names)} runs planned in {study.runs / 'plan'}")
        return
    from rich.console import Console
    from rich.table import Table

    from frostline.studies.cost import Estimator

    runs = compose_runs(study)
    reasons = stale(study, runs)
    estimate = Estimator()
    table = Table("run", "", "seconds", title=f"{study.name}: {study.question}")
    total = 0.0
    for name, config in runs.items():
        seconds = estimate(config) if name in reasons else 0.0
        total += seconds
        table.add_row(name, reasons.get(name, "up to date"), f"{seconds:.0f}" if seconds else "")
    console = Console()
    console.print(table)
    console.print(f"{len(reasons)} of {len(runs)} runs to train, about {total / 60:.0f} min on this machine")


def _prepare(args: argparse.Namespace) -> None:
    from frostline.config import compose, read
    from frostline.data.prepare import prepare_from_config

    if args.study is None:
        print(_own_dataset(compose(args.overrides)["dataset"]))
        return
    from frostline.studies.plan import read_study

    study = read_study(args.study)
    planned = sorted((study.runs / "plan" / "data").glob("*.yaml"))
    if not planned:
        raise FrostlineError(f"{study.runs / 'plan'} plans no dataset: run `frostline plan {args.study}` first.")
    for path in planned:
        out = study.runs / "data" / path.stem
        prepare_from_config(read(path), out)
        print(out)


def _train(args: argparse.Namespace) -> None:
    from frostline.config import compose, to_yaml
    from frostline.studies.ahead import train_ahead, train_planned
    from frostline.studies.plan import RUNS, read_study
    from frostline.studies.workplace import Workplace

    if sum(map(bool, (args.plan, args.study, args.overrides))) > 1:
        raise FrostlineError("Give one of --plan, --study and KEY=VALUE overrides: each names what is to be trained.")
    if args.show and (args.plan or args.study):
        raise FrostlineError("--show prints what overrides compose to; a planned run is a file that can be read.")
    if args.study:
        return train_ahead(read_study(args.study))
    if args.plan:
        print(train_planned(args.plan))
        return None
    config = compose(args.overrides)
    if args.show:
        print(to_yaml(config), end="")
        return None
    from frostline.data.dataset import Dataset
    from frostline.studies.run import run_name, summary, train

    dataset = Dataset.open(_own_dataset(config["dataset"]))
    name = run_name(config)
    # Runs that differ in what the name does not tell (a rate, a size) lie side by side.
    folder = f"{name}-{hashlib.sha256(to_yaml(config).encode()).hexdigest()[:6]}"
    runs = RUNS / config["study"]
    workplace = Workplace(runs / "work" / folder, config, dataset.data_hash)
    result = train(config, dataset, workplace, name, shlex.join(["frostline", "train", *args.overrides]))
    workplace.deliver(runs / "results" / folder)
    print(f"{summary(result)}  -> {runs / 'results' / folder}")
    return None


def _compare(args: argparse.Namespace) -> None:
    from frostline.studies.compare import compare
    from frostline.studies.plan import read_study

    study = read_study(args.study)
    compare(study.folder, study.runs, show=print)
    print(f"\nreport: {study.folder / 'report.md'}   every run in MLflow: make ui")


def _own_dataset(dataset: dict[str, object]) -> Path:
    """Prepared once for each configuration, beside the runs that are no part of a study."""
    from frostline.config import to_yaml
    from frostline.data.prepare import prepare_from_config
    from frostline.studies.plan import RUNS

    digest = hashlib.sha256(to_yaml(dataset).encode()).hexdigest()[:10]
    out = RUNS / "data" / f"{dataset['name']}-{digest}"
    prepare_from_config(dataset, out)
    return out


if __name__ == "__main__":
    sys.exit(main())
