"""`frostline cancel`: a study's runs out of the queue."""

import argparse

from frostline.cli.common import Commands


def add(commands: Commands) -> None:
    cancel = commands.add_parser(
        "cancel",
        help="take a study's runs out of the queue, and stop those that run",
        description="Cancels what is queued or runs of a study on a cluster, and of no other. What was trained stays: "
        "`frostline submit` sends the runs again, and they go on from their last epoch. On this machine alone, ^C ends "
        "`frostline train --study` and `submit launcher=local`.",
        epilog="frostline cancel mine && frostline status mine",
    )
    cancel.add_argument("study", metavar="STUDY", help="in experiments/, or the folder of a study")
    cancel.set_defaults(command=run)


def run(args: argparse.Namespace) -> None:
    from frostline.launch import arrays, slurm
    from frostline.studies.pipeline import study_called

    study = study_called(args.study)
    with arrays.locked(study.runs):
        count = arrays.cancel(study.runs, slurm.queue()) if arrays.folders(study.runs) else 0
    print(f"{study.name}: {count} {'run' if count == 1 else 'runs'} cancelled.")
