"""The source that a configuration names."""

from typing import Any

from frostline.config import build
from frostline.errors import FrostlineError
from frostline.sources.base import Source
from frostline.sources.grouped import Grouped


def configured(config: Any) -> tuple[Source, dict[str, Any]]:
    """The source that a file of conf/dataset names, grouped as it says, and the file's content, resolved.

    Raises FrostlineError as the source does, and where a mandatory key (root) is not set.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import MissingMandatoryValue

    try:
        plain = OmegaConf.to_container(OmegaConf.create(config), resolve=True, throw_on_missing=True)
        assert isinstance(plain, dict)
        source: Source = build(plain["source"])
        if plain.get("group") is not None:
            source = Grouped(source, plain["group"])
        return source, {str(key): value for key, value in plain.items()}
    except MissingMandatoryValue as error:
        raise FrostlineError(
            f"dataset '{config.get('name')}' needs dataset.{error.full_key or 'root'}: set it, as in dataset.root=PATH."
        ) from None
