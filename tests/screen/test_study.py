import pytest

from frostline.errors import FrostlineError
from frostline.screen.candidates import chosen
from frostline.screen.screening import Asked
from frostline.screen.study import check_budget, fit, write_study
from frostline.studies.pipeline import difference
from frostline.studies.plan import composed

ASKED = ["dataset.source.train=20", "image_size=64", "trainer.epochs=4"]


def candidates(*names):
    return {one.name: one for one in chosen(names, pretrained=False)[0]}


def seconds(config):
    """Of a run; thawing takes four times as long."""
    return 400.0 if config["schedule"]["name"] == "thaw" else 100.0


def fitted(budget, names=("resnet18", "resnet34")):
    one_core = "trainer.devices=1"
    return fit(names, candidates(*names), ["classification"], [*ASKED, one_core], budget, seconds)


def test_a_budget_decides_seeds_and_then_backbones(monkeypatch):
    monkeypatch.setattr("frostline.launch.local.cores", lambda: 1)
    assert fitted(None).seeds == 3 and fitted(4000).seeds == 3
    two = fitted(2100)  # 2 backbones x 2 seeds x 500 s
    assert (two.names, two.seeds) == (("resnet18", "resnet34"), 2) and two.seconds == pytest.approx(2008)
    few = fitted(600)
    assert (few.names, few.left_out, few.seeds) == (("resnet18",), ("resnet34",), 1)
    with pytest.raises(FrostlineError, match="resnet18 alone, with one seed, .* nothing is written"):
        fitted(300)


def test_a_budget_too_small_for_a_single_run_is_told_before_anything_is_screened(monkeypatch):
    asked = Asked(["classification"], ["resnet34", "resnet18"], [*ASKED, "backbone.pretrained=false"], 3, "x")
    check_budget(asked, 120, seconds)
    with pytest.raises(
        FrostlineError, match="a single run of resnet18, the smallest of them, frozen, takes about 2 min"
    ):
        check_budget(asked, 60, lambda config: 120.0)


@pytest.mark.parametrize(
    ("names", "axis"),
    [
        (("resnet18", "resnet34"), "backbone"),
        (("timm:resnet18d", "timm:resnet26"), "backbone.name"),
        (("resnet18", "timm:resnet26"), "backbone"),
    ],
)
def test_a_study_is_written_that_can_be_planned(names, axis, here):
    found = fit(names, candidates(*names), ["classification"], ASKED, None, seconds)
    study, before = write_study(
        "mine", found, candidates(*names), ["classification"], ASKED, "2h", "frostline screen x"
    )
    assert not before and axis in study.grid and study.budget == 7200 and difference(study) is None
    runs = composed(study)
    assert len(runs) == 2 * 2 * 3
    for run in runs.values():
        assert run["augment"]["views"] == 2 and run["trainer"]["threads"] == 1 and run["trainer"]["epochs"] == 4
    assert {run["backbone"]["name"] for run in runs.values()} == {name.removeprefix("timm:") for name in names}
    again = write_study("mine", found, candidates(*names), ["classification"], ASKED, "2h", "frostline screen x")
    assert again[1] and "about" in found.told(study)
    with pytest.raises(FrostlineError, match="is there already"):
        write_study("mine", found, candidates(*names), ["classification"], ASKED, "2h", "frostline screen y")


def test_two_kinds_of_names_are_refused_with_what_to_do(here):
    names = ("resnet18", "timm:resnet26", "timm:resnet18d")
    found = fit(names, candidates(*names), ["classification"], ASKED, None, seconds)
    with pytest.raises(FrostlineError, match="write conf/backbone/NAME.yaml"):
        write_study("mine", found, candidates(*names), ["classification"], ASKED, None, "frostline screen x")
