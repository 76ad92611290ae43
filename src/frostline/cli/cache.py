"""`frostline cache`: what is kept, shown or cleared."""

import argparse

from frostline.cli.common import Commands, show


def add(commands: Commands) -> None:
    cache = commands.add_parser("cache", help="show or clear the kept pictures and activations (cache.folder)")
    cache.add_argument("action", choices=["show", "clear"], nargs="?", default="show")
    cache.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="such as cache.folder=PATH")
    cache.set_defaults(command=run)


def run(args: argparse.Namespace) -> None:
    from frostline.config import compose
    from frostline.store.nearby import cache_folder
    from frostline.store.rows import Store

    settings = compose(args.overrides)["cache"]
    folder = cache_folder(settings["folder"])
    store = Store(folder, int(settings["size_gb"] * 1e9))
    if args.action == "clear":
        removed, freed = store.clear()
        print(f"{removed} entries removed from {folder}, {freed / 1e9:.2f} GB freed")
        return
    from rich.table import Table

    table = Table("what", "of", "view", "scenes kept", "MB", "last used", "")
    entries = sorted(store.usage(), key=lambda entry: entry.used, reverse=True)
    for entry in entries:
        key = entry.key
        how = f" ({key['encoded']})" if "encoded" in key else ""
        table.add_row(
            str(key.get("activation") or key.get("annotation") or key.get("decoded")) + how,
            f"{key.get('split')} {key.get('image_size')} px, data {str(key.get('data'))[:8]}",
            str(key.get("view", "")),
            f"{entry.present} of {entry.rows}",
            f"{entry.size / 1e6:.1f}",
            f"{entry.used:%Y-%m-%d %H:%M}",
            "in use" if entry.held else "",
        )
    show(table)
    total = sum(entry.size for entry in entries)
    print(f"{total / 1e9:.2f} of {settings['size_gb']:g} GB in {folder}")
