"""`frostline preview`: what training will see, as one picture."""

import argparse
from pathlib import Path

from frostline.cli.common import Commands, add_overrides, check_out
from frostline.errors import FrostlineError


def add(commands: Commands) -> None:
    preview = commands.add_parser(
        "preview",
        help="draw a contact sheet of augmented scenes, with their boxes and masks",
        description="Write a picture of what training will see: scenes as they are, and their first views beside them.",
    )
    add_overrides(preview, "such as augment=strong task=detection")
    preview.add_argument("--out", type=Path, metavar="FILE", default=Path("preview.png"), help="by default preview.png")
    preview.add_argument("--scenes", type=int, default=6, metavar="N", help="rows (6)")
    preview.add_argument("--views", type=int, default=5, metavar="N", help="columns beside the plain picture (5)")
    preview.set_defaults(command=run)


def run(args: argparse.Namespace) -> None:
    from frostline.config import compose

    check_out("--out", args.out, (".png",), "the contact sheet")
    for name, number in (("scenes", args.scenes), ("views", args.views)):
        if not 1 <= number <= 40:
            raise FrostlineError(f"--{name} is {number}; it must lie between 1 and 40.")
    config = compose(args.overrides)
    from frostline.draw.png import save
    from frostline.draw.preview import contact_sheet
    from frostline.runs.alone import prepared
    from frostline.runs.build import build_data

    data = build_data(config, prepared(config))
    mix = config["augment"].get("mix")
    names = [config["dataset"]["name"], config["task"]["name"], f"augment={config['augment']['name']}"]
    names += [mix["_target_"].rpartition(".")[2]] if mix else []
    save(contact_sheet(data, args.scenes, args.views, ", ".join(names)), args.out)
    print(args.out)
