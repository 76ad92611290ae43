"""From where corners are counted: what each kind of evidence says, and which outweighs which."""

import numpy as np
import pytest

from frostline.errors import FrostlineError
from frostline.parsing.corners import WRITERS, Written, counted, from_one

WHOLE = [[3, 4, 20, 12], [6, 7, 18, 17]]


def files(*boxes, size=(30, 20), writer=None):
    return [Written(np.array([box], np.float32), size, writer) for box in boxes]


@pytest.mark.parametrize(
    ("found", "first", "why"),
    [
        (files(*WHOLE), 1, "the corners of 2 boxes are whole numbers"),
        (files(*WHOLE, [1, 1, 30, 20]), 1, "are whole numbers"),
        (files(*WHOLE, [0, 4, 9, 9]), 0, "1 of 3 boxes begin before 1"),
        (files(*WHOLE, [0.5, 4, 9, 9]), 0, "1 of 3 boxes begin before 1"),
        (files(*WHOLE, [12.25, 22.5, 44.75, 54.5]), 0, "1 of 3 boxes have corners with fractions"),
        (files(*9 * [[1, 4, 9, 9]], [0, 4, 9, 9]), 0, "1 of 10 boxes begin before 1"),
        # One slip among many that begin at 1 is no rule for them.
        (files(*11 * [[1, 4, 9, 9]], [0, 4, 9, 9]), 1, "and only 1 begin before 1"),
        (files(*11 * WHOLE, [3.5, 4, 9, 9]), 1, "but for 1 boxes"),
        # Edges of the picture.
        (files(*WHOLE, *3 * [[3, 4, 29, 9]]), 0, "3 of 5 boxes end at the picture's size less one"),
        (files(*WHOLE, *3 * [[3, 4, 29, 9]], [3, 4, 30, 9]), 1, "are whole numbers"),
        (files(*WHOLE, *2 * [[3, 4, 29, 9]]), 1, "are whole numbers"),
        # Who wrote them.
        (files(*WHOLE, writer="pylabel"), 0, "2 of 2 files have the mark of pylabel"),
        (files(*WHOLE, *3 * [[3, 4, 29, 9]], writer="LabelImg"), 1, "5 of 5 files have the mark of LabelImg"),
        (files(*WHOLE, writer="pylabel") + files(*WHOLE), 1, "are whole numbers"),
        # What pixels counted from 1 cannot be outweighs the mark.
        (files(*WHOLE, [0, 4, 9, 9], writer="LabelImg"), 0, "begin before 1"),
        (files([3.5, 4.5, 9, 9], writer="Roboflow"), 0, "fractions"),
    ],
)
def test_all_the_evidence_is_looked_at(found, first, why):
    judged = counted("auto", found)
    assert judged.first == first and why in judged.why
    other = "zero_based" if first else "one_based"
    assert judged.why.endswith(f"dataset.source.corners={other} takes the other")


def test_what_tells_nothing():
    for found in ([], files(), files([9, 9, 2, 2], [0, 0, 0, 0], [float("nan"), 0, 3, 3])):
        assert counted("auto", found).first == 1 and counted("auto", found).why is None


def test_a_setting_decides_without_a_word():
    corners = np.array([[0.5, 1, 9, 9]], np.float32)
    for rule, box in (("zero_based", [0.5, 1, 9, 9]), ("one_based", [-0.5, 0, 9, 9])):
        counting = counted(rule, files([3, 4, 9, 9], writer="pylabel"))
        assert counting.why is None and counting.boxes(corners).tolist() == [box]
    with pytest.raises(FrostlineError, match="dataset.source.corners is 1: set it to auto, one_based, zero_based"):
        counted(1, [])


@pytest.mark.parametrize("writer", WRITERS)
def test_whole_numbers_count_as_their_writer_does(writer):
    assert counted("auto", files(*WHOLE, writer=writer)).first == (writer in ("LabelImg", "PASCAL VOC", "Roboflow"))


def test_minima_move_and_empty_boxes_do_not():
    corners = np.array([[1, 1, 2, 3], [5, 5, 5, 9], [5, 9, 7, 8]], np.float32)
    assert from_one(corners).tolist() == [[0, 0, 2, 3], [5, 5, 5, 9], [5, 9, 7, 8]]
    assert from_one(np.zeros((0, 4), np.float32)).shape == (0, 4)
