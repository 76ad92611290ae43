"""What a launcher is set to: what may be given, and what a mistake is told."""

import pytest

from frostline.config import conf_dir
from frostline.errors import FrostlineError
from frostline.launch.launchers import Local, Slurm, chosen, seconds_of


def test_the_files_are_as_they_say_and_the_last_word_counts():
    slurm = chosen([], "slurm")
    assert isinstance(slurm, Slurm) and slurm.time == "4:00:00" and slurm.options == {} and slurm.partition is None
    given = ["launcher.partition=010", "launcher.gpus=2", "launcher.at_once=null", "launcher.options.qos=low"]
    slurm = chosen([*given, "launcher.gpus=1"], "slurm")
    assert isinstance(slurm, Slurm)
    assert (slurm.partition, slurm.gpus, slurm.at_once, slurm.options) == ("010", 1, None, {"qos": "low"})
    assert chosen(["launcher=local", "launcher.at_once=3"], "slurm") == Local(3)
    node = chosen(["launcher.node_folder=$TMPDIR/x"], "slurm")
    assert isinstance(node, Slurm) and node.node_folder == "$TMPDIR/x"  # as the node has it, not who submits


def test_what_sbatch_is_given_is_of_the_whole_run():
    told = chosen(["launcher.gpus=1", "launcher.time=30", "launcher.memory=8G", "launcher.options.qos=low"], "slurm")
    assert isinstance(told, Slurm)
    assert told.arguments(nodes=2, tasks=8) == [
        *("--time=30", "--nodes=2", "--ntasks=8", "--ntasks-per-node=4", "--cpus-per-task=2", "--mem=8G"),
        *("--gres=gpu:4", "--signal=B:USR1@120", "--qos=low"),
    ]


def test_a_file_of_ones_own_is_a_launcher(tmp_path, monkeypatch):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/config.yaml").touch()
    (tmp_path / "conf/launcher").mkdir()
    big = tmp_path / "conf/launcher/big.yaml"
    monkeypatch.chdir(tmp_path)
    big.write_text("kind: slurm\ntime: '10'\nsignal: 60\ncpus_per_task: 8\noptions: {nice: 3}\n")
    assert chosen(["launcher=big"], "slurm") == Slurm("10", 60, 8, options={"nice": "3"})
    for text, words in (
        ("kind: moon", "kind is 'moon'; it is local or slurm"),
        ("kind: slurm\ntime: '10'", "big.yaml has no signal"),
        ("kind: slurm\ntime: 4:00:00", "write time in quotes"),
        ("kind: slurm\noptions: [a]", "it is a mapping"),
        ("kind: slurm\ntimes: '1'", "did you mean launcher.time?"),
    ):
        big.write_text(text)
        with pytest.raises(FrostlineError, match=words.replace("?", r"\?")):
            chosen(["launcher=big"], "slurm")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("seed=3", "'seed' is nothing of a launcher"),
        ("launcher=moon", "There is no launcher 'moon': choose one of local, slurm"),
        ("launcher.partitoin=x", "did you mean launcher.partition?"),
        ("launcher.time=tomorrow", "launcher.time is 'tomorrow'; write minutes"),
        ("launcher.time=1", "launcher.signal is 120 s, and launcher.time no more (1)"),
        ("launcher.gpus=many", "launcher.gpus is 'many'; it is a whole number"),
        ("launcher.gpus=-1", "launcher.gpus is -1"),
        ("launcher.at_once=0", "launcher.at_once is 0"),
        ("launcher.options=x", "write launcher.options.NAME=VALUE"),
        ("launcher.options.array=1-3", "that is for `frostline submit` to say"),
        ("launcher.options.export=NONE", "that is for `frostline submit` to say"),
        ("launcher.options.mem=3G", "set launcher.memory in its place"),
        ("launcher.options.a b=3", "is no long option of sbatch's"),
    ],
)
def test_a_mistake_is_one_sentence(override, words):
    with pytest.raises(FrostlineError) as told:
        chosen([override], "slurm")
    assert words in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("time", "seconds"),
    [("30", 1800), ("2:30", 150), ("4:00:00", 14400), ("1-0", 86400), ("1-2:03", 93780), ("1-2:03:04", 93784)],
)
def test_time_limits_in_seconds(time, seconds):
    assert seconds_of(time) == seconds


def test_no_run_knows_of_launchers():
    """Else where a run is trained would make it stale."""
    assert "launcher" not in (conf_dir() / "config.yaml").read_text()
