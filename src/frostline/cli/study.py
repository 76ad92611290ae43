"""`frostline study`: a new study, whether each pipeline fits its study, and more seeds where they are needed."""

import argparse
from pathlib import Path

from frostline.cli.common import Commands
from frostline.errors import FrostlineError
from frostline.files import hint_above


def add(commands: Commands) -> None:
    study = commands.add_parser("study", help="make a new study, check dvc.yaml against study.yaml, or add seeds")
    verbs = study.add_subparsers(title="commands", required=True, metavar="COMMAND")
    new = verbs.add_parser("new", help="write experiments/NAME with a study that works as it is")
    new.add_argument("name", metavar="NAME")
    new.set_defaults(command=run_new)
    check = verbs.add_parser(
        "check", help="whether each study can be planned and its dvc.yaml fits it; 1 where one does not"
    )
    check.add_argument("folders", type=Path, nargs="*", metavar="FOLDER", help="by default every one in experiments/")
    check.add_argument("--write", action="store_true", help="write those anew that do not")
    check.set_defaults(command=run_check)
    seeds = verbs.add_parser(
        "seeds",
        help="add as many seeds as the next planned look needs, to the arms that still compete",
        description="Look at the finished runs, at the numbers of seeds that study.yaml plans, and add what the next "
        "look needs to the arms that can still win. With --until verdict it goes on by itself: it trains, and looks "
        "again, until a champion is clear, the rest are equivalent to it, or the budget is spent (status 1).",
    )
    seeds.add_argument("study", metavar="NAME", help="in experiments/, or the folder of a study")
    seeds.add_argument("--until", choices=["verdict"], help="train the seeds, too, and go on until there is a verdict")
    seeds.add_argument("--budget", metavar="TIME", help="for --until, such as 2h or 45min; else that of study.yaml")
    seeds.set_defaults(command=run_seeds)


def run_new(args: argparse.Namespace) -> None:
    from frostline.studies.pipeline import new_study, pipeline_of

    study = new_study(args.name)
    for path in (study.folder / "study.yaml", pipeline_of(study)):
        print(path)
    print(f"`frostline plan {study.folder} --dry-run` shows its runs, `make repro STUDY={study.name}` trains them.")


def run_seeds(args: argparse.Namespace) -> int:
    from frostline.studies.pipeline import folder_of
    from frostline.studies.seeds import seconds_of
    from frostline.studies.study import read_study

    folder = folder_of(args.study)
    stated = read_study(folder).budget
    budget = seconds_of(args.budget, "--budget") if args.budget else stated
    if args.budget and not args.until:
        raise FrostlineError("--budget is for --until verdict: without it nothing is trained.")
    if args.until and budget is None:
        raise FrostlineError(f"How long may it take? Give --budget, such as 2h, or {folder}/study.yaml a key budget.")
    from frostline.launch.rounds import add, added, look, until_verdict

    if budget is not None and args.until:
        return int(not until_verdict(folder, budget))
    found = look(folder)
    if found.wanted:
        add(found)
        print(added(found))
    return 0


def run_check(args: argparse.Namespace) -> int:
    from frostline.studies.pipeline import all_studies, difference, write_pipeline
    from frostline.studies.plan import composed
    from frostline.studies.study import read_study

    studies = [read_study(folder) for folder in args.folders or all_studies()]
    if not studies:
        raise FrostlineError(f"There is no study in experiments/ here{hint_above(Path('experiments'))}.")
    for study in studies:
        composed(study)  # a key or value that there is not is told before a pipeline is written for it
    told = {study.name: difference(study) for study in studies}
    for study in studies:
        if told[study.name] is not None:
            print(write_pipeline(study) if args.write else told[study.name])
    return int(any(told.values()) and not args.write)
