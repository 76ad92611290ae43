"""The picture file of a prepared scene, as it was prepared or not at all."""

from hashlib import sha256
from pathlib import Path

from frostline.errors import FrostlineError
from frostline.pictures.reading import read_file
from frostline.scenes.scene import Scene


def stored_picture(scene: Scene) -> bytes:
    """The content of its file.

    Raises FrostlineError for one that is gone, and where somebody else's file is not what it was.
    """
    assert isinstance(scene.image, Path)  # as in every prepared dataset
    advice = "put the old file back, or prepare the dataset anew"
    try:
        content = read_file(scene.image)
    except OSError as error:
        raise FrostlineError(
            f"{scene.image}, which the dataset needs, cannot be read ({error.strerror}): {advice}."
        ) from error
    if scene.digest is not None and sha256(content).digest() != scene.digest:
        raise FrostlineError(f"{scene.image} has changed since the dataset was prepared: {advice}.")
    return content
