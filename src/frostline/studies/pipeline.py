"""A study's dvc.yaml: what it has to say, whether it does, and a new study's first one."""

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from frostline.config import compose, conf_files
from frostline.errors import FrostlineError
from frostline.files import write_whole
from frostline.studies.axes import in_name
from frostline.studies.study import Study, read_study

ROOT = "quickstart"  # the study whose pipeline is the checkout's own dvc.yaml, so that `dvc repro` alone runs it
STUDIES = Path("experiments")
TEMPLATES = Environment(loader=FileSystemLoader(Path(__file__).parent), keep_trailing_newline=True, autoescape=False)


def pipeline_of(study: Study) -> Path:
    """Where the study's dvc.yaml is, or would be."""
    own = study.folder / "dvc.yaml"
    return own if study.name != ROOT or own.is_file() else Path("dvc.yaml")


def pipeline_text(study: Study) -> str:
    """What the study's dvc.yaml has to say. Raises FrostlineError where its name or its dataset cannot be."""
    path = pipeline_of(study)
    folder = _relative(study.folder)
    _check_name(folder)
    matrix = {key: _axis(key, values) for key, values in study.grid.items()}
    if study.seeds_for:  # runs beyond the product of the axes: their cells are called as before, so none is made anew
        matrix = {"run": _names(study.cells())}
    cells = _data_of(study) if study.vary.data else {}
    refers = not cells and any(values.startswith("$") for values in matrix.values())
    return TEMPLATES.get_template("dvc.yaml.j2").render(
        name=study.name,
        command="make repro" if path.parent == Path() else f"make repro STUDY={study.name}",
        folder=folder,
        runs=study.runs.as_posix(),
        wdir=_relative(Path(), path.parent),
        vars=f"{_relative(study.folder / 'study.yaml', path.parent)}:grid" if refers else None,
        datasets=_names(dict.fromkeys(cells.values())) if cells else "",
        cells={json.dumps(run): json.dumps(data) for run, data in cells.items()},
        matrix=[(key if re.fullmatch(r"[\w./]+", key) else json.dumps(key), values) for key, values in matrix.items()],
        weights=[json.dumps(file.replace("${", r"\${"), ensure_ascii=False) for file in _weights(study)],
        roots=[json.dumps(root.replace("${", r"\${"), ensure_ascii=False) for root in _roots(study)],
    )


def difference(study: Study) -> str | None:
    """In one sentence, what is wrong with the study's dvc.yaml and how it is renewed; None where nothing is."""
    path, expected = pipeline_of(study), pipeline_text(study)
    renew = f"`frostline study check {study.folder} --write` writes it anew."
    if not path.is_file():
        return f"{study.folder} has no dvc.yaml: {renew}"
    held = path.read_text(encoding="utf-8")
    lines = [(n, line) for n, line in enumerate(held.splitlines(), 1) if not line.lstrip().startswith("#")]
    wanted = [line for line in expected.splitlines() if not line.lstrip().startswith("#")]
    if [line for _, line in lines] == wanted:
        return None
    named = re.search(r"frostline plan (\S+)", held)
    if named is not None and Path(named[1]).name != study.name:
        return f"{path} is the pipeline of '{named[1]}', so this folder was copied or renamed: {renew}"
    both = enumerate(zip(lines, wanted, strict=False))
    place = next((place for place, ((_, a), b) in both if a != b), min(len(lines), len(wanted)))
    has = f"line {lines[place][0]} is '{lines[place][1].strip()}'" if place < len(lines) else "it ends"
    asked = f"'{wanted[place].strip()}'" if place < len(wanted) else "its end"
    return f"{path} does not fit study.yaml, as {has} where {asked} has to stand: {renew}"


def check_pipeline(study: Study) -> None:
    """Raise FrostlineError where the study has a dvc.yaml that does not fit it."""
    if pipeline_of(study).is_file() and (told := difference(study)):
        raise FrostlineError(told)


def write_pipeline(study: Study) -> Path:
    """Write the study's dvc.yaml, anew if need be. Raises FrostlineError rather than replace what is none of ours."""
    path = pipeline_of(study)
    if path.is_file() and "frostline" not in path.read_text(encoding="utf-8"):
        raise FrostlineError(f"{path} is no study's pipeline: move it away first.")
    write_whole(path, pipeline_text(study))
    return path


def folder_of(study: str | Path) -> Path:
    """Of a study that is called by its folder, or by its name in `experiments/`."""
    folder = Path(study)
    return folder if len(folder.parts) != 1 or (folder / "study.yaml").is_file() else STUDIES / folder


def study_called(name: str | Path) -> Study:
    """The study of this folder, or of this name in `experiments/`. Raises FrostlineError as `read_study`."""
    return read_study(folder_of(name))


def new_study(name: str) -> Study:
    """A folder in `experiments/` with a study that works as it is. Raises FrostlineError where it cannot be made."""
    folder = STUDIES / name
    if "/" in name:
        raise FrostlineError(f"'{name}' is no name for a study: its folder is made in {STUDIES}/.")
    _check_name(name)
    if folder.exists():
        raise FrostlineError(f"{folder} is there already: choose another name.")
    folder.mkdir(parents=True)
    write_whole(folder / "study.yaml", TEMPLATES.get_template("study.yaml.j2").render(name=name, folder=folder))
    study = read_study(folder)
    write_pipeline(study)
    return study


def all_studies() -> list[Path]:
    """The folders of the studies of this checkout."""
    return sorted(path.parent for path in STUDIES.glob("*/study.yaml"))


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[\w./-]+", name):
        raise FrostlineError(
            f"'{name}' cannot be a study's folder, as its name stands in commands: use letters, digits, _, - and dots."
        )


def _axis(key: str, values: list[Any]) -> str:
    """An axis of the matrix: from study.yaml, where DVC finds it there and gives its cells the names that runs have."""
    if re.fullmatch(r"[\w/]+", key) and all(str(value) == in_name(value) for value in values):
        return f"${{grid.{key}}}"
    return json.dumps([in_name(value) for value in values], ensure_ascii=False)


def _names(names: Iterable[str]) -> str:
    return json.dumps([*names], ensure_ascii=False)


def _data_of(study: Study) -> dict[str, str]:
    """Name of each run -> that of the folder of its dataset, where each seed has one of its own."""
    names: dict[tuple[str, ...], str] = {}
    found = {}
    for run, values in study.cells().items():
        chosen = _of_dataset(study, values)
        if chosen not in names:
            names[chosen] = compose(chosen)["dataset"]["name"]
        found[run] = study.vary.folder(names[chosen], values["seed"])
    return found


def _of_dataset(study: Study, values: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(one for one in study.overrides_of(values) if one.startswith("dataset"))


def _roots(study: Study) -> list[str]:
    """The folders of pictures that the runs' datasets are read from."""
    chosen = dict.fromkeys(_of_dataset(study, values) for values in study.cells().values())
    try:
        roots = [compose(overrides)["dataset"].get("root") for overrides in chosen]
    except FrostlineError as error:
        raise FrostlineError(f"{study.folder}/study.yaml: {error}") from error
    return sorted({str(root) for root in roots if root is not None})


def _weights(study: Study) -> list[str]:
    """The files of one's own weights that its runs begin with: another content is another plan."""
    files = conf_files("backbone")
    overrides = {o.partition("=")[::2] for values in study.cells().values() for o in study.overrides_of(values)}
    found = {(files.get(value) or {}).get("weights") for key, value in overrides if key == "backbone"}
    try:
        found |= {compose([f"{k}={v}"])["backbone"]["weights"] for k, v in overrides if k == "backbone.weights"}
    except FrostlineError as error:
        raise FrostlineError(f"{study.folder}/study.yaml: {error}") from error
    return sorted(str(file) for file in found if file is not None)


def _relative(path: Path, start: Path | str = ".") -> str:
    return Path(os.path.relpath(path.resolve(), Path(start).resolve())).as_posix()
