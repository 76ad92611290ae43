"""Pictures and masks at the size of training: decoded once and kept, or anew each time where nothing can be kept."""

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
from frostline.loading.batch import stack_pictures
from frostline.parallel import in_threads
from frostline.pictures.fit import square
from frostline.pictures.masks import read_mask
from frostline.pictures.preprocessing import Preprocessing
from frostline.pictures.reading import MAX_PIXELS
from frostline.pictures.stored import stored_picture
from frostline.scenes.dataset import Dataset
from frostline.scenes.scene import VOID, Scene
from frostline.store.room import CacheError
from frostline.store.rows import Entry, Store

AT_ONCE = 64  # decoded before they are written


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
        self._store, self._kept = store, False
        self._entry: Entry | None = None

    def __getitem__(self, row: int) -> Tensor:
        """(3, S, S) or (S, S) uint8, in memory of its own."""
        if self._kept and self._entry is None:  # in a worker process that was not forked
            self.open()
        if self._entry is not None:
            return self._entry.read([row])[0]
        return self.decode(self.scenes[row])

    def open(self) -> None:
        """Decode what the store lacks, and take everything from there; where it fails, say so, and do without."""
        if self._store is None or self._entry is not None:
            return
        entry = None
        try:
            entry = self._store.open(self.key, len(self.scenes))
            if not entry.present[self.rows].all():
                with entry.filling():
                    self._fill(entry)
        except CacheError as error:
            if entry is not None:
                entry.close()
            self._store, self._kept = None, False  # not again in each epoch
            print(f"frostline: {error} {self.what.title()}s are decoded anew each time.", file=sys.stderr, flush=True)
        else:
            self._entry, self._kept = entry, True

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
        missing = self.rows[~entry.present[self.rows]]  # another process may have filled meanwhile
        decoded = in_threads(lambda row: (row, self.decode(self.scenes[row])), missing.tolist())
        title = f"decoding {self.what}s ({self.split}, {self.size} px)"
        shown = iter(tqdm(decoded, desc=title, total=len(missing), leave=False, disable=not sys.stderr.isatty()))
        while some := list(islice(shown, AT_ONCE)):
            rows, values = zip(*some, strict=True)
            entry.write(rows, stack_pictures(values))
