"""What every source is: a reader of scenes, with what it says of all of them together."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from frostline.scenes.scene import Classes, Scene


class Source(ABC):
    """Reads scenes from somewhere. Faulty annotations pass through: `prepare` finds and names them.

    classes: names of the classes of each kind of annotation.
    derived: annotations that nobody made (say, boxes from masks): a sentence for each kind; dataset.json has them.
    fingerprint: names the content of a source that draws its scenes from nothing but its arguments: these, and the
    drawing's version. Where it is unchanged, `prepare` opens an existing dataset without drawing anything.
    counts: scenes of each split, where they are known without reading anything.
    notes: what it took for granted, a sentence each, such as where corners are counted from; some are known only when
    all scenes were given. `prepare` tells them, and dataset.json has them.
    """

    classes: Classes
    derived: Mapping[str, str] = MappingProxyType({})
    fingerprint: str | None = None
    counts: Mapping[str, int] | None = None
    notes: Sequence[str] = ()

    @abstractmethod
    def scenes(self) -> Iterable[Scene]:
        """Every scene, in an order that depends on nothing but the source's own content."""
