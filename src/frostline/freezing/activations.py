"""The callback that reads activations at the frost line from the cache, and fills it where it has none.

While the line stands still, what lies below it gives the same for the same picture: so the batches of pictures that
come again (validation, and training on a fixed number of views) hold activations in place of the picture. What was
annotated is kept beside them, as it moves with the picture.
"""

import hashlib
import platform
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache, reduce
from importlib.metadata import version
from typing import Any, cast

import cv2
import numpy as np
import PIL
import pytorch_lightning as pl
import timm
import torch
import torchvision
from torch import Tensor, nn
from tqdm import tqdm

from frostline.code import ACTIVATIONS, code_hash
from frostline.freezing.ahead import Ahead
from frostline.freezing.below import computed
from frostline.freezing.frosted import Frosted
from frostline.freezing.schedule import depth_of
from frostline.loading.batch import Activations, Batch, Keys, Shortcut, pack, packed_names, unpack
from frostline.loading.module import SceneDataModule, SceneLoader
from frostline.models.backbone import Backbone
from frostline.shares import rank_of_world, told_by_all, told_by_first, whole
from frostline.store.room import CacheError
from frostline.store.rows import Entry, Store

PROBED = 2  # rows that are computed again when a filled entry is opened, to see that they are still right
TOLERANCE = 0.05  # of a row's norm; other weights, pictures or views are off by far more, mixed precision by less


class CacheBelow(pl.Callback):
    """Computes what lies below the frost line once per (weights, line, dataset, view).

    model: of the module that is trained. store: where it is kept. data: whose batches are to be shortened. recipe:
    what decides how training pictures are augmented and mixed, JSON-able. Must come after `FrostLine` in the list of
    callbacks. Logs `cache_filled`, the scenes that an epoch had to compute. Where the store fails, the run goes on
    without it, and says so once.

    On the way to the line lie those lower ones that the schedule comes to later: what it will read there is kept in the
    same pass, as far as there is room.
    """

    def __init__(self, model: Frosted, store: Store, data: SceneDataModule, recipe: Mapping[str, Any]) -> None:
        self.model = model
        self.store, self.data, self.recipe = store, data, recipe
        self._depth: int | None = None  # of the line that the open arrays lie at
        self._open: dict[tuple[str, int], _Reader] = {}
        self._ahead = Ahead(model, store, data)
        self._filled = 0
        self._failed = False

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        depth = depth_of(self.model.state_at(trainer.current_epoch))
        if depth != self._depth:  # while it stays, nothing below it has moved
            self._close_readers()
            self._depth = depth
            if depth and not self._failed:
                self._ahead.look(trainer, depth)
            else:
                self._ahead.let_go()
        self._filled = 0
        views = self.data.views
        shortcut = None if views is None else self._reader(trainer, "train", trainer.current_epoch % views)
        cast(SceneLoader, trainer.train_dataloader).shortcut = shortcut

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._depth is not None:  # None: a validation without training
            loader = cast(SceneLoader, trainer.val_dataloaders)
            loader.shortcut = self._reader(trainer, "val", 0)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.log("cache_filled", float(self._filled))

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # What the best epoch has below the line that is never crossed, other seeds and runs have, too.
        lowest = min(depth_of(self.model.state_at(epoch)) for epoch in range(self.model.planned.epochs))
        cast(SceneLoader, trainer.test_dataloaders).shortcut = self.shortcut(trainer, "test", 0, lowest)

    def shortcut(self, trainer: pl.Trainer, split: str, view: int, depth: int) -> Shortcut | None:
        """What gives the batches of a split without the lowest `depth` groups, filled wholly; None where nothing is
        kept. It is good until `close`, or until another depth is asked for. trainer: which tells precision and device,
        and need train nothing."""
        if depth != self._depth:
            self.close()
            self._depth = depth
        return self._reader(trainer, split, view)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self.close()

    def close(self) -> None:
        """Let the store make room of what was read."""
        self._close_readers()
        self._ahead.let_go()
        self._depth = None

    def _close_readers(self) -> None:
        for reader in self._open.values():
            reader.close()
        self._open = {}

    def _reader(self, trainer: pl.Trainer, split: str, view: int) -> "_Reader | None":
        assert self._depth is not None
        depth = self._depth
        names = self.model.activations(depth) if depth else None
        if self._failed or not names:
            return None
        if (split, view) not in self._open:
            reader = self._open[split, view] = _Reader(self.data, split, view, depth)
            keys = self._keys(trainer, [*names, *self._ahead.wanted(split, view)], split, view)
            steps = (
                lambda: self._open_entries(reader, keys),
                lambda: reader.probe(trainer, self.model),
                lambda: reader.fill(trainer, self.model),
            )
            for step in steps:
                error = _failing(step)
                if error and self._ahead.arrays:  # what is read now comes first
                    reader.ahead = {}
                    self._ahead.let_go()
                    error = _failing(step)
                if error:
                    self._failed = True
                    self.close()  # none is read any more, and the store may need their room
                    self._depth = depth
                    if trainer.is_global_zero:
                        print(f"frostline: {error} This run goes on without the cache.", file=sys.stderr, flush=True)
                    return None
            self._filled += reader.filled
        return self._open[split, view]

    def _open_entries(self, reader: "_Reader", keys: Mapping[str, Mapping[str, Any]]) -> None:
        """Hold the array of each key. Raises CacheError where the store fails."""
        read = [*reader.annotations, *(self.model.activations(reader.depth) or [])]
        for name in [*read, *(name for name in keys if name in self._ahead.arrays)]:
            if name in reader.entries:  # before something else failed
                continue
            place = (reader.split, reader.view, name)
            entry = self._ahead.held.pop(place, None) or self.store.open(keys[name], len(reader.scenes))
            if name in self._ahead.arrays:
                self._ahead.held[place] = reader.ahead[name] = entry
            else:
                reader.entries[name] = entry

    def _keys(self, trainer: pl.Trainer, names: Sequence[str], split: str, view: int) -> dict[str, dict[str, Any]]:
        """Of each array, all that decides what is in it."""
        data = self.data
        augmented = split == "train" and (data.augment is not None or data.mix is not None)
        scenes: dict[str, Any] = {
            "code": code_hash(*ACTIVATIONS),
            "data": data.dataset.data_hash,
            "split": split,
            "image_size": data.image_size,
            "fit": data.fit,
            "augment": dict(self.recipe) if augmented else None,
            "view": view,
            "libraries": [library.__version__ for library in (torch, torchvision, timm, PIL, cv2)],
        }
        if augmented and data.mix is not None:
            # What a scene is mixed with depends on which others serve the task.
            scenes["mixed_for"] = sorted(data.needs)
        model = {
            "precision": str(trainer.precision),
            "processor": _processor(self.model.device),
            "threads": torch.get_num_threads(),
            "folded": self.model.folding,
            "by": _computing(self.model),
        }
        annotations = {
            name: {**scenes, "annotation": name, "needs": sorted(data.needs)} for name in packed_names(data.needs)
        }
        weights = _weights(self.model.backbone, names)
        return annotations | {name: {**scenes, **model, "activation": name, "weights": weights[name]} for name in names}


class _Reader:
    """The arrays of one split and view; called with the keys of a batch, it gives the batch without its pictures."""

    def __init__(self, data: SceneDataModule, split: str, view: int, depth: int) -> None:
        self.data, self.split, self.view, self.depth = data, split, view, depth
        self.items = data.items(split)
        self.size = self.items[0, view]["image"].shape[-1]  # augmentation may cut smaller squares out
        self.rows = self.items.indices
        self.annotations = packed_names(data.needs)
        self.scenes = data.dataset.scenes(split)
        self.most_boxes = int(self.scenes.box_counts.max(initial=0))
        if self.items.mix is not None:
            self.most_boxes *= self.items.mix.scenes
        self.entries: dict[str, Entry] = {}  # what is read; let go of by `close`
        self.ahead: dict[str, Entry] = {}  # what is only written, and lies on the way
        self.filled = 0  # scenes of which an activation was computed

    def __call__(self, keys: Keys) -> Activations:
        positions = [position for position, _ in keys]
        rows = self.rows[positions]
        found = {name: entry.read(rows) for name, entry in self.entries.items()}
        annotations = {name: found.pop(name) for name in self.annotations}
        native = [self.items.native(position) for position in positions]
        batch: Activations = {
            "activations": found,
            "depth": self.depth,
            "size": self.size,
            "index": torch.from_numpy(rows),
            "id": [self.items.scenes.id(position) for position in positions],
        }
        more = unpack(annotations) | {key: [one[key] for one in native] for key in native[0]}
        return cast(Activations, batch | more)

    def fill(self, trainer: pl.Trainer, model: Frosted) -> None:
        """Compute what is not there yet."""
        if rank_of_world()[1] > 1:
            self._fill_share(trainer, model)
        elif len(self._missing()):
            with self._filling():
                missing, lacking = self._lacking()  # meanwhile another process may have filled
                for batch in self._batches(missing, model):
                    self._write(batch["index"].numpy(), self._compute(trainer, model, batch, lacking))

    def _fill_share(self, trainer: pl.Trainer, model: Frosted) -> None:
        """As one of several processes, each of which computes some of the batches. Who else fills, as another run, may
        compute the same."""
        missing, lacking = told_by_first(self._lacking())
        rank, count = rank_of_world()
        failed: CacheError | None = None
        for batch in self._batches(missing, model, rank, count):
            found = self._compute(trainer, model, batch, lacking)
            if failed is None:
                try:
                    with self._filling():
                        self._write(batch["index"].numpy(), found)
                except CacheError as error:
                    failed = error  # and go on to compute, as the others may wait for this one's part of the network
        told_by_all(None)  # all have written
        if failed is not None:
            raise failed
        for entry in (*self.entries.values(), *self.ahead.values()):
            entry.look_again()

    def _batches(self, missing: np.ndarray, model: Frosted, rank: int = 0, count: int = 1) -> Iterator[Batch]:
        """Of the scenes at these positions; of `count` processes each has its own."""
        if not len(missing):
            return
        loader = self.data.loader_of(self.split, [(int(place), self.view) for place in missing], rank, count)
        title = f"keeping what lies below {list(model.groups)[self.depth]} ({self.split}, view {self.view})"
        hidden = rank > 0 or not sys.stderr.isatty()
        yield from tqdm(loader, desc=title, unit="batch", leave=False, disable=hidden)

    @contextmanager
    def _filling(self) -> Iterator[None]:
        with ExitStack() as stack:
            # In one order everywhere, so that no two processes wait for each other.
            for entry in sorted([*self.entries.values(), *self.ahead.values()], key=lambda entry: entry.folder):
                stack.enter_context(entry.filling())
            yield

    def _write(self, rows: np.ndarray, found: Mapping[str, Tensor]) -> None:
        for name in self.entries.keys() & found.keys():
            self.entries[name].write(rows, found[name])
        for name in self.ahead.keys() & found.keys():  # where there is room left
            try:
                self.ahead[name].write(rows, found[name])
            except CacheError:  # what it still lacks is computed when the line is there
                del self.ahead[name]

    def _lacking(self) -> tuple[np.ndarray, list[str]]:
        """Positions of scenes that are to be computed, and which of the arrays lack some."""
        missing = self._missing()
        lacking = [name for name, entry in self.entries.items() if not entry.present[self.rows].all()]
        if len(missing) == 1 and len(self.rows) > 1:  # a batch of one would give other last bits
            missing = np.append(missing, (missing + 1) % len(self.rows))
        self.filled = 0 if set(lacking) <= set(self.annotations) else len(missing)
        return missing, [*lacking, *self.ahead] if self.filled else lacking

    def close(self) -> None:
        for entry in self.entries.values():
            entry.close()

    def _missing(self) -> np.ndarray:
        """Positions of the scenes that some array lacks."""
        present = np.logical_and.reduce([entry.present[self.rows] for entry in self.entries.values()])
        return np.flatnonzero(~present)

    def _compute(self, trainer: pl.Trainer, model: Frosted, batch: Batch, names: Collection[str]) -> dict[str, Tensor]:
        """Of these arrays, the rows of a batch. Where another task kept the activations, only annotations are new."""
        activations = [name for name in names if name not in self.annotations]
        found = {name: values for name, values in pack(batch, self.most_boxes).items() if name in names}
        if activations:
            assert "image" in batch
            found |= computed(trainer, model, batch["image"], activations)
        return found

    def probe(self, trainer: pl.Trainer, model: Frosted) -> None:
        """A few of the rows that are there computed again: guards against whatever the keys of the arrays might not
        tell.

        Such as a transform that draws by what is annotated: the same view is then another one for another task.
        Raises CacheError where they differ.
        """
        present = np.setdiff1d(np.arange(len(self.rows)), self._missing())
        present = reduce(np.intersect1d, told_by_all(present))  # of all processes alike, whoever else fills meanwhile
        if not len(present):
            return
        chosen = present[np.linspace(0, len(present) - 1, min(PROBED, len(present))).astype(int)]
        for batch in self.data.loader_of(self.split, [(int(position), self.view) for position in chosen]):
            for name, values in self._compute(trainer, model, batch, self.entries).items():
                kept = self.entries[name].read(batch["index"].numpy())
                if kept.dtype != values.dtype or not _close(kept, values, 0 if name in self.annotations else TOLERANCE):
                    raise CacheError(
                        f"The cache entry {self.entries[name].folder} holds other values for '{name}' than this run "
                        "computes: remove it with `frostline cache clear`."
                    )


def _failing(step: Callable[[], None]) -> str:
    """Do it in all processes of the run, and say what one of them failed by: then all go on without."""
    said = ""
    try:
        step()
    except CacheError as error:
        said = str(error)
    return next(filter(None, told_by_all(said)), "")


def _close(kept: Tensor, values: Tensor, tolerance: float) -> bool:
    """Whether each row differs by at most this share of its norm."""
    if not tolerance:
        return torch.equal(kept, values)
    kept, values = kept.double().flatten(1), values.double().flatten(1)
    return bool(((kept - values).norm(dim=1) <= tolerance * kept.norm(dim=1)).all())


def _weights(backbone: Backbone, names: Sequence[str]) -> dict[str, str]:
    """For each of these activations, one text that stands for all that it is computed with."""
    statistics = [cast(Tensor, b).flatten().tolist() for b in (backbone.mean, backbone.std)]
    digest = cache(_digest)  # a module lies below several activations
    joined = {name: " ".join(map(digest, backbone.modules_below(name))) for name in names}
    return {
        name: f"{backbone.name} {statistics} {hashlib.sha256(digests.encode()).hexdigest()}"
        for name, digests in joined.items()
    }


def _digest(module: nn.Module) -> str:
    """One hash over what a module is and holds, without buffers that a saved model leaves out: some are filled by the
    first picture (convit's), so that another process, or this one later, would never meet what was kept."""
    # FSDP has classes of its own, which say and compute the same.
    digest = hashlib.sha256(str(module).replace("FSDP", "").encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(whole(tensor.detach()).cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _computing(model: Frosted) -> str:
    """What computes below the line, with its version; torch's stands among the libraries."""
    by_torch = model.below_by == "torch" or not model.folding or not model.backbone.pieces(1)
    return "torch" if by_torch else f"{model.below_by} {version(model.below_by)}"


def _processor(device: torch.device) -> str:
    """What decides the last bits of a result, beside its inputs."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()} {device.type}"
