"""`frostline champion`: what a study's verdict names, as a model to use."""

import argparse
import sys
from pathlib import Path

from frostline.cli.common import Commands
from frostline.errors import FrostlineError


def add(commands: Commands) -> None:
    champion = commands.add_parser(
        "champion",
        help="make a model of what a study's verdict names: its folder, a card, and a place in MLflow's registry",
        description="Of each task and dataset of a study, takes the arm that the verdict names and its median run, by "
        "the primary metric on the test split, and writes the model's folder with a model card. Where the runs were "
        "tracked by a store that has a registry, it is registered there as well, as the version @champion.",
    )
    champion.add_argument("study", metavar="STUDY", help="in experiments/, or the folder of a study")
    champion.add_argument("--task", metavar="TASK", help="only this one; by default each that the study has")
    champion.add_argument("--dataset", metavar="NAME", help="only this one, where the study has several")
    champion.add_argument(
        "--anyway", action="store_true", help="where the verdict cannot tell: what stands first on the validation split"
    )
    champion.add_argument(
        "--out", type=Path, metavar="FOLDER", help="by default models/STUDY, or models/STUDY-TASK of several tasks"
    )
    champion.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    from frostline.studies.pipeline import study_called

    study = study_called(args.study)
    from frostline.deliver.champion import choose, panels_named
    from frostline.deliver.folder import MODELS, name_of, write_champion
    from frostline.deliver.registered import register
    from frostline.report.results import read_results

    results = read_results(study.folder, study.runs)
    panels = panels_named(results, args.task, args.dataset)
    if args.out and len(panels) > 1:
        there = ", ".join(panel.where for panel in panels)
        raise FrostlineError(f"--out is one folder, and there are {len(panels)} models ({there}): name one by --task.")
    refused: list[FrostlineError] = []
    made = 0
    for panel in panels:
        try:
            chosen = choose(results, panel, args.anyway)
            out = args.out or MODELS / name_of(chosen)
            write_champion(chosen, out)
            made += 1
            print(f"{panel.where}: {chosen.arm.name}, seed {chosen.run.result.seed}  -> {out}", flush=True)
            for address in register(chosen, out, name_of(chosen)):
                print(f"registered: {address}", flush=True)
        except FrostlineError as error:
            refused.append(error)
    for why in refused:
        print(f"frostline: {why}", file=sys.stderr)
    return (1 if made else 2) if refused else 0
