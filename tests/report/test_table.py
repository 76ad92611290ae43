import csv
import math

import pytest
from helpers.study import made_run

from frostline.errors import FrostlineError
from frostline.report.table import csv_text, read_csv, terminal_table


def test_the_csv_holds_one_full_row_a_run_and_reads_back_equal(tmp_path):
    runs = [
        made_run("classification", seed=seed, value=value, axes={"task": "classification", "image_size": size})
        for seed, (value, size) in enumerate([(1 / 3, "96"), (math.nan, "160")])
    ]
    runs.append(made_run("detection", axes={"task": "detection", "image_size": "a,b"}, commit='"x"'))
    file = tmp_path / "results.csv"
    file.write_text(csv_text(runs))
    names = "study,task,dataset,backbone,head,schedule,image_size,seed,primary,test_accuracy,test_loss,test_map,"
    assert file.read_text().splitlines()[0].startswith(names)
    rows = list(csv.reader(file.open()))
    assert rows[2][9:12] == ["nan", "0.25", ""], "nan is measured, blank is absent"
    again = read_csv(file)
    for run, back in zip(runs, again, strict=True):
        assert back.result.names == run.result.names and back.axes["image_size"] == run.axes["image_size"]
        for fact in ("seed", "primary", "train_seconds", "params_total", "commit", "machine", "images_seen"):
            assert getattr(back.result, fact) == getattr(run.result, fact)
    assert again[0].result.metrics == runs[0].result.metrics and math.isnan(again[1].result.quality)


def test_a_table_from_before_other_axes_is_read(tmp_path):
    header = (
        "study,task,dataset,backbone,head,schedule,seed,primary,test_map,test_top2,epochs,images_seen,train_seconds,"
    )
    header += "images_per_second,predict_ms,params_total,params_trainable_last,commit,data_hash,machine\n"
    row = "s,detection,bccd,net,{},full,0,map,0.5,,30,6120,997.567,6.13,62.5,3171760,3171760,730dd,f8d2,CPU\n"
    (tmp_path / "results.csv").write_text(header + row.format("None") + row.format("0.001"))
    text = terminal_table(read_csv(tmp_path / "results.csv"))
    assert [line.split()[0] for line in text.splitlines() if "0.5000 ± —" in line] == ["*", "0.001"]
    assert " None " in text


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "study,seed,primary\ns,x,map\n", "study\ns,1,2\n"])
def test_what_is_no_table_of_results_is_told(tmp_path, text):
    (tmp_path / "results.csv").write_text(text)
    with pytest.raises(FrostlineError, match=r"results\.csv is no table of results"):
        read_csv(tmp_path / "results.csv")


def test_the_terminal_marks_the_highest_mean_of_each_task_and_never_cuts_a_number():
    values = {"classification": {"[/thaw]": (0.90, 0.92, 0.94), "frozen": (0.70, 0.71, 0.72)}}
    values["detection"] = {"[/thaw]": (0.31, 0.33), "frozen": (math.nan, 0.3)}
    runs = [
        made_run(task, schedule, seed, value)
        for task, by_schedule in values.items()
        for schedule, seeds in by_schedule.items()
        for seed, value in enumerate(seeds)
    ]
    lines = terminal_table(runs).splitlines()
    assert [line.split()[1] for line in lines if line.strip().startswith("*")] == ["[/thaw]", "[/thaw]"]
    assert "classification on meadow" in lines and "detection on meadow" in lines
    assert any("0.9200 ± 0.0200" in line and "5.124 k / 3.4 M" in line for line in lines)
    assert any("NaN in 1 of 2 seeds" in line for line in lines)
