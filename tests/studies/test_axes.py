from frostline.studies.axes import short_names


def test_an_axis_is_called_by_the_end_of_its_key_unless_two_end_alike():
    keys = ["schedule", "trainer.epochs", "augment/mix", "task.box_loss", "dataset.name", "schedule.name"]
    assert short_names(keys) == dict(
        zip(keys, ["schedule", "epochs", "mix", "box_loss", "dataset", "schedule.name"], strict=True)
    )
    assert short_names(["schedule.name", "dataset.name"]) == {"schedule.name": "schedule", "dataset.name": "dataset"}
