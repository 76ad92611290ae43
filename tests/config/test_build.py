"""Building what a `_target_` names: ours, and what conf/ names, by one function."""

import shutil
from pathlib import Path

import pytest

import frostline
from frostline.config import build, compose, conf_dir
from frostline.config.build import targets
from frostline.errors import FrostlineError


def test_what_nobody_named_is_not_built(tmp_path, monkeypatch):
    node = {"_target_": "collections.OrderedDict", "a": 1}
    with pytest.raises(
        FrostlineError, match="'collections.OrderedDict' is to be built, and neither Frostline nor"
    ) as error:
        build(node)
    assert "\n" not in str(error.value)
    with pytest.raises(FrostlineError, match="'os.getcwd' is to be built"):  # however deep
        build({"_target_": "torchvision.transforms.v2.Compose", "transforms": [{"_target_": "os.getcwd"}]})

    shutil.copytree(conf_dir(), tmp_path / "conf")
    (tmp_path / "conf/rate/mine.yaml").write_text("name: mine\n_target_: collections.OrderedDict\n")
    monkeypatch.chdir(tmp_path)
    assert build(node) == {"a": 1}


def test_all_that_conf_names_can_be_built_beside_ours():
    named = {name for name in targets(compose(["augment=strong"]))}
    assert any(name.startswith("torchvision.") for name in named) and all(isinstance(name, str) for name in named)


def test_one_place_instantiates():
    package = Path(frostline.__file__).parent
    found = [path for path in package.rglob("*.py") if "instantiate(" in path.read_text()]
    assert found == [package / "config" / "build.py"]
