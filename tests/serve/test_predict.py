"""What the real server answers, beside what the model says in Python."""

import http.client
import json
import threading
import time
from base64 import b64decode, b64encode
from contextlib import ExitStack
from io import BytesIO

import numpy as np
import pytest
from helpers.served import CLASSES, OLD, ask, encoded, model_of, noise, served
from PIL import Image

from frostline.predict.model import Model

TASKS = ("classification", "localization", "detection", "segmentation")


@pytest.fixture(scope="module")
def running():
    """Of each task the model and the port that it is served on."""
    with ExitStack() as stack:
        models = {task: model_of(task) for task in TASKS}
        yield {task: (model, stack.enter_context(served(model))) for task, model in models.items()}


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(noise(3, 80, 32), "JPEG", exif=exif)


PICTURES = [(OLD / "one.png").read_bytes(), encoded(noise(1, 90, 50), "JPEG"), turned(), encoded(noise(2), "WEBP")]
SIZES = [(64, 64), (90, 50), (32, 80), (48, 40)]


def close(one, other):
    """The same but for what another batch changes in the last digits."""
    if isinstance(one, dict):
        assert list(one) == list(other)
        return all(close(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(close, one, other))
    return one == pytest.approx(other, abs=1e-3) if isinstance(one, float) else one == other


def test_an_answer_does_not_wait_for_its_head_to_be_acknowledged(running):
    """Catches Nagle's algorithm, with which each takes some 40 ms, and is the quicker the less is at work besides."""
    connection = http.client.HTTPConnection("127.0.0.1", running["classification"][1], timeout=30)
    took = []
    for _ in range(20):
        began = time.perf_counter()
        connection.request("POST", "/predict", PICTURES[0])
        connection.getresponse().read()
        took.append(time.perf_counter() - began)
    connection.close()
    assert min(took[1:]) < 0.035


@pytest.mark.parametrize("task", TASKS)
def test_the_answer_is_what_the_model_says(running, task):
    """Catches a turn, a size, a name, a threshold or a mask that is another one over HTTP."""
    model, port = running[task]
    said = model.predict(PICTURES)
    together = json.dumps({"pictures": [b64encode(one).decode() for one in PICTURES]})
    status, several = ask(port, together, content_type="application/json")
    assert status == 200 and several["model"] == model.name and several["task"] == task
    for number, picture in enumerate(PICTURES):
        status, one = ask(port, picture)
        assert status == 200 and (one.pop("model"), one.pop("task")) == (model.name, task)
        for answer in (one, several["predictions"][number]):
            assert (answer.pop("width"), answer.pop("height")) == SIZES[number]
            if task == "segmentation":
                mask = np.asarray(Image.open(BytesIO(b64decode(answer.pop("mask")))))
                assert mask.dtype == np.uint8 and (mask == said[number].mask).mean() > 0.999
                assert sum(answer["pixels"].values()) == mask.size
                continue
            assert close(answer, said[number].to_json())


def test_what_is_no_picture_among_several_has_its_own_error(running):
    """Catches one that costs the others their answers."""
    _, port = running[TASKS[0]]
    good = b64encode(PICTURES[0]).decode()
    status, told = ask(port, json.dumps({"pictures": [good, "ä", b64encode(b"text").decode(), good]}))
    first, letters, text, last = told["predictions"]
    assert status == 200 and first == last and "error" not in first
    assert "index 1 is no base64" in letters["error"] and "index 2 is no picture" in text["error"]


def test_health_tells_what_is_served(running):
    status, told = ask(running["classification"][1], path="/health", method="GET")
    assert status == 200 and told["task"] == "classification" and told["classes"] == list(CLASSES)
    assert told["device"] == "cpu" and told["version"] and told["model"] == "a classification"


def test_threshold_and_top(running):
    """Catches boxes at the threshold that are lost, and classes out of order."""
    model, port = running["detection"]
    scores = [one["score"] for one in ask(port, PICTURES[0])[1]["objects"]]
    at = scores[3]
    found = ask(port, PICTURES[0], f"/predict?threshold={at!r}")[1]["objects"]
    assert [one["score"] for one in found] == scores[:4] and len(scores) > 4
    assert ask(port, PICTURES[0], "/predict?threshold=1")[1]["objects"] == []
    status, one = ask(running["classification"][1], PICTURES[0], "/predict?top=2")
    shares = list(one["probabilities"].values())
    assert len(shares) == 2 and shares == sorted(shares, reverse=True) and list(one["probabilities"])[0] == one["class"]


@pytest.mark.parametrize(
    ("task", "query", "words"),
    [
        ("detection", "threshold=2", "threshold is '2': it is a number from 0 to 1"),
        ("detection", "threshold=nan", "a number from 0 to 1"),
        ("detection", "threshold=", "a number from 0 to 1"),
        ("detection", "treshold=0.5", "'treshold' is no option"),
        ("detection", "top=2", "top is of classification and localization, and this model of detection"),
        ("classification", "threshold=0.5", "threshold is of detection"),
        ("classification", "top=0", "a whole number from 1"),
        ("classification", "top=%C2%B2", "a whole number from 1"),
    ],
)
def test_options_that_are_none_are_told(running, task, query, words):
    status, told = ask(running[task][1], PICTURES[0], f"/predict?{query}")
    assert status == 422 and words in told["error"]


def test_the_threshold_of_the_command_holds_where_a_request_says_none():
    with served(model_of("detection"), threshold=0.4) as port:
        found = ask(port, PICTURES[0])[1]["objects"]
        assert found and min(one["score"] for one in found) >= 0.4
        assert len(ask(port, PICTURES[0], "/predict?threshold=0")[1]["objects"]) > len(found)


@pytest.mark.parametrize("seconds", [2, pytest.param(60, marks=pytest.mark.slow)])
def test_sixteen_clients_at_once(seconds):
    """Catches answers that go to another client, requests that are lost, and a queue that never makes batches."""
    sizes, model = [], model_of("localization")

    def counted(squares):
        sizes.append(len(squares))
        return model.engine(squares)

    pictures = [encoded(noise(seed), "PNG") for seed in range(16)]
    right = [one.box.tolist() for one in model.predict(pictures)]
    wrong, done, until = [], [0] * 16, time.monotonic() + seconds

    def client(number):
        while time.monotonic() < until:
            status, told = ask(port, pictures[number])
            if status != 200 or told["box"] != pytest.approx(right[number], abs=1e-2):
                wrong.append((number, status, told))
            done[number] += 1

    with served(Model(model.info, counted)) as port:
        sizes.clear()  # it has tried a batch
        threads = [threading.Thread(target=client, args=(number,)) for number in range(16)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    assert wrong == [] and min(done) > 2
    assert sum(sizes) == sum(done) and max(sizes) > 1 and max(sizes) <= 16
