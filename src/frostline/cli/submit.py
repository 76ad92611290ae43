"""`frostline submit`: a study's stale runs, to a cluster's queue or to this machine's cores and GPUs."""

import argparse

from frostline.cli.common import Commands

EPILOG = """\
conf/launcher/slurm.yaml has every key, with what is taken where nothing is said:
  frostline submit mine launcher.partition=gpu launcher.gpus=1 launcher.time=8:00:00
  frostline submit mine launcher.at_once=16 launcher.memory=16G launcher.options.qos=low
on this machine, as `frostline train --study` does it:
  frostline submit mine launcher=local
then:
  frostline status mine     what is queued, runs, waits, failed or is done; frostline cancel mine stops all
  dvc repro                 the only one to write results: it takes what is finished, and trains nothing
docs/cluster.md tells the rest.
"""


def add(commands: Commands) -> None:
    submit = commands.add_parser(
        "submit",
        help="send a study's stale runs to a cluster's queue, one element of a job array each",
        description="Each stale run of a planned and prepared study becomes an element of a SLURM job array. Given "
        "again, also after a kill, it sends what is missing: neither queued nor running nor finished.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    submit.add_argument("study", metavar="STUDY", help="in experiments/, or the folder of a study")
    submit.add_argument("overrides", nargs="*", metavar="launcher.KEY=VALUE", help="launcher=slurm is the default")
    submit.set_defaults(command=run)


def run(args: argparse.Namespace) -> None:
    from frostline.launch.launchers import Local, chosen
    from frostline.studies.pipeline import study_called

    launcher, study = chosen(args.overrides, "slurm"), study_called(args.study)
    if isinstance(launcher, Local):
        from functools import partial

        from frostline.launch.ahead import train_ahead
        from frostline.launch.local import WarmProcesses

        train_ahead(study, partial(WarmProcesses, most=launcher.at_once))
        return
    from frostline.launch.submission import submit

    done = submit(study, launcher)
    parts = [(done.alive, "queued or running"), (done.ahead, "finished ahead"), (done.fresh, "up to date")]
    rest = ", ".join(f"{number} {what}" for number, what in parts if number)
    if not done.sent:
        print(f"{study.name}: nothing to send ({rest}).")
    elif rest:
        print(f"{study.name}: not sent are {rest}.")
