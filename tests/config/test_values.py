"""Every key of conf/ with every spelling of a value: what the check makes of it is what a run gets."""

from functools import cache

import pytest

from frostline.config import conf_dir
from frostline.config.compose import change, choose
from frostline.errors import FrostlineError

TRUE, FALSE = ("true", "True", "yes", "on", "ON"), ("false", "False", "no", "off", "Off")
NUMBERS = {"010": 10, "1e-3": 0.001, "7": 7, "0.5": 0.5}
WORDS = ("off", "no", "False", "on", "abc", "nan", "''")

# What a key takes where neither its default nor its own words say so: by its file, and the key in it.
NULLABLE = {
    ("trainer", "images"): int,
    ("trainer", "threads"): int,
    ("augment", "views"): int,
    ("task", "window"): int,
    ("dataset", "first"): int,
    ("dataset", "group"): str,
    ("dataset", "root"): str,
    ("dataset", "white"): int,
    ("dataset", "side"): int,
    ("dataset", "unmasked"): str,
    ("dataset", "choice"): str,
    ("dataset", "manifest"): str,
    ("dataset", "delimiter"): str,
    ("backbone", "name"): str,
    ("backbone", "weights"): str,
    ("tracking", "uri"): str,
}
# lists, mappings, or one of two
ANYTHING = {"given", "values", "names", "annotations", "images", "columns", "masks", "classes", "class_weights"}


def files():
    """Every file of every group, as it is chosen."""
    folder = conf_dir()
    for path in sorted(folder.rglob("*.yaml")):
        group = path.parent.relative_to(folder).as_posix()
        if group not in (".", "faults", "augment/mix", "launcher"):  # no run knows of launchers
            yield f"{group}={path.stem}"
    yield from (f"augment/mix={path.stem}" for path in sorted((folder / "augment/mix").glob("*.yaml")))


@cache
def chosen(*files):
    return choose(files)


def leaves(node, path=""):
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        name = f"{path}.{key}" if path else str(key)
        if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(each, dict) for each in value)):
            yield from leaves(value, name)
        elif key != "_target_" and not (isinstance(value, str) and "${" in value):
            yield name, value


def keys():
    """(the file chosen, a key, its default) for every key of conf/, once."""
    seen = set()
    for file in [*files(), ""]:
        group = file.partition("=")[0].replace("/", ".")
        for key, default in leaves(chosen(*[file] if file else [])):
            inside = key.startswith(f"{group}.") if file else "." not in key or key.startswith("cache.")
            if inside and not key.startswith("schedule.phases") and (file, key) not in seen:
                once = key if key.startswith("dataset.faults") else (file, key)
                if once not in seen:
                    seen.add(once)
                    yield file, key, default


KEYS = list(keys())


def given(file, key, text):
    """What a run gets of a value as it is written, or the sentence that refuses it."""
    needed = {"dataset.root": "here", "dataset.source.classes": "[a,b]", "backbone.name": "resnet18"}
    defaults = chosen(*[file] if file else [])
    missing = [f"{name}={value}" for name, value in needed.items() if dict(leaves(defaults)).get(name) == "???"]
    missing += [f"image_size={side}" for side in defaults["backbone"].get("sides", [])[-1:]]
    try:
        node = change(defaults, [*missing, f"{key}={text}"])
    except FrostlineError as refusal:
        return refusal
    for part in key.split("."):
        node = node[int(part) if isinstance(node, list) else part]
    return node


def takes(file, key, default):
    group, name = key.split(".")[0], key.split(".")[-1]
    if key.startswith("dataset.faults") or name == "name":
        return str
    if default in (None, "???"):
        return NULLABLE.get((group, name), object)
    return object if name in ANYTHING else type(default)


def test_all_of_conf_is_here():
    assert len(list(files())) == len(list(conf_dir().rglob("*.yaml"))) - 4 and len(KEYS) > 150
    types = {takes(*key) for key in KEYS}
    assert types == {bool, int, float, str, list, object}
    unsure = {key.split(".")[-1] for file, key, default in KEYS if takes(file, key, default) is object}
    assert unsure <= ANYTHING | {"mix"}, "say in NULLABLE what they take"


@pytest.mark.parametrize("texts", [TRUE, FALSE])
def test_a_truth_value_takes_every_spelling_and_nothing_else(texts):
    truths = [(file, key) for file, key, default in KEYS if isinstance(default, bool)]
    assert len(truths) > 20
    for file, key in truths:
        for text in texts:
            assert given(file, key, text) is (texts is TRUE), (file, key, text)
        for text in (*NUMBERS, "1", "0", "abc", "null", "[true]"):
            assert isinstance(given(file, key, text), FrostlineError), (file, key, text)


def test_a_number_refuses_words_and_is_what_is_written():
    for file, key, default in KEYS:
        if takes(file, key, default) not in (int, float):
            continue
        for text in WORDS:
            assert isinstance(given(file, key, text), FrostlineError), (file, key, text)
        for text, number in NUMBERS.items():
            got = given(file, key, text)
            if isinstance(got, FrostlineError):  # out of its range, or no whole number where it must be one
                assert f"{key} is " in str(got) and "\n" not in str(got), (file, key, text)
                assert takes(file, key, default) is int or "must lie between" in str(got), (file, key, text)
            else:
                assert got == number and not isinstance(got, str | bool), (file, key, text)
        if takes(file, key, default) is int and not key.startswith(("augment.transform", "cache.size_gb")):
            assert isinstance(given(file, key, "0.5"), FrostlineError), (file, key)
        assert (given(file, key, "null") is None) == (default is None), (file, key)


def test_text_is_what_is_written():
    words = [(file, key) for file, key, default in KEYS if takes(file, key, default) is str]
    assert len(words) > 60
    for file, key in words:
        for text in ("010", "1e-3", "off", "True", "abc"):
            got = given(file, key, text)
            refused = isinstance(got, FrostlineError) and key in str(got)  # a word of a few, or no address
            assert got == text or refused, (file, key, text, got)


def test_a_list_refuses_what_is_none():
    for file, key, default in KEYS:
        if takes(file, key, default) is list:
            for text in ("off", "3", "abc"):
                assert isinstance(given(file, key, text), FrostlineError), (file, key, text)


def test_a_number_in_a_list_is_one_too():
    assert given("augment=strong", "augment.transform.transforms.1.crop", "[010,1e-3]") == [10, 0.001]
    assert isinstance(given("augment=strong", "augment.transform.transforms.1.crop", "[off,1]"), FrostlineError)


def test_where_nothing_is_known_a_number_is_still_one():
    assert given("schedule=thaw", "schedule.phases.1.scale", "010") == 10
    assert given("schedule=thaw", "schedule.phases.1.line", "stage2") == "stage2"


def test_a_mapping_is_not_replaced_by_a_word():
    assert "dataset.split is 'off'; it is a mapping" in str(given("dataset=voc", "dataset.split", "off"))
    assert given("dataset=csv", "dataset.source.columns", "{label: species}") == {"label": "species"}
