"""Which picture a name means: found where that is certain, and nobody's where it is not."""

import pytest

from frostline.parsing.named import Wanted, meant, told


@pytest.fixture
def root(tmp_path):
    for name in ("camA/000.jpg", "camB/000.jpg", "p00.jpg", "pics/abcd1234-p01.jpg", "pics/Big Cat.JPG", "only.jpg"):
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "secret.jpg").touch()
    return tmp_path / "root"


def found(root, *names, split=None):
    wanted = [Wanted(name, root, split) for name in names]
    means = meant(root, [root], wanted)
    return [each.path and each.path.relative_to(root).as_posix() for each in means], means, told(means, wanted, root)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("camA/000.jpg", "camA/000.jpg"),
        ("camA\\000.jpg", "camA/000.jpg"),
        ("images\\camB\\000.jpg", "camB/000.jpg"),
        ("/home/me/set/camA/000.jpg", "camA/000.jpg"),
        ("../../ls_upload/1/abcd1234-p00.jpg", "p00.jpg"),
        ("p01.jpg", "pics/abcd1234-p01.jpg"),
        ("big cat.jpg", "pics/Big Cat.JPG"),
        ("https://example.org/data/only.jpg?x=1", "only.jpg"),
        ("s3://bucket/set/pics/Big%20Cat.JPG", "pics/Big Cat.JPG"),
        ("/data/local-files/?d=set/only.jpg", "only.jpg"),
        ("only", "only.jpg"),
        ("000.jpg", None),
        ("camC/000.jpg", None),
        ("p00.png", None),
        ("dcba4321-p01.jpg", None),
        ("../secret.jpg", None),
        ("", None),
        ("..", None),
        ("x" * 5000 + ".jpg", None),
        ("a\0b.jpg", None),
    ],
)
def test_a_name_means_one_picture_or_none(root, name, path):
    assert found(root, name)[0] == [path]


def test_a_picture_that_another_name_means_is_not_guessed(root):
    assert found(root, "camA/000.jpg", "camC/000.jpg")[0] == ["camA/000.jpg", None]
    (root / "camB/000.jpg").unlink()
    assert found(root, "camC/000.jpg")[0] == ["camA/000.jpg"]
    assert found(root, "camA/000.jpg", "camC/000.jpg")[0] == ["camA/000.jpg", None]
    assert found(root, "x/only.jpg", "y/only.jpg")[0] == [None, None]
    assert found(root, "../only.jpg", "../only.jpg")[0] == ["only.jpg", "only.jpg"]


def test_what_was_guessed_is_told(root):
    _, means, note = found(root, "camA/000.jpg", "../x/only.jpg", "../secret.jpg")
    assert [each.guessed for each in means] == [False, True, False]
    assert [each.outside for each in means] == [False, True, True]
    assert note.startswith("1 of 3 pictures are not where they should be, such as '../x/only.jpg'")
    assert found(root, "camA/000.jpg")[2] is None


def test_of_several_the_one_in_the_splits_folder(root):
    for name in ("train/7.jpg", "val/7.jpg"):
        (root / name).parent.mkdir()
        (root / name).touch()
    assert found(root, "7.jpg", split="val")[0] == ["val/7.jpg"] and found(root, "7.jpg")[0] == [None]
