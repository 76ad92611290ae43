#!/usr/bin/env bash
# pycocotools 2.0.11, hotcoco 1.3.0
#
# One picture with two objects and one detection, which fits the first exactly. The second object is not to be judged,
# and says so as converters from Pascal VOC write it, by "ignore": 1; then as a crowd; then by an area that is larger
# than any of the sizes that are looked at.
#
# Expected: the field `ignore`, which the evaluation's code reads, keeps the object out of the figures.
#
# Seen: both libraries set `ignore` anew from `iscrowd` before they match, so the object counts as missed. As a crowd, or
# of such an area, it counts neither way. (As a crowd it also takes any number of detections, and by another overlap.)
# | ignore, by_pycocotools: AR 0.5
# | ignore, by_hotcoco: AR 0.5
# | iscrowd, by_pycocotools: AR 1.0
# | iscrowd, by_hotcoco: AR 1.0
# | area, by_pycocotools: AR 1.0
# | area, by_hotcoco: AR 1.0

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


def truth(marked):
    thing = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 40, 40], "area": 1600, "iscrowd": 0}
    other = thing | {"id": 2, "bbox": [60, 60, 40, 40]} | marked
    pictures = [{"id": 1, "width": 100, "height": 100}]
    return {"images": pictures, "categories": [{"id": 1, "name": "cat"}], "annotations": [thing, other]}


def by_pycocotools(marked):
    coco = pycocotools.coco.COCO()
    coco.dataset = truth(marked)
    coco.createIndex()
    return pycocotools.cocoeval.COCOeval(coco, coco.loadRes(found), "bbox")


def by_hotcoco(marked):
    coco = hotcoco.COCO(truth(marked))
    return hotcoco.COCOeval(coco, coco.load_res(found), "bbox")


for marked in ({"ignore": 1}, {"iscrowd": 1}, {"area": 1e12}):
    for measure in (by_pycocotools, by_hotcoco):
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = measure(marked)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        print(f"{next(iter(marked))}, {measure.__name__}: AR {evaluation.stats[8]:.1f}")
PY

cat seen
diff <(sed -n 's/^# | //p' "$here") seen
