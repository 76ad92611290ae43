"""`frostline schedule`: the freezing schedules, and one at a glance."""

import argparse
from pathlib import Path

from frostline.cli.common import Commands, check_out, show

CLASSES = 5  # of the head that `schedule show` builds; they change nothing but its size


def add(commands: Commands) -> None:
    schedule = commands.add_parser("schedule", help="list the freezing schedules, or show one at a glance")
    verbs = schedule.add_subparsers(title="commands", required=True, metavar="COMMAND")
    listed = verbs.add_parser("list", help="each schedule, and when to use it")
    listed.set_defaults(command=run_list)
    glance = verbs.add_parser(
        "show",
        help="the phases of a schedule on a backbone, its learning rates by epoch, and a picture",
        description="Phases, trainable share and learning rates of a schedule, for a backbone, a task and a budget.",
        epilog="frostline schedule show gradual backbone=timm backbone.name=resnet18 backbone.pretrained=false "
        "trainer.epochs=20 --out gradual.svg",
    )
    glance.add_argument("name", help="a file in conf/schedule/, without its suffix")
    glance.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="backbone, task, trainer.epochs, rate, …")
    glance.add_argument("--out", type=Path, metavar="FILE", help="draw it too, as .png or .svg")
    glance.add_argument("--parameters", action="store_true", help="what each phase says of every single parameter")
    glance.set_defaults(command=run_show)


def run_list(args: argparse.Namespace) -> None:
    from rich.table import Table

    from frostline.config import conf_dir

    table = Table("schedule", "what it is", show_lines=True)
    for path in sorted((conf_dir() / "schedule").glob("*.yaml")):
        head = [line.removeprefix("#").strip() for line in path.read_text().splitlines() if line.startswith("#")]
        table.add_row(path.stem, " ".join(head))
    show(table)


def run_show(args: argparse.Namespace) -> None:
    from frostline.config import compose
    from frostline.runs.preflight import check_parts

    if args.out is not None:
        check_out("--out", args.out, (".png", ".svg"), "a picture of a schedule")
    config = compose([f"schedule={args.name}", *args.overrides])
    check_parts(config)
    from frostline.freezing.rates import base_rates
    from frostline.freezing.tables import parameters_table, phases_table, rates_table
    from frostline.runs.build import build_task

    task = build_task(config, tuple(f"class {i}" for i in range(CLASSES)))
    if args.parameters:
        show(parameters_table(task.model))
        return
    base = base_rates(task.rate, task.make_optimizer, task.model.planned.epochs)
    print(f"{args.name} for {config['task']['name']} on {task.model.backbone.name}, {CLASSES} classes:")
    show(phases_table(task.model))
    print("Learning rate in the middle of each epoch; a dot is frozen:")
    show(rates_table(task.model, base))
    if args.out is not None:
        from frostline.draw.schedule import write_picture

        write_picture(task.model, base, args.out)
        print(f"drawn: {args.out}")
