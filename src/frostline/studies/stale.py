"""Which runs of a study would be trained by the next `dvc repro`, and why."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

from frostline.config import Config, to_yaml
from frostline.errors import FrostlineError
from frostline.runs.identity import MARK
from frostline.runs.workplace import DONE, identity, prepared
from frostline.scenes.layout import read_info
from frostline.studies.pipeline import check_pipeline, pipeline_of
from frostline.studies.plan import code_of
from frostline.studies.study import Study

CODE = Path("code", "train.txt")  # in the folder of plans


def stale(study: Study, runs: Mapping[str, Config]) -> dict[str, str]:
    """Why each run would be trained by the next `dvc repro`; runs that would not are left out."""
    check_pipeline(study)
    trained = {name: study.runs / "results" / name / "result.json" for name in runs}
    trained = {name: path.parent for name, path in trained.items() if path.is_file()}
    changed = _changed_stages(study) if trained else {}
    code = study.runs / "plan" / CODE
    planned, edited = code.is_file(), code_changed(study)
    reasons: dict[str, str] = {}
    for name, config in runs.items():
        paths = changed.get(f"train@{name}", [])
        if name not in trained:
            reasons[name] = "never trained"
        elif (trained[name] / "config.yaml").read_text() != to_yaml(config):
            reasons[name] = "configuration changed"
        elif edited or (planned and str(code) in paths):
            reasons[name] = "code changed"
        # The plan's own files were compared above, as they will be.
        elif others := [path for path in paths if "/plan/" not in path]:
            reasons[name] = (
                "data changed"
                if all(path.startswith(str(study.runs / "data")) for path in others)
                else f"{', '.join(others)} changed"
            )
    return reasons


def code_changed(study: Study) -> bool:
    """Whether the code that trains is another than when the study was planned, which is what DVC compares."""
    code = study.runs / "plan" / CODE
    return code.is_file() and code.read_text() != code_of("train")


def of_other_code(study: Study) -> set[str]:
    """Runs whose results DVC took over from another state of the code than today's.

    By its lock alone, as asking DVC takes seconds; of runs that are not in it nothing is known.
    """
    lock = pipeline_of(study).with_name("dvc.lock")
    try:
        # By C where it is there, as a lock of a hundred runs takes a second else.
        held = yaml.load(lock.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        deps = {name: stage["deps"] for name, stage in held["stages"].items() if name.startswith("train@")}
        file = CODE.as_posix()
        found = {name: dep["md5"] for name, own in deps.items() for dep in own if dep["path"].endswith(file)}
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError):  # none, or none that can be read
        return set()
    today = hashlib.md5(code_of("train").encode(), usedforsecurity=False).hexdigest()
    return {name.removeprefix("train@") for name, code in found.items() if code != today}


def finished_ahead(study: Study, runs: Mapping[str, Config]) -> set[str]:
    """Runs that are finished in their workplace, by these configurations, today's data and code: `dvc repro` takes them
    over without training."""
    found = set()
    for name, config in runs.items():
        work = study.runs / "work" / name
        try:
            data_hash = str(read_info(study.runs / "data" / prepared(config))["data_hash"])
            if (work / DONE).is_file() and (work / MARK).read_text(encoding="utf-8") == identity(config, data_hash):
                found.add(name)
        except (FrostlineError, OSError):  # not prepared, or not begun
            continue
    return found


def _changed_stages(study: Study) -> dict[str, list[str]]:
    """What DVC says has changed since each stage ran, sorted; nothing where the study is no DVC pipeline."""
    pipeline = pipeline_of(study)
    if not pipeline.is_file():
        return {}
    answer = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "--json", str(pipeline)], capture_output=True, text=True
    )
    if answer.returncode:
        raise FrostlineError(f"`dvc status {pipeline}` failed: {(answer.stderr.strip() or 'no reason given')[-300:]}")
    changed: dict[str, list[str]] = {}
    for stage, changes in json.loads(answer.stdout or "{}").items():
        for change in changes:
            # beside files there is the text "changed command"
            for paths in change.values() if isinstance(change, dict) else [[change.removeprefix("changed ")]]:
                changed.setdefault(stage.split(":")[-1], []).extend(paths)
    return {stage: sorted(paths) for stage, paths in changed.items()}
