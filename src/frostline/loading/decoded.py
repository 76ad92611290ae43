"""Pictures and masks at the size of training: decoded once and kept, as pixels as long as there is room for them, and
encoded beyond; or decoded anew each time where not even these can be kept."""

import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from frostline.code import SQUARES, code_hash
from frostline.loading import encoded
from frostline.loading.batch import stack_pictures
from frostline.parallel import in_threads
from frostline.pictures.fit import square
from frostline.pictures.masks import read_mask
from frostline.pictures.preprocessing import Preprocessing
from frostline.pictures.reading import MAX_PIXELS
from frostline.pictures.stored import stored_picture
from frostline.scenes.dataset import Dataset
from frostline.scenes.scene import VOID, Scene
from frostline.shares import rank_of_world
from frostline.store.form import LENGTH
from frostline.store.room import CacheError, blocks, on_disk, taken
from frostline.store.rows import MARGIN, Entry, Store

AT_ONCE = 64  # decoded before they are written
ENCODED = {"encoded": encoded.NAME}  # in the key of squares that are kept so
MEASURED = 64  # squares that are encoded to learn how much room all of them will take
# Files must have so many times the pixels of a square: from there on an encoded one is read in two thirds of their time
# and less (a quarter at 5 times), and at 1 in three quarters of it.
PAYS = 1.5


class Decoded:
    """The pictures, or the masks, of one split's scenes; a row is the scene's index in the split.

    what: "picture" or "mask". rows: those that will be asked for. fit: one of FITS. store: where they are kept; None:
    nowhere. What is kept is memory-mapped, and shared by the runs, tasks and worker processes that see the same dataset
    at the same size.
    """

    def __init__(
        self,
        what: str,
        dataset: Dataset,
        split: str,
        rows: Sequence[int] | np.ndarray,
        size: int,
        fit: str,
        store: Store | None,
    ) -> None:
        self.what, self.split, self.rows = what, split, np.array(rows, np.int64)
        self.size, self.fit = size, fit
        self.scenes = dataset.scenes(split)
        self.key = {
            "decoded": what,
            "code": code_hash(*SQUARES),
            "data": dataset.data_hash,
            "split": split,
            "image_size": size,
            "fit": fit,
            "libraries": [PIL.__version__],
        }
        self._side = dataset.info.get("side")
        self._store, self._kept = store, False
        self._how: dict[str, str] = {}  # beside `key`: how they are kept
        self._entry: Entry | None = None

    def __getitem__(self, row: int) -> Tensor:
        """(3, S, S) or (S, S) uint8, in memory of its own."""
        if self._kept and self._entry is None:  # in a worker process that was not forked
            self.open()
        if self._entry is not None and self._how:
            return encoded.decode(self._entry.read_ragged(row), grey=self.what == "mask")
        if self._entry is not None:
            return self._entry.read([row])[0]
        return self.decode(self.scenes[row])

    def open(self) -> None:
        """Decode what the store lacks, and take everything from there; where it fails, say so, and do without."""
        if self._store is None or self._entry is not None:
            return
        entry = None
        try:
            entry = self._chosen(self._store)
            if not entry.present[self.rows].all():
                with entry.filling():
                    self._fill(entry)
        except CacheError as error:
            if entry is not None:
                entry.close()
            self._store, self._kept = None, False  # not again in each epoch
            _say(f"{error} {self.what.title()}s are decoded anew each time.")
        else:
            self._entry, self._kept = entry, True

    def _chosen(self, store: Store) -> Entry:
        """Where they are kept: as pixels as long as there is room for these, else encoded, which is said.

        Raises CacheError where there is no room for encoded ones either, or where they would be read no quicker than
        the files are.
        """
        if self._kept:  # by a process that this one was made by
            return store.open(self.key | self._how, len(self.scenes))
        entry = store.open(self.key, len(self.scenes))
        missing = self._missing(entry)
        needed = blocks(missing, self._values) + blocks(missing, 4) + MARGIN
        if not len(missing) or needed <= (room := entry.room()):
            self._how = {}
            return entry
        entry.close()
        told = (
            f"The {self.what}s of {self.split} take {needed / 1e9:.3g} GB at {self.size} px, for which the cache "
            f"{store.root} has no room ({max(0, room) / 1e9:.3g})"
        )
        if self._pixels() < PAYS * self.size**2:
            raise CacheError(f"{told}; encoded, they are read no quicker than the files: raise cache.size_gb.")
        entry = store.open(self.key | ENCODED, len(self.scenes))
        missing = self._missing(entry)
        needed, room = int(len(missing) * self._encoded_bytes()) + blocks(missing, 4) + MARGIN, entry.room()
        if len(missing) and needed > room:
            entry.close()
            raise CacheError(f"{told}; encoded, they take {needed / 1e9:.3g}: raise cache.size_gb.")
        if not self._how:
            size = taken(entry.folder) + (needed if len(missing) else 0)
            _say(f"{told}: kept as lossless {encoded.NAME}, {size / 1e9:.3g} GB.")
        self._how = ENCODED
        return entry

    def _missing(self, entry: Entry) -> np.ndarray:
        """Rows that will be asked for, and that it lacks."""
        missing: np.ndarray = self.rows[~entry.present[self.rows]]
        return missing

    @property
    def _values(self) -> int:
        """Of a square."""
        return self.size**2 * (3 if self.what == "picture" else 1)

    def _pixels(self) -> float:
        """Of the files, in the mean."""
        sizes = self.scenes.sizes[self.rows].astype(float)
        shrunk = np.ones(len(sizes))
        if self._side is not None and self.what == "picture":  # they are stored smaller
            shrunk = np.minimum(1, self._side / sizes.min(1))
        return float((sizes.prod(1) * shrunk**2).mean()) if len(sizes) else 0.0

    def _encoded_bytes(self) -> float:
        """That an encoded square takes on disk, in the mean, by some of them."""
        some = self.rows[np.linspace(0, len(self.rows) - 1, min(MEASURED, len(self.rows))).astype(int)]
        contents = in_threads(lambda row: encoded.encode(self.decode(self.scenes[row])), some.tolist())
        return float(np.mean([on_disk(LENGTH + len(content)) for content in contents]))

    def close(self) -> None:
        """Let the store make room of them; `open` takes them up again."""
        if self._entry is not None:
            self._entry.close()
            self._entry, self._kept = None, False

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_entry": None}

    def decode(self, scene: Scene) -> Tensor:
        """A scene's picture or mask as it is, from its file; of a mask, each pixel is the nearest one's class."""
        if self.what == "picture":
            width, height = scene.size or (0, 0)  # `prepare` has let it pass, however large
            seen = Preprocessing(self.size, self.fit, max(MAX_PIXELS, width * height))
            # Channels lie last in memory, as files, OpenCV and fast convolutions have them.
            return torch.from_numpy(seen.square(stored_picture(scene), scene.size)).permute(2, 0, 1)
        if scene.mask is None:  # which only a mix would read
            return torch.full((self.size, self.size), VOID, dtype=torch.uint8)
        assert isinstance(scene.mask, Path)  # it is a dataset's
        mask = Image.fromarray(read_mask(scene.mask))
        return torch.from_numpy(square(mask, self.size, self.fit, Image.Resampling.NEAREST, VOID))

    def _fill(self, entry: Entry) -> None:
        missing = self._missing(entry)  # another process may have filled meanwhile
        decoded = in_threads(lambda row: (row, self._made(row)), missing.tolist())
        title = f"decoding {self.what}s ({self.split}, {self.size} px)"
        shown = iter(tqdm(decoded, desc=title, total=len(missing), leave=False, disable=not sys.stderr.isatty()))
        while some := list(islice(shown, AT_ONCE)):
            rows, values = zip(*some, strict=True)
            if self._how:
                entry.write(rows, encoded.packed(values, encoded.row_width(self._values)), ragged=True)
            else:
                entry.write(rows, stack_pictures(values))

    def _made(self, row: int) -> Any:
        """What is written of a scene: its square, or that encoded."""
        square = self.decode(self.scenes[row])
        return encoded.encode(square) if self._how else square


def _say(sentence: str) -> None:
    """By the first process of a run."""
    if rank_of_world()[0] == 0:
        print(f"frostline: {sentence}", file=sys.stderr, flush=True)
