"""Groups told by the names of the pictures: a drive, a patient, a specimen."""

import re
from collections.abc import Iterator
from dataclasses import replace

from frostline.errors import FrostlineError
from frostline.scenes.scene import Scene
from frostline.sources.base import Source


class Grouped(Source):
    """Another source, of which scenes in whose ids a pattern finds the same are one group.

    pattern: a regular expression; what its first parenthesis matches is the group, or all that it matches where it has
    none. An id is the picture's path with - for /, without the suffix. A scene in whose id nothing is found keeps the
    group that it has.

    Raises FrostlineError for what is no regular expression and, after the last scene, where it was found nowhere.
    """

    def __init__(self, source: Source, pattern: str) -> None:
        try:
            self._pattern = re.compile(pattern)
        except (re.error, TypeError) as error:
            raise FrostlineError(f"dataset.group is {pattern!r}, which is no regular expression ({error}).") from error
        self._source = source
        self.classes = source.classes
        self.derived, self.counts = source.derived, source.counts
        self.fingerprint = f"{source.fingerprint} {pattern}" if source.fingerprint else None

    def scenes(self) -> Iterator[Scene]:
        scene, matched = None, False
        for scene in self._source.scenes():
            if found := self._pattern.search(scene.id):
                matched = True
                scene = replace(scene, group=found[1 if self._pattern.groups else 0])
            yield scene
        if scene is not None and not matched:
            raise FrostlineError(
                f"dataset.group finds '{self._pattern.pattern}' in the name of no scene, such as '{scene.id}': mend it."
            )
