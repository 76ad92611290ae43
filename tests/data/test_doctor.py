"""Every kind of fault, injected once, is named once, and nothing else is."""

import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from frostline.cli import main
from frostline.config import compose
from frostline.data.checks import policies
from frostline.data.doctor import diagnose, table, to_html, to_json
from frostline.data.duplicates import alike
from frostline.data.faults import KINDS, Fault
from frostline.data.prepare import prepare, source_from_config
from frostline.data.scenes import Classes, Scene
from frostline.data.sources.prepared import Prepared
from frostline.data.splits import Split

CLASSES = Classes(labels=("a", "b", "rare"), boxes=("x", "y"), masks=("back", "front"))
SIZE = (64, 48)


def picture(seed):
    """A smooth picture of its own."""
    cells = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(cells).resize(SIZE, Image.Resampling.BICUBIC)


class Injected:
    """Thirty clean scenes with given splits, and one more for each fault. `expected`: kind -> places."""

    classes = CLASSES

    def __init__(self, root):
        self.root, self.found, self.expected, self.seed = root, [], {}, 1000
        for number in range(30):
            split = ("train", "val", "test")[number % 3]
            self.add(f"clean{number}", label=number % 2, split=split)
        self.add("rare", label=2, split="val")  # never in train or test
        self.expect("class_untrained", "split train")
        self.expect("class_absent", "split test")
        self.pictures()
        self.boxes()
        self.annotations()
        self.duplicates()

    def add(self, name, image=None, **fields):
        self.seed += 1
        path = self.root / f"{name}.png"
        if image is None:
            picture(self.seed).save(path)
        elif not isinstance(image, Image.Image):
            path = image
        else:
            image.save(path)
        mask = np.zeros(SIZE[::-1], np.uint8)
        mask[10:20, 10:30] = 1
        defaults = {
            "label": 0,
            "boxes": np.array([[10, 10, 30, 20], [1, 2, 9, 9]], np.float32),
            "box_labels": np.array([0, 1]),
            "mask": mask,
            "split": "train",
            "boxes_file": self.root / f"{name}.xml",
            "box_lines": [5, 12],
        }
        self.found.append(Scene(name, path, **defaults | fields))
        return path

    def expect(self, kind, place, line=None):
        self.expected.setdefault(kind, []).append((str(place), line))

    def pictures(self):
        def save(name, image, **options):
            path = self.root / name
            image.save(path, **options)
            return path

        self.expect("picture_missing", self.add("gone", self.root / "gone.png"))
        (self.root / "text.png").write_text("no picture")
        self.expect("picture_unreadable", self.add("text", self.root / "text.png"))
        cut = save("cut.jpg", picture(1), quality=95)
        cut.write_bytes(cut.read_bytes()[:-300])
        self.expect("picture_unreadable", self.add("cut", cut))
        self.expect("picture_huge", self.add("huge", save("huge.png", Image.new("L", (500, 500)))))
        self.expect("picture_extension", self.add("named", save("named.png", picture(2), format="JPEG")))
        exif = Image.Exif()
        exif[0x0112] = 6
        turned = save("turned.jpg", picture(3).transpose(Image.Transpose.ROTATE_90), exif=exif)
        self.expect("picture_rotated", self.add("turned", turned))
        self.expect("picture_palette", self.add("palette", picture(4).quantize(64)))
        self.expect("picture_cmyk", self.add("print", save("print.jpg", picture(5).convert("CMYK"))))
        deep = Image.fromarray(np.asarray(picture(6).convert("L")).astype(np.uint16) * 257)
        self.expect("picture_16_bit", self.add("deep", deep))
        clear = picture(7)
        clear.putalpha(128)
        self.expect("picture_alpha", self.add("clear", clear))

    def boxes(self):
        good = [10, 10, 30, 20]
        for name, kind, box in (
            ("flat", "box_empty", [5, 5, 5, 9]),
            ("swapped", "box_reversed", [40, 30, 20, 10]),
            ("outside", "box_outside", [50, 30, 70, 40]),
            ("far", "box_outside", [100, 100, 120, 110]),
            ("twice", "box_duplicate", good),
            ("nan", "annotation_unreadable", [0, 0, np.nan, 9]),
        ):
            self.add(name, boxes=np.array([good, box], np.float32), box_labels=np.array([0, 0]))
            self.expect(kind, self.root / f"{name}.xml", 12)
        self.add("shares", boxes=np.array([[0.1, 0.1, 0.5, 0.5], [0.2, 0.2, 1, 1]], np.float32))
        self.expect("box_units", self.root / "shares.xml", 5)
        self.add("strange", box_labels=np.array([0, 7]))
        self.expect("label_unknown", self.root / "strange.xml", 12)

    def annotations(self):
        self.expect("label_unknown", self.add("label", label=9))
        told = Fault("path_outside", self.root / "list.csv", "names '../x.png', which leaves the root", 3)
        self.add("escape", faults=(told,))
        self.expect("path_outside", self.root / "list.csv", 3)
        self.add("unpaired", mask=self.root / "unpaired-mask.png")
        self.expect("annotation_missing", self.root / "unpaired-mask.png")
        Image.new("RGB", SIZE).save(self.root / "coloured-mask.png")
        self.add("coloured", mask=self.root / "coloured-mask.png")
        self.expect("annotation_unreadable", self.root / "coloured-mask.png")
        self.expect("mask_size", self.add("small", mask=np.zeros((24, 32), np.uint8)))
        self.expect("mask_value", self.add("value", mask=np.full(SIZE[::-1], 7, np.uint8)))

    def duplicates(self):
        self.add("same1", picture(20))
        self.expect("duplicate", self.add("same2", picture(20)))
        self.add("near1", picture(21))
        smaller = self.root / "near2.jpg"
        picture(21).resize((32, 24)).resize(SIZE).save(smaller, quality=60)
        self.expect("duplicate", self.add("near2", smaller))
        self.add("leak1", picture(22), split="test")
        self.expect("duplicate_across_splits", self.add("leak2", picture(22), split="train"))
        for name, label in (("odd1", 0), ("odd2", 1)):
            self.expect("label_conflict", self.add(name, picture(23), label=label))

    def scenes(self):
        return iter(self.found)


@pytest.fixture(scope="module")
def injected(tmp_path_factory):
    return Injected(tmp_path_factory.mktemp("injected"))


def examined(source, split=None, policy=None):
    return diagnose(source, split or Split(given=True), policy or policies("fail", {}), "injected", max_pixels=10_000)


def places(found):
    kinds = {}
    for finding in found.findings:
        kinds.setdefault(finding.fault.kind, []).append((str(finding.fault.file), finding.fault.line))
    return {kind: sorted(where, key=str) for kind, where in kinds.items()}


def test_every_fault_is_named_and_none_invented(injected):
    expected = {kind: sorted(where, key=str) for kind, where in injected.expected.items()}
    assert places(examined(injected)) == expected
    told_elsewhere = {"file_changed", "split_empty"}
    assert set(expected) | told_elsewhere == set(KINDS), "a kind without a test"


def test_nothing_is_wrong_with_clean_data(tmp_path, injected):
    clean = Injected.__new__(Injected)
    clean.found = [scene for scene in injected.found if scene.id.startswith("clean")]
    clean.classes = Classes(("a", "b"), CLASSES.boxes, CLASSES.masks)
    assert not examined(clean).findings
    dataset = prepare(clean, tmp_path / "out", name="clean", split={"given": True})
    assert not examined(Prepared(dataset.path)).findings


def test_everything_that_can_be_mended_is_mended(tmp_path, injected):
    before = {path: path.read_bytes() for path in injected.root.iterdir()}
    source = Injected.__new__(Injected)
    source.found, source.classes = injected.found, CLASSES
    fixing = policies("fix", {"class_untrained": "skip"})
    dataset = prepare(source, tmp_path / "out", name="x", split={"given": True}, faults=fixing, max_pixels=10_000)
    assert before == {path: path.read_bytes() for path in injected.root.iterdir()}, "the user's own files were changed"
    found = {scene.id: scene for split in ("train", "val", "test") for scene in dataset.scenes(split)}
    assert found["flat"].boxes.tolist() == [[10, 10, 30, 20]] == found["twice"].boxes.tolist()
    assert found["swapped"].boxes[1].tolist() == [20, 10, 40, 30]
    assert found["outside"].boxes[1].tolist() == [50, 30, 64, 40] and len(found["far"].boxes) == 1
    assert np.allclose(found["shares"].boxes[0], [6.4, 4.8, 32, 24])
    assert (np.asarray(Image.open(found["value"].mask)) == 255).all()
    assert "leak1" in found and "leak2" not in found and not {"odd1", "odd2"} & set(found)
    assert found["near1"].split == found["near2"].split and "same2" not in found
    assert not examined(Prepared(dataset.path)).findings or set(places(examined(Prepared(dataset.path)))) == {
        "duplicate",
        "class_untrained",
        "class_absent",
    }


def test_a_changed_file_of_a_prepared_dataset_is_found(tmp_path, listed, drawn):
    dataset = prepare(listed(drawn(20)), tmp_path / "out", name="x")
    changed = sorted((dataset.path / "images").iterdir())[0]
    Image.open(changed).rotate(180).save(changed)
    assert places(examined(Prepared(dataset.path))) == {"file_changed": [(str(changed), None)]}


def test_the_report_in_three_forms(injected):
    found = examined(injected)
    told = json.loads(to_json(found, "injected"))
    assert told["counts"] == {kind: len(where) for kind, where in sorted(injected.expected.items())}
    assert {"kind": "path_outside", "line": 3}.items() <= next(f for f in told["findings"] if f["line"] == 3).items()
    page = to_html(found, "<script>injected")
    assert "<script>" not in page and "data:image/jpeg;base64," in page and "flat.xml:12" in page
    assert "http://" not in page and "https://" not in page
    assert len(table(found, "injected").rows) == len(injected.expected)


def test_the_command(tmp_path, capsys, monkeypatch):
    for number in range(8):
        (tmp_path / "pictures" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        picture(number).save(tmp_path / "pictures" / "ab"[number % 2] / f"{number}.png")
    source = ["dataset=folder", f"dataset.root={tmp_path / 'pictures'}"]
    assert main(["doctor", *source]) == 0
    assert "nothing is wrong" in capsys.readouterr().out
    (tmp_path / "pictures" / "a" / "bad.png").write_text("no")
    report = tmp_path / "report.html"
    assert main(["doctor", *source, "--html", str(report), "--json", str(tmp_path / "report.json")]) == 1
    assert "bad.png" in report.read_text()
    assert Counter(f["kind"] for f in json.loads((tmp_path / "report.json").read_text())["findings"]) == {
        "picture_unreadable": 1
    }
    assert main(["doctor", *source, "--html", str(tmp_path / "nowhere" / "report.html")]) == 2
    assert main(["doctor", str(tmp_path / "nothing")]) == 2


def test_near_identical_pictures_are_alike_and_others_are_not():
    def thumbnail(image):
        return np.asarray(image.convert("L").resize((16, 16), Image.Resampling.BOX))

    pictures = [picture(number) for number in range(60)]
    lighter = [image.point(lambda value: min(255, value + 6)) for image in pictures[:20]]
    smaller = [image.resize((40, 30)).resize(SIZE) for image in pictures[:20]]
    every = [*pictures, *lighter, *smaller]
    same = alike([str(number) for number in range(len(every))], [thumbnail(image) for image in every])
    assert same == [*range(60), *range(20), *range(20)]


EXPECTED = {
    "pets": ("pets3", {"picture_extension": 2, "picture_alpha": 1}),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_real_data(real_data, name):
    folder, expected = EXPECTED[name]
    source, config = source_from_config(compose([f"dataset={name}", f"dataset.root={real_data / folder}"])["dataset"])
    policy = policies(config["on_fault"], config["faults"])
    found = diagnose(source, Split(**config["split"]), policy, name)
    assert {kind: len(where) for kind, where in places(found).items()} == expected
