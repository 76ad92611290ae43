from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline.annotate.boxes import Box, Proposal
from frostline.annotate.cvat import read, write
from frostline.errors import FrostlineError

SIZES = {"a": (1600, 1200), "b": (80, 50)}
BOX = '<box label="plate" xtl="797.33" ytl="870.92" xbr="965.52" ybr="928.94" occluded="0" z_order="4"></box>'


def document(*shapes, name="a.jpg", size='width="1600" height="1200"', more=""):
    """A file as the tool's documentation describes it."""
    return f"""<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task><id>4</id><name>plates</name><size>2</size><mode>annotation</mode><overlap>0</overlap>
      <labels><label><name>plate</name><attributes></attributes></label></labels>
    </task>
    <dumped>2018-09-25 11:38:28.799808+03:00</dumped>
  </meta>
  <image id="0" name="{name}" {size}>{"".join(shapes)}</image>{more}
</annotations>"""


def answers(text):
    return read(text.encode(), SIZES, "annotations.xml")


def test_a_documented_file_is_read():
    tag = '<tag label="good_frame" source="manual"></tag>'
    other = '<image id="1" name="some/folder/b.png" width="80" height="50"></image>'
    found = answers(document(BOX, tag, more=other))
    (box,) = found.of["a"].boxes
    assert box == Box("plate", (797.33, 870.92, 965.52, 928.94))
    assert found.of["b"].boxes == () and not found.tells_empty and not found.notes


def test_a_turned_box_becomes_the_upright_box_around_it():
    # 100 wide and 40 high about its centre (250, 220): a quarter turn makes it 40 wide and 100 high.
    turned = '<box label="p" xtl="200" ytl="200" xbr="300" ybr="240" occluded="0" rotation="{}"/>'
    found = answers(document(turned.format("90.0")))
    assert np.allclose(found.of["a"].boxes[0].corners, [230, 170, 270, 270])
    assert found.notes == ("1 box was turned: the upright box around it was taken",)
    # 3-4-5: half of it reaches 50 * 0.8 + 20 * 0.6 = 52 across and 50 * 0.6 + 20 * 0.8 = 46 down.
    found = answers(document(turned.format(np.degrees(np.arcsin(0.6)))))
    assert np.allclose(found.of["a"].boxes[0].corners, [198, 174, 302, 266])


BOMB = '<!DOCTYPE a [<!ENTITY e "eeee">]>'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<annotations>", "is no readable XML"),
        (document(BOX).replace("<annotations>", BOMB + "<annotations>"), "is no readable XML"),
        ("<annotation></annotation>", "is not CVAT's XML for images"),
        (document(more='<track id="0" label="car"></track>'), "export as 'CVAT for images 1.1'"),
        (document(name="c.jpg"), "names the picture 'c.jpg', which is no scene"),
        (document().replace('name="a.jpg"', ""), "names the picture None"),
        (document(more='<image name="a.jpg" width="1600" height="1200"/>'), "has the scene 'a' twice"),
        (document(size='width="800" height="600"'), "its picture 800 x 600 pixels, and the dataset's has 1600 x 1200"),
        (document(size=""), "its picture None x None"),
        (document('<polygon label="car" points="1,1;2,2;3,1"/>'), "scene 'a', has a polygon, and only boxes"),
        (document('<polyline label="car" points="1,1;2,2"/>'), "scene 'a', has a <polyline>, and only boxes"),
        (document(BOX.replace('label="plate"', "")), "a box without a label"),
        (document(BOX.replace('xtl="797.33"', "")), "a box that cannot be read"),
        (document(BOX.replace("870.92", "nan")), "nan is no number"),
        (document(BOX.replace("870.92", "1e300")), "is no number"),
    ],
)
def test_what_cannot_be_right_is_told_in_one_sentence(text, words):
    with pytest.raises(FrostlineError, match=words) as error:
        answers(text)
    assert "\n" not in str(error.value)


def test_a_file_is_what_the_documentation_asks_for():
    proposals = [
        Proposal("b", "b.jpg", (80, 50), (Box("rose", (1, 2, 3.5, 4), 0.5),), by="run", uncertainty=0.5),
        Proposal("a", "a.jpg", (60, 40), (Box("a & b", (0, 0, 60, 40)),), annotated=True),
    ]
    text = write(proposals, ["rose", "a & b"], "flowers")
    assert text.startswith("<?xml version=")
    root = ElementTree.fromstring(text)
    assert root.tag == "annotations" and root.findtext("version") == "1.1"
    task = root.find("meta/task")
    assert [task.findtext(key) for key in ("name", "size", "mode")] == ["flowers", "2", "annotation"]
    assert [label.findtext("name") for label in task.find("labels")] == ["rose", "a & b"]
    first, second = root.findall("image")
    # The most uncertain comes first; CVAT numbers pictures by their names.
    assert first.attrib == {"id": "1", "name": "b.jpg", "width": "80", "height": "50"}
    assert second.get("id") == "0"
    corners = {"xtl": "1", "ytl": "2", "xbr": "3.5", "ybr": "4"}
    assert first.find("box").attrib == {"label": "rose", "source": "auto", "occluded": "0", "z_order": "0"} | corners
    assert second.find("box").get("source") == "manual" and second.find("box").get("label") == "a & b"


numbers = st.floats(0, 5000, width=32)


@given(st.lists(st.tuples(numbers, numbers, numbers, numbers, st.sampled_from(["rose", "ä & <b>", '"'])), max_size=4))
def test_out_and_back_is_the_same(drawn):
    boxes = tuple(Box(label, corners) for *corners, label in ((a, b, c, d, e) for a, b, c, d, e in drawn))
    boxes = tuple(Box(box.label, tuple(box.corners)) for box in boxes)
    proposal = Proposal("s", "s.jpg", (5000, 5000), boxes, annotated=True)
    text = write([proposal], ["rose"], "d")
    assert read(text.encode(), {"s": (5000, 5000)}, "f").of["s"].boxes == boxes
