"""A registered model, asked through MLflow: each form that is taken, and what becomes of what is no picture."""

import json
import math
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64decode, b64encode
from contextlib import contextmanager
from io import BytesIO

import numpy as np
import pytest
from helpers.batches import TASKS
from helpers.models import noise, png, told, untrained
from helpers.store import begun, fresh, store  # noqa: F401 - fixtures
from helpers.store import serving as holding
from PIL import Image

import frostline
from frostline.errors import FrostlineError
from frostline.predict.written import as_json
from frostline.runs.load import load
from frostline.tracking.base import Cell
from frostline.tracking.registry import register

COLUMN = "picture"
FILES = [png(0), png(1)]
TEXTS = [b64encode(file).decode() for file in FILES]
ARRAYS = [noise(0), noise(1)]
LISTS = [pixels.tolist() for pixels in ARRAYS]
# What a client sends, by what the pictures are: what docs/models.md promises.
JSON = {
    "dataframe_split": lambda them: {"dataframe_split": {"columns": [COLUMN], "data": [[one] for one in them]}},
    "dataframe_records": lambda them: {"dataframe_records": [{COLUMN: one} for one in them]},
    "instances, a list": lambda them: {"instances": them},
    "instances, records": lambda them: {"instances": [{COLUMN: one} for one in them]},
    "inputs, a list": lambda them: {"inputs": them},
    "inputs, a column": lambda them: {"inputs": {COLUMN: them}},
    "inputs, records": lambda them: {"inputs": [{COLUMN: one} for one in them]},
}


@pytest.fixture(scope="module")
def uri(tmp_path_factory, fresh):  # noqa: F811
    return f"sqlite:///{shutil.copy(fresh, tmp_path_factory.mktemp('registry'))}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return untrained("classification", tmp_path_factory.mktemp("models") / "small")


@pytest.fixture(scope="module")
def model(uri, folder, tmp_path_factory):
    """As MLflow loads it."""
    import mlflow
    from mlflow import MlflowClient

    with pytest.MonkeyPatch.context() as patch:  # no store of MLflow's own is made here
        patch.chdir(tmp_path_factory.mktemp("elsewhere"))
        register(uri, told(folder, "small"))
        assert not os.listdir()
    version = MlflowClient(uri).get_model_version_by_alias("small", "champion")
    return mlflow.pyfunc.load_model(version.source)


@pytest.fixture(scope="module")
def expected(folder):
    return [as_json(one) for one in load(folder).predict(FILES)]


def asked(model, content):
    """As MLflow's server reads a request and answers it, without the server."""
    from mlflow.pyfunc.scoring_server import invocations

    schema = model.metadata.get_input_schema()
    return json.loads(invocations(json.dumps(content).encode(), "application/json", model, schema).response)


@pytest.mark.parametrize("pictures", [TEXTS, LISTS, TEXTS[:1], LISTS[:1]], ids=["texts", "pixels", "text", "a picture"])
@pytest.mark.parametrize("form", JSON)
def test_every_form_of_a_request_gives_the_same(model, expected, form, pictures):
    # Catches base64 that MLflow decodes in some forms and not in others (mlflow#11170).
    assert asked(model, JSON[form](pictures))["predictions"] == expected[: len(pictures)]


@pytest.mark.parametrize("pictures", [FILES, ARRAYS, TEXTS, FILES[:1]], ids=["bytes", "pixels", "texts", "one"])
def test_from_python_tables_and_columns_are_taken(model, expected, pictures):
    import pandas as pd

    wanted = expected[: len(pictures)]
    assert model.predict(pd.DataFrame({COLUMN: pictures})) == wanted
    assert model.predict({COLUMN: pictures}) == wanted
    assert model.predict([{COLUMN: one} for one in pictures]) == wanted


def test_what_is_no_picture_is_told_in_its_row_and_nothing_is_lost(model, expected):
    # Catches a batch that one bad picture ends, and answers that move up into its place.
    bad = ["", "not base64!", b64encode(b"text").decode(), b64encode(FILES[0][:200]).decode(), 7, None, [[1, 2], [3]]]
    found = asked(model, JSON["dataframe_split"]([TEXTS[0], *bad, TEXTS[1]]))["predictions"]
    assert [found[0], found[-1]] == expected
    assert all(set(one) == {"error"} and f"at index {n}" in one["error"] for n, one in enumerate(found[1:-1], 1)), found
    for pixels in (np.full((4, 4, 3), 0.5).tolist(), np.full((4, 4, 3), 256).tolist(), [[1, 2], [3, 4]]):
        (answer,) = asked(model, JSON["dataframe_split"]([pixels]))["predictions"]
        assert "neither base64, bytes nor pixels" in answer["error"]


def test_no_file_of_the_server_is_read_by_its_name(model, tmp_path, monkeypatch):
    # A name of letters that base64 has, too.
    path = tmp_path / "abcd"
    path.write_bytes(FILES[0])
    monkeypatch.chdir(tmp_path)
    for text in (str(path), "abcd", path.as_uri(), "/etc/passwd"):
        (answer,) = asked(model, JSON["inputs, a list"]([text]))["predictions"]
        assert set(answer) == {"error"}


def test_a_request_without_the_column_is_refused(model):
    from mlflow.exceptions import MlflowException

    for content in ({"dataframe_split": {"columns": ["image"], "data": [[TEXTS[0]]]}}, {"inputs": {"image": TEXTS}}):
        with pytest.raises(MlflowException, match="missing inputs") as refused:
            asked(model, content)
        assert refused.value.get_http_status_code() == 400


def test_nothing_is_pickled_and_the_requirements_are_pinned(model, uri):
    from mlflow import MlflowClient
    from mlflow.artifacts import download_artifacts

    version = MlflowClient(uri).get_model_version_by_alias("small", "champion")
    place = download_artifacts(version.source)
    files = [name for _, _, names in os.walk(place) for name in names]
    assert not [name for name in files if name.endswith((".pkl", ".pt", ".pth", ".pyc"))]
    with open(os.path.join(place, "requirements.txt")) as file:
        pins = file.read().split()
    assert all("==" in pin and "+" not in pin for pin in pins) and "torch" in {pin.partition("==")[0] for pin in pins}
    assert version.description == "It works." and version.tags["task"] == "t"
    assert json.loads(model.metadata.signature.to_dict()["inputs"])[0]["name"] == COLUMN


def test_the_registry_gives_the_model_back_by_its_name(uri, folder, model, expected, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    for address in ("models:/small@champion", "models:/small/1"):
        assert [as_json(one) for one in frostline.load(address).predict(FILES)] == expected
    for address, words in (
        ("models:/other@champion", "is not in the registry"),
        ("models:/small/9", "is not in the registry"),
        ("models:/small", "names no model: write models:/NAME@champion"),
    ):
        with pytest.raises(FrostlineError, match=words):
            frostline.load(address)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{uri}.not")
    with pytest.raises(FrostlineError, match="there is no such file"):
        frostline.load("models:/small@champion")


def test_the_same_model_stays_one_version_and_another_becomes_the_champion(store, tmp_path):  # noqa: F811
    from mlflow import MlflowClient

    tracker = begun(store, tmp_path / "run", "s", "run")
    tracker.end("finished")
    one, other = (untrained("classification", tmp_path / name) for name in ("one", "other"))
    first = told(one, "m", cell=Cell("run", "abc", "d" * 64))
    versions = [tracker.register(first), tracker.register(first), tracker.register(told(other, "m", "else"))]
    assert [version.partition(")")[0][-1] for version in versions] == ["1", "1", "2"]
    client = MlflowClient(store)
    assert str(client.get_model_version_by_alias("m", "champion").version) == "2"
    assert client.get_run(client.get_model_version("m", "1").run_id).info.run_name == "run"
    logged = client.search_logged_models([client.get_experiment_by_name("s").experiment_id])
    assert [str(model.status) for model in logged] == ["READY"] * 2


def test_a_store_of_plain_files_has_no_registry(tmp_path, folder):
    from frostline.tracking.base import Tracker
    from frostline.tracking.mlflow import MlflowTracker

    assert MlflowTracker(f"file://{tmp_path}").register(told(folder, "m")) == ""
    assert Tracker().register(told(folder, "m")) == ""


@contextmanager
def serving(model, root):
    """A real `mlflow models serve` in an environment of its own, and its address. root: where environments are kept."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "models", "serve", "-m", model, "--env-manager", "uv", "--port", str(port)],
        env=env | {"MLFLOW_ENV_ROOT": str(root / "envs")},
        cwd=root,
        stdout=(root / "log").open("ab"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 900
        while True:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, (root / "log").read_text()[-3000:]
                time.sleep(0.5)
        yield address
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
        process.wait()


def posted(address, content):
    request = urllib.request.Request(
        f"{address}/invocations", json.dumps(content).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def same(found, own):
    """Whether two answers are equal, but for roundings of their numbers, as another process may have other threads."""
    if isinstance(own, dict):
        return found.keys() == own.keys() and all(same(found[key], own[key]) for key in own)
    if isinstance(own, list):
        return len(found) == len(own) and all(same(*pair) for pair in zip(found, own, strict=True))
    return math.isclose(found, own, rel_tol=1e-5, abs_tol=1e-5) if isinstance(own, float) else found == own


@pytest.fixture(scope="module")
def environments(tmp_path_factory):
    """All four tasks want the same packages, so one is made."""
    if shutil.which("uv") is None:
        pytest.skip("no uv here")
    return tmp_path_factory.mktemp("served")


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_a_real_server_in_a_fresh_environment_answers_as_the_model_does(task, uri, environments):
    from mlflow import MlflowClient

    folder = untrained(task, environments / "models" / task)
    register(uri, told(folder, task, task))
    source = MlflowClient(uri).get_model_version_by_alias(task, "champion").source
    # In batches of one and of two torch's sums differ by a rounding.
    own = {count: load(folder).predict(FILES[:count]) for count in (1, 2)}
    with serving(source, environments) as address:
        for form, make in JSON.items():
            for pictures in (TEXTS, LISTS, TEXTS[:1]):
                status, found = posted(address, make(pictures))
                assert status == 200, (form, found)
                assert same(found["predictions"], [as_json(one) for one in own[len(pictures)]]), (form, found)
        status, found = posted(address, JSON["dataframe_split"]([TEXTS[0], "/etc/passwd"]))
        assert status == 200 and set(found["predictions"][1]) == {"error"}
        assert posted(address, {"dataframe_split": {"columns": ["image"], "data": [[TEXTS[0]]]}})[0] == 400
        assert posted(address, {"pictures": TEXTS})[0] == 400
        if task == "segmentation":
            mask = np.asarray(Image.open(BytesIO(b64decode(found["predictions"][0]["mask"]))))
            assert (mask == own[1][0].mask).all()


@pytest.mark.slow
def test_a_server_of_mlflow_holds_a_model_as_a_file_does(folder, expected, tmp_path, monkeypatch):
    # Catches artifacts that are looked for on this machine, where a server keeps them on its own.
    with holding(tmp_path) as (_, address):
        assert register(address, told(folder, "small")) == "1"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        assert [as_json(one) for one in frostline.load("models:/small@champion").predict(FILES)] == expected
