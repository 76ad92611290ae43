"""`frostline status`: where each run of a study stands."""

import argparse
import sys
from collections import Counter

from frostline.cli.common import Commands
from frostline.errors import FrostlineError

STATES = """\
  queued      in the queue, with what it waits for
  running     its epoch, its quality so far, and the time that it will take
  waiting     stopped before its time limit or for others, and requeued: it goes on from its last epoch
  failed      with its reason; `frostline submit` sends it again, and it goes on
  cancelled   by `frostline cancel`, or by hand
  done        trained; those that say so are still to be taken over by `dvc repro`
  stale       it has results, of other code than today's; `frostline submit` sends it again
  not begun   none of these
"""


def add(commands: Commands) -> None:
    status = commands.add_parser(
        "status",
        help="where each run of a study stands: queued, running, waiting, failed, done",
        description="A line a run, by its results, by the queue and by what the run itself wrote down "
        "(runs/STUDY/cells/), of those on a cluster and on this machine.",
        epilog=f"states:\n{STATES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    status.add_argument("study", metavar="STUDY", help="in experiments/, or the folder of a study")
    status.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    from frostline.launch.arrays import where
    from frostline.launch.standing import current_plans_of, sent_of, standings
    from frostline.studies.pipeline import study_called

    study = study_called(args.study)
    plans = current_plans_of(study)
    try:
        sent = sent_of(study)
    except FrostlineError as error:
        print(f"frostline: {error} What follows is what the runs themselves wrote.", file=sys.stderr)
        sent = where(study.runs, [])
    found = standings(study, plans, sent)
    width = max(len(each.run) for each in found)
    for each in found:
        print(f"{each.run:<{width}}  {each.state:<9}  {each.told}".rstrip())
    count = Counter(each.state for each in found)
    print(f"{study.name}: {', '.join(f'{number} {state}' for state, number in count.items())}")
    return 1 if count["failed"] else 0
