#!/usr/bin/env bash
# pycocotools 2.0.11, hotcoco 1.3.0
#
# One picture with one object and one detection that fits it exactly, measured by both libraries, of which the
# second is made to stand in for the first. The object's annotation has the id 1, then 0, as from a counter
# that starts at zero.
#
# Expected: an id is only a name. The average precision is 1 each time, and both libraries agree.
#
# Seen: for pycocotools the detection of annotation 0 is a false alarm, as it notes the id of the matched
# annotation and takes 0 for 'no match'. hotcoco gives 1. No word from either.
# | annotation id 1, by_pycocotools: AP 1.0
# | annotation id 1, by_hotcoco: AP 1.0
# | annotation id 0, by_pycocotools: AP 0.0
# | annotation id 0, by_hotcoco: AP 1.0

set -euo pipefail
here=$(realpath "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
venv=${FINDINGS_VENV:-$work/venv}
[ -x "$venv/bin/python" ] || uv venv --quiet --python '>=3.11,<3.14' "$venv"
uv pip install --quiet --python "$venv/bin/python" pycocotools==2.0.11 hotcoco==1.3.0
cd "$work"

"$venv/bin/python" - >seen <<'PY'
import contextlib
import io

import hotcoco
import pycocotools.coco
import pycocotools.cocoeval

found = [{"image_id": 1, "category_id": 1, "bbox": [10, 10, 40, 40], "score": 0.9}]


def truth(number):
    thing = {"id": number, "image_id": 1, "category_id": 1, "bbox": [10, 10, 40, 40], "area": 1600, "iscrowd": 0}
    pictures = [{"id": 1, "width": 100, "height": 100}]
    return {"images": pictures, "categories": [{"id": 1, "name": "cat"}], "annotations": [thing]}


def by_pycocotools(number):
    coco = pycocotools.coco.COCO()
    coco.dataset = truth(number)
    coco.createIndex()
    return pycocotools.cocoeval.COCOeval(coco, coco.loadRes(found), "bbox")


def by_hotcoco(number):
    coco = hotcoco.COCO(truth(number))
    return hotcoco.COCOeval(coco, coco.load_res(found), "bbox")


for number in (1, 0):
    for measure in (by_pycocotools, by_hotcoco):
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = measure(number)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        print(f"annotation id {number}, {measure.__name__}: AP {evaluation.stats[0]:.1f}")
PY

cat seen
diff <(sed -n 's/^# | //p' "$here") seen
