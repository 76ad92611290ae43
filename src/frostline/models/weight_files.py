"""A user's own file of weights: which kind it is, and its tensors, read so that nothing in it can run.

What can be told without torch is, as torch takes seconds to load.
"""

import re
import warnings
import zipfile
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from frostline.errors import FrostlineError
from frostline.words import one_line, short

if TYPE_CHECKING:
    from torch import Tensor

STATES = ("state_dict", "model", "model_state_dict", "teacher")  # under which checkpoints keep what was learnt
_GIVE = "give a state dict, as safetensors or as torch.save(model.state_dict(), FILE) writes it"
_ZIP, _PICKLE = b"PK", b"\x80"  # how checkpoints begin, since torch 1.6 and before


def check_file(path: Path) -> None:
    """Raise FrostlineError where a file cannot be one of weights, as far as can be told without torch."""
    from safetensors import SafetensorError, safe_open

    begins = _beginning(path)
    if begins.startswith(_PICKLE):
        return
    if begins.startswith(_ZIP):
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise _damaged(path, error) from error
        kinds = {name.rpartition("/")[2] for name in names}
        if "data.pkl" not in kinds or "constants.pkl" in kinds:
            what = "a network that was exported as TorchScript" if "data.pkl" in kinds else "a zip file of other things"
            raise FrostlineError(f"backbone.weights: {path} is {what}, and no checkpoint of torch's: {_GIVE}.")
        return
    try:
        with safe_open(path, "np"):
            pass
    except (OSError, SafetensorError) as error:
        raise FrostlineError(
            f"backbone.weights: {path} is no checkpoint of torch's, and damaged if it is a safetensors file "
            f"({_why(error)}): {_GIVE}."
        ) from error


def read_weights(path: Path) -> "dict[str, Tensor]":
    """The tensors of a safetensors file or of a checkpoint of torch's, by name; all else in it is left out.

    A checkpoint may be a state dict, or hold one under one of STATES, as Lightning's do.
    Raises FrostlineError for what is neither, is damaged, or holds code.
    """
    import torch

    check_file(path)
    held = _checkpoint(path) if _beginning(path).startswith((_ZIP, _PICKLE)) else _safetensors(path)
    within = [held.get(key) for key in STATES] if isinstance(held, Mapping) else []
    for state in (*within, held):
        named = state.items() if isinstance(state, Mapping) else ()
        tensors = {str(name): value for name, value in named if isinstance(value, torch.Tensor)}
        if dense := {name: tensor for name, tensor in tensors.items() if _is_dense(tensor)}:
            return dense
    raise FrostlineError(
        f"backbone.weights: {path} holds no tensors by name, nor under any of {', '.join(STATES)}: {_GIVE}."
    )


def _is_dense(tensor: "Tensor") -> bool:
    """Whether it has values that can be copied one by one."""
    return str(tensor.layout) == "torch.strided" and not (tensor.is_quantized or tensor.is_meta)


def _safetensors(path: Path) -> "dict[str, Tensor]":
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error) from error


def _checkpoint(path: Path) -> Any:
    """Unpickled by torch's own reader of weights, which makes tensors, plain containers and numbers, and nothing else.

    But for argparse's Namespace, a bag of values: many training scripts keep their arguments beside the weights.
    """
    import torch

    try:
        # As an open file, since of a path torch goes by how it ends.
        with path.open("rb") as file, torch.serialization.safe_globals([Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it will make of other files
            return torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        if (found := re.search(r"GLOBAL ([\w.]+)", str(error))) is None:
            raise _damaged(path, error) from error
        raise FrostlineError(
            f"backbone.weights: {path} holds more than tensors ({found[1]}), which could run code as it is loaded, so "
            f"it is not: {_GIVE}."
        ) from error
    except Exception as error:  # a damaged pickle brings what it will
        raise _damaged(path, error) from error


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            begins = file.read(2)
    except OSError as error:
        raise FrostlineError(
            f"backbone.weights: {path} cannot be read ({error.strerror}): name a file of weights, or null."
        ) from error
    if not begins:
        raise FrostlineError(f"backbone.weights: {path} is empty: {_GIVE}.")
    return begins


def _damaged(path: Path, error: Exception) -> FrostlineError:
    return FrostlineError(f"backbone.weights: {path} is cut off or damaged ({_why(error)}): copy or save it anew.")


def _why(error: Exception) -> str:
    said = str(error).rpartition("WeightsUnpickler error: ")[2].strip().partition("\n")[0]
    return short(one_line(said) or type(error).__name__, 120).rstrip(".")
