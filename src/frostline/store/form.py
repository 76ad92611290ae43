"""A row of an array as bytes: its shape, dtype and layout, and its checksum."""

import json
import math
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

LAST, RAGGED = "channels_last", "ragged"  # as meta.json has them
LENGTH = 4  # bytes, at the beginning of a ragged row: little endian, how many follow

Bytes: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Form:
    """How a row lies.

    shape: of a row, as torch has it. last: channels come last on disk, (h, w, c) for (c, h, w). ragged: rows are
    bytes, of which the first LENGTH tell how many more count; the others are never written, and take no room.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    last: bool
    ragged: bool = False

    @classmethod
    def of(cls, values: torch.Tensor, ragged: bool = False) -> "Form":
        last = values.dim() == 4 and values.is_contiguous(memory_format=torch.channels_last)
        return cls(tuple(values.shape[1:]), values.dtype, last and not values.is_contiguous(), ragged)

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> "Form | None":
        """The form that meta.json tells; None where it tells none."""
        with suppress(KeyError, TypeError, AttributeError, RuntimeError):
            layout = meta["layout"]
            form = cls(tuple(meta["shape"]), getattr(torch, meta["dtype"]), layout == LAST, layout == RAGGED)
            torch.empty((0, *form.shape), dtype=form.dtype)  # refuses what is no shape or no dtype
            return form
        return None

    def as_meta(self) -> dict[str, Any]:
        layout = RAGGED if self.ragged else LAST if self.last else "contiguous"
        return {"shape": list(self.shape), "dtype": str(self.dtype).removeprefix("torch."), "layout": layout}

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"

    @cached_property
    def row_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @cached_property
    def _seed(self) -> int:
        return zlib.crc32(json.dumps(self.as_meta()).encode())

    def sum_of(self, row: Bytes) -> int:
        """The CRC of a row's bytes. It begins with the form's, so that a wrong form makes no other values of them."""
        return zlib.crc32(self.counted(row).data, self._seed) or 1

    def counted(self, row: Bytes) -> Bytes:
        """The bytes of a row that count, in the same memory."""
        return row[: LENGTH + int.from_bytes(row[:LENGTH].tobytes(), "little")] if self.ragged else row

    def pack(self, values: torch.Tensor) -> Bytes:
        """(n, *shape), on any device and in any layout, to (n, bytes of a row)."""
        values = values.detach().cpu()
        values = (values.permute(0, 2, 3, 1) if self.last else values).contiguous()
        flat = values.reshape(len(values), math.prod(self.shape))
        packed: Bytes = flat.view(torch.uint8).numpy()  # numpy has no bfloat16
        return packed

    def unpack(self, packed: Bytes) -> torch.Tensor:
        """(n, bytes of a row) to (n, *shape), in the same memory."""
        values = torch.from_numpy(packed.reshape(-1)).view(self.dtype)
        if not self.last:
            return values.view(len(packed), *self.shape)
        c, h, w = self.shape
        return values.view(len(packed), h, w, c).permute(0, 3, 1, 2)
