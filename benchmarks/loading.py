"""Feeding a task: pictures from the mapped cache, against torchvision's ImageFolder, PIL and transforms v2."""

import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.row import Row

SIZE, BATCH, WORKERS = 224, 32, 2
SCENES, SIDE = 960, 320  # pictures, and their side in pixels
EPOCHS = 5  # timed on each side, in turn
CAMERA = 1.5e6  # pixels of a photograph as a camera has it


def loading() -> list[Row]:
    """An epoch of flipped, turned, zoomed, sheared, shifted and recoloured pictures; both sides read the same JPEGs."""
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    from frostline.checking.prepare import prepare_from_config
    from frostline.config import compose
    from frostline.loading.module import SceneDataModule
    from frostline.loading.transforms import RandomColour, RandomGeometry
    from frostline.store.rows import Store

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        _photographs(place / "pictures")
        config = compose(["dataset=folder", f"dataset.root={place / 'pictures'}"])
        config["dataset"]["split"] |= {"train": 0.98, "val": 0.01, "test": 0.01}
        dataset = prepare_from_config(config["dataset"], place / "dataset")

        import torch

        torch.manual_seed(0)
        steps = [
            v2.Resize((SIZE, SIZE)),
            v2.RandomHorizontalFlip(),
            v2.RandomAffine(15, translate=(0.1, 0.1), scale=(0.8, 1.25), shear=10),
            v2.ColorJitter(0.2, 0.2, 0.2, 0.02),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
        ]

        def other() -> Iterable[Any]:
            pictures = ImageFolder(str(place / "pictures"), v2.Compose(steps))
            return DataLoader(pictures, BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True)

        def ours(store: Store) -> Iterable[Any]:
            augment = v2.Compose(
                [
                    RandomColour(brightness=0.1, contrast=0.2, saturation=0.2, hue=0.02),
                    RandomGeometry(flip=0.5, rotate=15, shift=0.1, zoom=(0.8, 1.25), shear=10),
                ]
            )
            data = SceneDataModule(dataset, {"label"}, SIZE, BATCH, augment=augment, workers=WORKERS, store=store)
            return data.train_dataloader()

        firsts = [(_rate(ours(Store(place / f"cache{n}", 10**10))), _rate(other())) for n in range(3)]
        mine, theirs = ours(Store(place / "cache0", 10**10)), other()
        _rate(mine), _rate(theirs)  # workers start, pages come in
        later = [(_rate(mine), _rate(theirs)) for _ in range(EPOCHS)]
    rows = []
    for name, what, pairs, bar in (
        ("loading", "an epoch of augmented pictures at 224 px from the cache, times the pictures/s of", later, ">= 4"),
        ("loading_first", "the first epoch, in which the cache is filled, times the pictures/s of", firsts, ">= 1"),
    ):
        ratio = statistics.median(one / two for one, two in pairs)
        one, two = (statistics.median(side) for side in zip(*pairs, strict=True))
        what += f" ImageFolder, PIL and v2; {WORKERS} workers each"
        rows.append(Row(name, what, ratio, bar, f"{one:.0f} pictures/s", f"{two:.0f} pictures/s"))
    return rows


def first_epoch() -> list[Row]:
    """An epoch in which nothing is at hand yet: of pictures that are stored encoded, against files and torchvision.

    Photographs of pets, enlarged to what a camera gives, and as they are published (0.2 megapixels); both sides resize
    to the square and flip, by the same transform.
    """
    from benchmarks.quality import PHOTOGRAPHS

    rows = []
    for name, pixels, bar in (("first_epoch", CAMERA, ">= 2"), ("first_epoch_small", None, ">= 1")):
        with tempfile.TemporaryDirectory() as folder:
            sizes = _pets(PHOTOGRAPHS / "pets3" / "images", Path(folder) / "pictures", pixels)
            pairs = _first_epochs(Path(folder))
        ratio = statistics.median(one / two for one, two in pairs)
        one, two = (statistics.median(side) for side in zip(*pairs, strict=True))
        what = f"the first epoch at {SIZE} px from pictures stored encoded, times the pictures/s of ImageFolder with "
        what += f"torchvision's decoding; {len(sizes)} photographs of {statistics.mean(sizes) / 1e6:.1f} MP, "
        what += f"{WORKERS} workers each"
        rows.append(Row(name, what, ratio, bar, f"{one:.0f} pictures/s", f"{two:.0f} pictures/s"))
    return rows


def encoded() -> list[Row]:
    """Squares of photographs that are kept as lossless WebP, against decoding their files each time, in CPU time."""
    from benchmarks.quality import PHOTOGRAPHS
    from frostline.checking.prepare import prepare_from_config
    from frostline.config import compose
    from frostline.loading.decoded import Decoded
    from frostline.store.rows import Store

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        sizes = _pets(PHOTOGRAPHS / "pets3" / "images", place / "pictures", None)
        config = compose(["dataset=folder", f"dataset.root={place / 'pictures'}"])
        dataset = prepare_from_config(config["dataset"], place / "dataset")
        rows = range(len(dataset.scenes("train")))
        pixels = len(rows) * 3 * SIZE**2
        kept = Decoded("picture", dataset, "train", rows, SIZE, "stretch", Store(place / "cache", int(0.7 * pixels)))
        files = Decoded("picture", dataset, "train", rows, SIZE, "stretch", None)
        kept.open()

        def seconds(squares: Decoded) -> float:
            since = time.process_time()
            for row in rows:
                squares[row]
            return time.process_time() - since

        seconds(kept), seconds(files)
        pairs = [(seconds(kept), seconds(files)) for _ in range(EPOCHS)]
        (usage,) = Store(place / "cache", 10**10).usage()
    assert "encoded" in usage.key
    one, two = (statistics.median(side) / len(rows) * 1e6 for side in zip(*pairs, strict=True))
    what = f"reading a square of {SIZE} px that is kept as lossless WebP, times the CPU time of decoding its file; "
    what += (
        f"{len(rows)} photographs of {statistics.mean(sizes) / 1e6:.2f} MP, in {usage.size / pixels:.2f} of the bytes"
    )
    return [Row("encoded", what, one / two, "<= 0.5", f"{one:.0f} us", f"{two:.0f} us")]


def memory() -> list[Row]:
    """Resident memory of a process that trains from 5 GB of decoded pictures, mapped pages and libraries included."""
    scenes = -(-5 * 10**9 // (3 * SIZE * SIZE))
    with tempfile.TemporaryDirectory() as folder:
        _one_picture_many_times(Path(folder), scenes)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            peak, model, size = pool.apply(_train_and_watch, (folder,))
    what = "resident at most while training from a cache of decoded pictures, beyond the model, GB"
    ours = f"{peak / 1e9:.2f} GB, of which the model {model / 1e6:.1f} MB; the cache {size / 1e9:.2f} GB"
    return [Row("memory", what, (peak - model) / 1e9, "<= 1.5", ours)]


def _first_epochs(place: Path) -> list[tuple[float, float]]:
    """Pictures/s of both sides, in turn, each time with new workers and an empty cache."""
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.io import ImageReadMode, decode_image
    from torchvision.transforms import v2

    from frostline.checking.prepare import prepare_from_config
    from frostline.config import compose
    from frostline.loading.module import SceneDataModule
    from frostline.store.rows import Store

    overrides = ["dataset=folder", f"dataset.root={place / 'pictures'}", f"image_size={SIZE}", "dataset.store=encoded"]
    overrides += ["dataset.split.train=0.98", "dataset.split.val=0.01", "dataset.split.test=0.01"]
    dataset = prepare_from_config(compose(overrides)["dataset"], place / "dataset")
    flip = v2.RandomHorizontalFlip()

    def ours(number: int) -> Iterable[Any]:
        store = Store(place / f"cache{number}", 10**10)
        data = SceneDataModule(dataset, {"label"}, SIZE, BATCH, augment=flip, workers=WORKERS, store=store)
        return data.train_dataloader()

    def other() -> Iterable[Any]:
        steps = v2.Compose([v2.Resize((SIZE, SIZE)), flip])
        pictures = ImageFolder(
            str(place / "pictures"), steps, loader=lambda path: decode_image(path, ImageReadMode.RGB)
        )
        return DataLoader(pictures, BATCH, shuffle=True, num_workers=WORKERS)

    _rate(ours(0)), _rate(other())  # files come in from the disk
    return [(_rate(ours(number)), _rate(other())) for number in range(1, EPOCHS + 1)]


def _pets(source: Path, folder: Path, pixels: float | None) -> list[int]:
    """JPEGs of pets, a folder for each breed, enlarged to so many pixels; returns how many each has."""
    sizes = []
    for path in sorted(source.glob("*.jpg")):
        with Image.open(path) as image:
            if image.format != "JPEG" or image.mode != "RGB":
                continue
            to = folder / path.stem.rpartition("_")[0] / path.name
            to.parent.mkdir(parents=True, exist_ok=True)
            if pixels is None:
                sizes.append(image.width * image.height)
                to.write_bytes(path.read_bytes())
                continue
            scale = (pixels / (image.width * image.height)) ** 0.5
            large = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
        sizes.append(large.width * large.height)
        large.save(to, quality=90)
    return sizes


def _rate(loader: Iterable[Any]) -> float:
    """Pictures per second over an epoch."""
    start, count = time.perf_counter(), 0
    for batch in loader:
        if isinstance(batch, dict):
            batch["image"] = batch["image"].float().div_(255)  # as our models do it for themselves
        elif not batch[0].is_floating_point():
            batch[0] = batch[0].float().div_(255)
        count += len(batch["id"] if isinstance(batch, dict) else batch[1])
    return count / (time.perf_counter() - start)


def _photographs(folder: Path) -> None:
    """Meadow's pictures as JPEGs, a folder for each class."""
    from frostline.meadow.source import Meadow

    source = Meadow(seed=0, size=SIDE, train=SCENES, val=1, test=1)
    for scene in source.scenes():
        assert source.classes.labels is not None and scene.label is not None and isinstance(scene.image, np.ndarray)
        path = folder / source.classes.labels[scene.label] / f"{scene.id}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene.image).save(path, quality=92)


def _one_picture_many_times(folder: Path, scenes: int) -> None:
    """A dataset whose training scenes all show one file: the cache does not know, and the disk need not hold them."""
    from frostline.checking.prepare import prepare_from_config
    from frostline.config import compose

    settings = ["dataset.source.train=8", "dataset.source.val=8", "dataset.source.test=8"]
    prepare_from_config(compose(settings)["dataset"], folder / "dataset")
    train = folder / "dataset" / "train.json"
    coco = json.loads(train.read_text())
    first = coco["images"][0] | {"boxes_annotated": False, "mask": None}
    coco["images"] = [first | {"id": n, "scene": f"s{n}", "label": n % 2} for n in range(1, scenes + 1)]
    coco["annotations"] = []
    train.write_text(json.dumps(coco))


def _train_and_watch(folder: str) -> tuple[int, int, int]:
    """Bytes resident at most, bytes of the model, bytes of the cache; the model is as small as one can be."""
    import psutil
    import pytorch_lightning as pl
    import torch
    from torch.nn import functional as F

    from benchmarks.freezing import QUIET
    from frostline.loading.module import SceneDataModule
    from frostline.store.rows import Store

    class Tiny(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(3 * 8 * 8, 5)
            self.peak = 0

        def training_step(self, batch: Any, _: int) -> torch.Tensor:
            self.peak = max(self.peak, psutil.Process().memory_info().rss)
            return F.cross_entropy(
                self.linear(F.avg_pool2d(batch["image"] / 255, SIZE // 8).flatten(1)), batch["label"]
            )

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), 1e-3)

    store = Store(Path(folder) / "cache", 10**10)
    data = SceneDataModule(Path(folder) / "dataset", {"label"}, SIZE, BATCH, store=store)
    model = Tiny()
    pl.Trainer(max_epochs=1, **QUIET).fit(model, data)
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    return model.peak, size, max(entry.size for entry in store.usage())


MEASURES: dict[str, Callable[[], list[Row]]] = {
    "loading": loading,
    "first_epoch": first_epoch,
    "encoded": encoded,
    "memory": memory,
}
