"""`frostline study`: a new study, or whether each pipeline fits its study."""

import argparse
from pathlib import Path

from frostline.cli.common import Commands
from frostline.errors import FrostlineError
from frostline.files import hint_above


def add(commands: Commands) -> None:
    study = commands.add_parser("study", help="make a new study, or compare studies' dvc.yaml with their study.yaml")
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


def run_new(args: argparse.Namespace) -> None:
    from frostline.studies.pipeline import new_study, pipeline_of

    study = new_study(args.name)
    for path in (study.folder / "study.yaml", pipeline_of(study)):
        print(path)
    print(f"`frostline plan {study.folder} --dry-run` shows its runs, `make repro STUDY={study.name}` trains them.")


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
