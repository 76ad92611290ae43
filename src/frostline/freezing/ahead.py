"""What is kept on the way to the frost line for the lower lines that a schedule comes to later."""

import sys
from itertools import chain

import pytorch_lightning as pl

from frostline.freezing.below import row_bytes
from frostline.freezing.frosted import Frosted
from frostline.freezing.schedule import lines_ahead
from frostline.loading.module import SceneDataModule
from frostline.shares import told_by_first
from frostline.store.room import CacheError, taken
from frostline.store.rows import Entry, Store

Place = tuple[str, int, str]  # split, view, and the array's name


class Ahead:
    """The arrays that lower lines will read, as far as there is room beside what the present line reads.

    arrays: name -> the epochs, from 0, that read it. held: their entries, which nobody evicts until they are read.
    """

    def __init__(self, model: Frosted, store: Store, data: SceneDataModule) -> None:
        self.model, self.store, self.data = model, store, data
        self.arrays: dict[str, list[int]] = {}
        self.held: dict[Place, Entry] = {}
        self._told = False  # that there is no room for all of them

    def look(self, trainer: pl.Trainer, depth: int) -> None:
        """Settle what is kept while the line stands at this depth, and let go of what no line will read any more."""
        own = set(self.model.activations(depth) or [])
        self.arrays = {}
        for line, epochs in self._affordable(trainer, depth).items():
            for name in self.model.activations(line) or []:
                if name not in own:
                    self.arrays.setdefault(name, []).extend(epochs)
        for place in [place for place in self.held if place[2] not in {*own, *self.arrays}]:
            self.held.pop(place).close()

    def wanted(self, split: str, view: int) -> list[str]:
        """Those that some epoch reads of this split and view."""
        views = self.data.views
        return [
            name
            for name, epochs in self.arrays.items()
            if split == "val" or (views is not None and any(epoch % views == view for epoch in epochs))
        ]

    def let_go(self) -> None:
        """Of all; nothing more is kept ahead while this line stands."""
        for entry in self.held.values():
            entry.close()
        self.held, self.arrays = {}, {}

    def _affordable(self, trainer: pl.Trainer, depth: int) -> dict[int, list[int]]:
        """Of the lower lines to come, the next ones, as many as there is room for in all views of both splits."""
        lines = lines_ahead(self.model.schedule, trainer.current_epoch)
        names = {line: self.model.activations(line) or [] for line in (depth, *lines)}
        every = list(dict.fromkeys(chain(*names.values())))
        if not names[depth] or len(every) == len(names[depth]):
            return {}
        scenes, side = [len(self.data.items(split)) for split in ("train", "val")], self.data.image_size
        rows = scenes[0] * (self.data.views or 0) + scenes[1]
        decoded = sum(scenes) * 4 * side**2  # pictures and masks, which may be none yet
        sizes = row_bytes(trainer, self.model, every, side)
        room = told_by_first(self._room())
        known = set(names[depth])
        chosen: dict[int, list[int]] = {}
        for line, epochs in lines.items():
            known |= set(names[line])
            if (size := decoded + rows * sum(sizes[name] for name in known)) > room:
                if room and not self._told and trainer.is_global_zero:
                    group = list(self.model.groups)[line]
                    print(
                        f"frostline: what lies below {group} is computed when the line comes there, not on the way: "
                        f"to keep it from now on takes {size / 1e9:.3g} GB, and the cache has room for "
                        f"{room / 1e9:.3g} (cache.size_gb).",
                        file=sys.stderr,
                        flush=True,
                    )
                self._told = True
                break
            chosen[line] = epochs
        return chosen

    def _room(self) -> int:
        """Bytes that the store can have for this run; 0 where it cannot be written, which is told where it fails."""
        try:
            self.store.root.mkdir(parents=True, exist_ok=True)
            return self.store.most(self.store.root) + sum(taken(entry.folder) for entry in self.held.values())
        except (CacheError, OSError):
            return 0
