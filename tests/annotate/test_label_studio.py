import json
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline.annotate.boxes import Box, Proposal
from frostline.annotate.label_studio import labelling_config, read, write
from frostline.errors import FrostlineError

SIZES = {"a": (600, 400), "b": (80, 50)}


def region(**changes):
    """A rectangle as the tool's documentation describes it, on the picture of 600 x 400."""
    value = {"x": 5, "y": 12.5, "width": 50, "height": 25, "rotation": 0, "rectanglelabels": ["rose"]}
    value |= {key: changes.pop(key) for key in list(changes) if key in value}
    whole = {"id": "Dx_aB91ISN", "from_name": "label", "to_name": "image", "type": "rectanglelabels"}
    whole |= {"original_width": 600, "original_height": 400, "image_rotation": 0, "value": value}
    return whole | changes


def annotation(*regions, **fields):
    times = {"created_at": "2021-03-09T22:16:08.728353Z", "updated_at": "2021-03-09T22:16:08.728378Z"}
    return {"id": 1001, "was_cancelled": False, "ground_truth": False, "result": list(regions)} | times | fields


def task(*annotations, scene="a", **fields):
    return {
        "id": 1,
        "data": {"image": "/data/local-files/?d=flowers/images/a.jpg", "scene": scene},
        "annotations": list(annotations),
        "predictions": [{"model_version": "mask", "result": [region(x=90)]}],
        "drafts": [],
        "meta": {},
        "total_annotations": len(annotations),
    } | fields


POLYGON = {"type": "polygonlabels", "value": {"points": [[0, 0], [9, 0], [9, 9]], "polygonlabels": ["rose"]}}


def answers(*tasks):
    return read(json.dumps(tasks).encode(), SIZES, "export.json")


def corners(found, scene="a"):
    return [box.corners for box in found.of[scene].boxes]


def test_a_documented_export_is_read():
    found = answers(task(annotation(region(), region(x=0, y=0, width=100, height=100, rectanglelabels=["tulip"]))))
    assert [box.label for box in found.of["a"].boxes] == ["rose", "tulip"]
    assert np.allclose(corners(found), [[30, 50, 330, 150], [0, 0, 600, 400]])
    assert found.tells_empty and not found.notes


def test_json_min_says_the_same():
    value = region()["value"] | {"original_width": 600, "original_height": 400}
    times = {"annotator": 1, "annotation_id": 1, "created_at": "2021-03-09T22:16:08.728353Z"}
    found = answers({"image": "x/a.jpg", "id": 1, "label": [value]} | times, {"image": "b.jpg", "id": 2} | times)
    assert np.allclose(corners(found), [[30, 50, 330, 150]]) and found.of["b"].boxes == () and found.tells_empty


def test_what_nobody_looked_at_is_not_what_has_no_boxes():
    found = answers(task(annotation()), task(scene="b"))
    assert found.of.keys() == {"a"} and found.of["a"].boxes == ()


def test_skipped_tasks_say_nothing():
    found = answers(task(annotation(region(), was_cancelled=True)), task(annotation(), scene="b"))
    assert found.of.keys() == {"b"} and found.notes == ("1 scene was skipped and stays as it was",)


def test_of_several_annotations_the_newest_that_was_not_skipped_holds():
    first = annotation(region(x=1), updated_at="2021-03-09T22:16:08Z")
    newest = annotation(region(x=2), updated_at="2021-03-09T22:16:08.5Z", created_at="2020-01-01T00:00:00Z")
    east = annotation(region(x=3), updated_at="2021-03-10T00:16:08+02:00")  # the same moment as the first
    skipped = annotation(region(x=4), updated_at="2022-01-01T00:00:00Z", was_cancelled=True)
    for order in ([first, newest, east, skipped], [skipped, newest, east, first]):
        found = answers(task(*order))
        assert np.allclose(corners(found)[0][0], 12)
        assert found.notes == ("1 scene has several annotations, of which the newest holds",)
    untimed = [annotation(region(x=x), updated_at=None, created_at=None) for x in (5, 6)]
    assert np.allclose(corners(answers(task(*untimed)))[0][0], 36)


def test_a_turned_rectangle_becomes_the_upright_box_around_it():
    # A quarter turn clockwise about the top left corner (300, 200): 60 wide and 40 high become 40 wide, to the left.
    found = answers(task(annotation(region(x=50, y=50, width=10, height=10, rotation=90))))
    assert np.allclose(corners(found), [[260, 200, 300, 260]])
    # 3-4-5: 100 wide and 50 high at (300, 200), turned by asin(0.6).
    angle = float(np.degrees(np.arcsin(0.6)))
    found = answers(task(annotation(region(x=50, y=50, width=100 / 6, height=12.5, rotation=angle))))
    assert np.allclose(corners(found), [[270, 200, 380, 300]])
    assert found.notes == ("1 box was turned: the upright box around it was taken",)
    found = answers(task(annotation(region(x=1, y=1, width=10, height=90, rotation=45))))
    assert corners(found)[0][0] == 0  # cut off at the edge


@pytest.mark.parametrize(
    ("data", "meta"),
    [
        ({"image": "http://x/1.jpg", "scene": "b"}, {}),
        ({"image": "http://x/1.jpg"}, {"scene": "b"}),
        ({"image": "/data/local-files/?d=flowers/images/b.jpg"}, None),
        ({"image": "/data/local-files/?d=flowers%2Fimages%2Fb.jpg"}, {}),
    ],
)
def test_a_task_is_known_by_its_scene_or_else_by_its_picture(data, meta):
    assert answers(task(annotation(), data=data, meta=meta)).of.keys() == {"b"}


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        ("{", "export.json is no JSON"),
        ("[" * 100_000, "export.json is no JSON"),
        ('{"id": 1}', "no list of Label Studio's tasks"),
        ([{"data": {"scene": "a"}, "annotations": [3]}], "no list of Label Studio's tasks"),
        ([task(annotation(), scene="c")], "names the picture 'c', which is no scene"),
        ([task(annotation(), data={"image": 3})], "names the picture 3, which is no scene"),
        ([task(annotation()), task(annotation())], "has the scene 'a' twice"),
        ([task(annotation(POLYGON))], "scene 'a', has a polygon, and only boxes"),
        ([task(annotation({"type": "relation", "from_id": "a"}))], "scene 'a', has a relation, and only boxes"),
        ([task(annotation(3))], "has a region of the type 3"),
        ([task(annotation(region(rectanglelabels=[])))], r"with the labels \[\]"),
        ([task(annotation(region(rectanglelabels=["a", "b"])))], "exactly one label"),
        ([task(annotation(region(x="5")))], "'5' is no number"),
        ([task(annotation(region(x=None)))], "None is no number"),
        ([task(annotation(region(width=True)))], "True is no number"),
        ([task(annotation(region(y=float("nan"))))], "nan is no number"),
        ([task(annotation(region(height=10**400)))], "is no number"),
        ([task(annotation(region(image_rotation=90)))], "a turned picture"),
        (
            [task(annotation(region(original_width=300)))],
            "its picture 300 x 400 pixels, and the dataset's has 600 x 400",
        ),
        ([task(annotation(updated_at="yesterday"))], "of the time 'yesterday'"),
        ([task(annotation(updated_at=5))], "of the time 5"),
    ],
)
def test_what_cannot_be_right_is_told_in_one_sentence(tasks, words):
    content = tasks if isinstance(tasks, str) else json.dumps(tasks)
    with pytest.raises(FrostlineError, match=words) as error:
        read(content.encode(), SIZES, "export.json")
    assert "\n" not in str(error.value)


def test_tasks_are_what_the_documentation_asks_for():
    proposals = [
        Proposal("a", "a b.jpg", (600, 400), (Box("rose", (30, 50, 330, 150), 0.75),), by="run 1", uncertainty=0.25),
        Proposal("b", "b.png", (80, 50), (Box("rose", (0, 0, 8, 5)),), annotated=True),
        Proposal("c", "c.png", (80, 50)),
    ]
    proposals.append(Proposal("d", "d.png", (80, 50), (Box("rose", (0, 0, 8, 5)),), by="mask"))
    first, second, third, fourth = write(proposals, "/data/local-files/?d=flowers/", "run 1")
    assert first["data"] == {"image": "/data/local-files/?d=flowers/images/a%20b.jpg", "scene": "a"}
    assert first["meta"] == {"scene": "a"} and "annotations" not in first
    (prediction,) = first["predictions"]
    assert prediction["model_version"] == "run 1" and prediction["score"] == 0.75
    (drawn,) = prediction["result"]
    assert drawn == region(id="a-0", score=0.75)
    assert "predictions" not in second and second["annotations"][0]["result"][0]["value"]["width"] == 10
    assert third.keys() == {"data", "meta"}
    # Of one version with the first, whoever proposed it: people see the predictions of one version only.
    assert fourth["predictions"][0]["model_version"] == "run 1" and "score" not in fourth["predictions"][0]


def test_the_labelling_configuration_names_every_class():
    view = ElementTree.fromstring(labelling_config(["rose", 'sweet "william" & co']))
    labels = view.find("RectangleLabels")
    assert [label.get("value") for label in labels] == ["rose", 'sweet "william" & co']
    drawn = write([Proposal("a", "a.jpg", (60, 40), (Box("rose", (0, 0, 1, 1)),), by="mask")], "", "v")[0][
        "predictions"
    ][0]
    assert labels.get("name") == drawn["result"][0]["from_name"]
    assert view.find("Image").get("name") == labels.get("toName") == drawn["result"][0]["to_name"]
    assert view.find("Image").get("value") == "$image" and labels.get("canRotate") == "false"


sides = st.integers(1, 5000)
shares = st.tuples(*[st.floats(0, 1, width=32)] * 4)


@given(sides, sides, st.lists(st.tuples(shares, st.sampled_from(["rose", "ä & <b>", "2"])), max_size=4))
def test_out_and_back_is_the_same(width, height, drawn):
    boxes = []
    for (a, b, c, d), label in drawn:
        xs, ys = sorted((a * width, c * width)), sorted((b * height, d * height))
        boxes.append(Box(label, (np.float32(xs[0]).item(), np.float32(ys[0]).item(),
                                 np.float32(xs[1]).item(), np.float32(ys[1]).item())))  # fmt: skip
    proposal = Proposal("s", "s.jpg", (width, height), tuple(boxes), annotated=True)
    found = read(json.dumps(write([proposal], "", "v")).encode(), {"s": (width, height)}, "f").of["s"].boxes
    assert [box.label for box in found] == [box.label for box in boxes]
    was, now = (np.array([box.corners for box in some], np.float32) for some in (boxes, found))
    assert np.allclose(was, now, rtol=0, atol=1e-3)
