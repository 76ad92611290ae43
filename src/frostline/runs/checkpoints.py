"""Checkpoints that are whole: written beside their place, read back, then renamed; and the one before is kept."""

import sys
import zipfile
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from frostline.files import replacing


class WholeCheckpoints(TorchCheckpointIO):
    """How Lightning writes its checkpoints.

    Its own way writes to the system's temporary folder first, and where that lies on another file system it copies from
    there: a kill meanwhile leaves half a file.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        path = Path(path)
        with replacing(path) as aside:
            try:
                with aside.open("wb") as file:  # opened here: of a full disk torch's own files say nothing
                    torch.save(checkpoint, file)
            except RuntimeError as error:  # torch's, over what ended it in its midst: a full disk, being told to stop
                raise error.__context__ or error from None
            if not is_whole(aside):
                raise OSError(f"{path} could not be written whole: is the disk full or damaged?")
            if path.exists():
                path.replace(_before(path))


def is_whole(path: Path) -> bool:
    """Whether a checkpoint is all there, and every byte as it was written."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile, EOFError, ValueError, NotImplementedError):  # what a damaged directory brings
        return False


def resume_from(newest: Path, best: ModelCheckpoint, best_path: Path) -> Path | None:
    """The checkpoint that a run goes on from: `newest`, or the one before it; None where it starts anew.

    Passed over, and told in one line, is what is damaged, and what knows a better epoch than the best one that is still
    whole. What is chosen, and the best that belongs to it, lie at `newest` and `best_path` afterwards.
    """
    for leftover in newest.parent.glob(".*.ckpt"):  # of a kill while it was written
        leftover.unlink()
    found = _kept(newest)
    for last in found:
        if (score := _best_score(last, best)) is None:
            continue
        for candidate in _kept(best_path):
            # A better one is of an epoch that will be trained again, and be the best again.
            if (reached := _best_score(candidate, best)) is not None and reached >= score:
                candidate.replace(best_path)
                if last != newest:
                    print(f"frostline: {newest} is cut off or damaged: going on from the one before.", file=sys.stderr)
                last.replace(newest)
                return newest
    if found:
        print(f"frostline: no checkpoint in {newest.parent} can be used: the run starts anew.", file=sys.stderr)
    return None


def _kept(path: Path) -> list[Path]:
    return [each for each in (path, _before(path)) if each.exists()]


def _before(path: Path) -> Path:
    return path.with_name(f"{path.stem}.before{path.suffix}")


def _best_score(path: Path, best: ModelCheckpoint) -> float | None:
    """The best epoch's metric, as a checkpoint knows it; None where it is damaged or was made in another folder."""
    if not is_whole(path):
        return None
    state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)["callbacks"].get(best.state_key, {})
    return float(state["best_model_score"]) if state.get("dirpath") == best.dirpath else None
