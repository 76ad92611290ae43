"""`frostline models`: what each backbone costs and takes."""

import argparse
import sys

from frostline.cli.common import Commands, show


def add(commands: Commands) -> None:
    models = commands.add_parser(
        "models",
        help="what each backbone costs, where its weights come from, and which tasks and heads take it",
        description="Parameters (without any classifier), multiply-adds of one picture of the backbone's own size (px; "
        "smaller ones cost less), strides of its feature maps, groups that a schedule can freeze (from the stem to the "
        "last stage), and where weights come from: timm fetches 'timm/…' and 'web' once, torchvision its own, and "
        "backbone.pretrained=false needs none. Below, the heads that it can feed: those of detection need maps at 1/8, "
        "1/16 and 1/32. What was found once is kept: for the files of conf/backbone/ with the timm that Frostline was "
        "locked with, and for any other in runs/; to find one takes some ten seconds.",
        epilog="frostline models resnet18 vit_small regnety_002   # files of conf/backbone/, and any names of timm's",
    )
    models.add_argument("names", nargs="*", metavar="NAME", help="only these; by default every file of conf/backbone/")
    models.set_defaults(command=run)


def run(args: argparse.Namespace) -> None:
    from frostline.runs.catalogue import keep, known, shipped, tables

    names = args.names or shipped()
    rows = known(names)
    if missing := [name for name, row in rows.items() if row is None]:
        from tqdm import tqdm

        from frostline.runs.anatomy import entry

        for name in tqdm(missing, unit="backbone", leave=False, disable=not sys.stderr.isatty()):
            rows[name] = row = entry(name)
            keep(row)
    show(*tables([row for row in rows.values() if row is not None]))
    if not args.names:
        print("Nearly any other feature extractor of timm: backbone=timm backbone.name=NAME (`frostline models NAME`)")
