import json
import shutil

from frostline.runs.speed import SPEED, TURNS, time_in_turn


def test_each_network_is_taken_in_turn_once(train_small, here, small_meadow, monkeypatch):
    # Catches a network taken for each schedule, one after another in place of in turn, and taken anew at every look.
    from frostline.runs import timing

    folders = [train_small(f"schedule={s}", "trainer.epochs=2", "tracking=none", name=s)[1] for s in ("frozen", "full")]
    folders.append(train_small("schedule=full", "image_size=96", "trainer.epochs=1", "tracking=none", name="large")[1])
    runs = here / "study"
    for folder in folders:
        shutil.copytree(folder, runs / "results" / folder.name)
    shutil.copytree(small_meadow.path, runs / "data/meadow")
    sizes = []
    timed = timing.predict_ms
    monkeypatch.setattr(timing, "predict_ms", lambda task, data: sizes.append(data.image_size) or timed(task, data))
    time_in_turn(runs)
    told = json.loads((runs / SPEED).read_text())["networks"]
    assert len(told) == 2 and all(len(ms) == TURNS and min(ms) > 0 for ms in told.values())
    assert sorted(sizes[:2]) == [64, 96] and sizes == sizes[:2] * TURNS
    time_in_turn(runs)
    assert len(sizes) == 2 * TURNS
    (runs / SPEED).write_text("spoiled")
    shutil.rmtree(runs / "data")
    time_in_turn(runs)  # what cannot be timed is left out
    assert (runs / SPEED).read_text() == "spoiled"
