"""`frostline doctor`: what is wrong with annotated pictures."""

import argparse
from pathlib import Path
from typing import Any

from frostline.cli.common import Commands, check_out, show, with_paths


def add(commands: Commands) -> None:
    doctor = commands.add_parser(
        "doctor",
        help="find and name what is wrong with annotated pictures",
        description="Check every picture and annotation of a dataset, and write nothing but the report. "
        "Exits with 1 where something would stop `prepare`.",
        epilog="frostline doctor PATH --html report.html",
    )
    doctor.add_argument(
        "what", nargs="+", metavar="PATH | KEY=VALUE", help="what is to be looked at, and settings as for prepare"
    )
    doctor.add_argument("--json", type=Path, metavar="FILE", help="every finding with its file and line")
    doctor.add_argument("--html", type=Path, metavar="FILE", help="a page with the offenders' pictures")
    doctor.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    from rich.markup import escape

    from frostline.checking.white import White
    from frostline.doctor.diagnosis import diagnose, summary, table, to_json
    from frostline.doctor.inventory import Inventory
    from frostline.doctor.page import to_html
    from frostline.scenes.faults import policies
    from frostline.scenes.layout import INFO
    from frostline.scenes.splits import Split
    from frostline.sources.base import Source
    from frostline.sources.configured import configured
    from frostline.sources.prepared import Prepared

    for option, file in (("--json", args.json), ("--html", args.html)):
        if file is not None:
            check_out(option, file, (), "a report")
    source: Source
    what = with_paths(args.what)
    if what != args.what and len(what) == 1 and (Path(args.what[0]) / INFO).is_file():
        source = Prepared(args.what[0])
        name, split, policy = source.dataset.name, Split(given=True), policies("fail", {})
        limits: dict[str, Any] = {}
    else:
        from frostline.config import compose

        source, config = configured(compose(what)["dataset"])
        name, split = config["name"], Split(**config.get("split", {}))
        policy = policies(config["on_fault"], config["faults"])
        limits = {key: config[key] for key in ("max_pixels", "duplicates") if key in config}
        limits["white"] = White(config.get("white"), config.get("root"))
    examined = diagnose(source, split, policy, name, **limits)

    there = Inventory.of(examined, source)
    show(*there.tables(), *(f"- {escape(note)}" for note in there.notes))
    if examined.findings:
        show(table(examined, name))
        if len(examined.findings) > 1 and not (args.html or args.json):
            print("All of them: --json report.json; with their pictures, some of each kind: --html report.html.")
    else:
        print(f"{name}: {summary(examined)}")
    for file, write in ((args.json, to_json), (args.html, to_html)):
        if file is not None:
            # Strangers' names may hold what UTF-8 cannot.
            file.write_text(write(examined, name, there), encoding="utf-8", errors="backslashreplace")
            print(file)
    return int(any(finding.policy == "fail" for finding in examined.findings))
