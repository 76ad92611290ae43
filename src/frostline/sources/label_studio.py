"""Label Studio's exports as a source: JSON and JSON-MIN, with the pictures of their tasks."""

import re
from pathlib import Path

from frostline.errors import FrostlineError, check_choice
from frostline.parsing.found import Pictures
from frostline.parsing.lookup import head_of
from frostline.parsing.places import below, chosen, content_of, few_below, told
from frostline.parsing.shapes import Page
from frostline.sources.drawn import Drawn
from frostline.sources.label_studio_tasks import RULES, add_regions, pick, read_tasks, together

_WHAT = "Label Studio's JSON"
_TASKS = re.compile(rb'"(result|completed_by|was_cancelled|data|completions|annotator|annotation_id)"\s*:')
_HEAD = 1 << 16  # bytes; one region of a brush takes thousands


class LabelStudio(Drawn):
    """JSON that Label Studio exports, with its annotations or as JSON-MIN, and the pictures of its tasks.

    root: a folder in which every such file is read, however deep, or one file. annotations: one file below `root` in
    their place. images: the folder of the pictures, or several, by default all of `root`. A picture is found by the
    path in its address or by its name, also without the signs that an upload puts before it, where that is there once.

    Regions are in shares of the picture as it is shown, whatever size stands beside them. Rectangles, ellipses,
    polygons and brushes become boxes, turned ones by the upright box around them, and masks where there are outlines.
    What was chosen for the whole picture is its label; choice: the question's name, where several were asked.

    A submitted annotation without regions says "looked, found none". A task whose annotations were all cancelled, and
    one without any, is no scene. annotator: which of several annotations holds: the "newest" by its last change, the
    "oldest", or the one marked as "ground_truth" and, without one, the newest. `notes` tells all this with its counts.
    absent: what pictures are that no task names: "skip", none of the dataset, or "empty", without objects.
    turned: whether shares are of the picture as it is shown or stored, where EXIF turns it (`turned.Turned`).

    Raises FrostlineError for a missing root or file, for a file that is no such JSON, and where several questions were
    asked and `choice` names none of them.
    """

    def __init__(
        self,
        root: str | Path,
        annotations: str | None = None,
        images: str | list[str] | None = None,
        annotator: str = "newest",
        choice: str | None = None,
        absent: str = "skip",
        turned: str = "auto",
    ) -> None:
        check_choice("dataset.source.annotator", annotator, RULES)
        folder, files = chosen(root, annotations, _WHAT, _files)
        pages: list[Page] = []
        answers: list[dict[str, list[str]]] = []
        unseen: list[Page] = []
        several = cancelled = 0
        for file in files:
            tasks = together(read_tasks(content_of(file), str(file)))
            for task in tasks:
                page = Page(task.picture or "", file, called=task.called, shares=True)
                if not task.picture:
                    page.wrong("has no picture in its data")
                if not task.done:
                    cancelled += bool(task.annotations)
                    unseen.append(page)
                    continue
                several += len(task.done) > 1
                answers.append(add_regions(page, pick(task.done, annotator, page).result))
                pages.append(page)
        self._choose(pages, answers, choice)
        never = len(unseen) - cancelled
        self.notes = [
            text
            for count, text in (
                (cancelled, f"{cancelled} task(s) cancelled (skipped): no scenes"),
                (never, f"{never} task(s) without an annotation, which nobody looked at: no scenes"),
                (several, f"{several} task(s) with several annotations, of which the {_NAMED[annotator]} holds, as "
                          "dataset.source.annotator says"),
            )
            if count
        ]  # fmt: skip
        self._take(folder, pages, Pictures(folder, images), absent, unseen, turned=turned)

    def _choose(self, pages: list[Page], answers: list[dict[str, list[str]]], choice: str | None) -> None:
        """Give each page the choices of one question."""
        asked = sorted({question for given in answers for question in given})
        if choice is None and len(asked) > 1:
            raise FrostlineError(
                f"{pages[0].file} has choices of several questions ({', '.join(asked)}): name the one that tells the "
                "label in dataset.source.choice."
            )
        if choice is not None and choice not in asked:
            raise FrostlineError(
                f"dataset.source.choice is '{choice}', and the choices there are: {', '.join(asked) or 'none'}."
            )
        for page, given in zip(pages, answers, strict=True):
            page.labels = given.get(asked[0] if choice is None else choice, []) if asked else []


_NAMED = {"newest": "newest", "oldest": "oldest", "ground_truth": "one marked as ground truth (else the newest)"}


def _is_one(path: Path) -> bool:
    start = head_of(path, _HEAD).lstrip(b"\xef\xbb\xbf \t\r\n")
    return start.startswith(b"[") and _TASKS.search(start) is not None


def _files(root: Path) -> list[Path]:
    return [path for path in below(root, "*.json") if _is_one(path)]


def fits(root: Path) -> str | None:
    """What lies there as Label Studio's export; None where nothing does."""
    files = [path for path in few_below(root, "*.json") if _is_one(path)]
    return f"{_WHAT}, {told(files)}" if files else None
