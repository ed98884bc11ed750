"""`compare`, `train` and `sweep` as a person and a script meet them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from noiseproof.cli import main
from noiseproof.experiments import records

QUICK = ["--noise", "symmetric(0.4)", "--epochs", "2"]


@dataclass
class Done:
    """How a command ended."""

    code: object
    out: str
    err: str


def noiseproof(*words: object, cwd: Path) -> Done:
    """The command line in this process, where torch is imported already; its workers are real ones."""
    out, err = io.StringIO(), io.StringIO()
    streams = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
    with contextlib.chdir(cwd), streams[0], streams[1], pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("COLUMNS", "120")
        patch.setattr(sys, "argv", ["noiseproof", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
    return Done(end.value.code or 0, out.getvalue(), err.getvalue())


def process(*words: object, cwd: Path) -> subprocess.Popen[str]:
    """The command line in a process of its own, to be stopped.

    Its stderr is a pipe that holds some 50 lines: it cannot be further ahead of its reader, however slow that one is.
    """
    command = [sys.executable, "-m", "noiseproof", *map(str, words)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        cwd=cwd,
        stderr=subprocess.PIPE,
        pipesize=4096,
        text=True,
        env=environment,
        start_new_session=True,
    )


@pytest.fixture(scope="module")
def compared(tmp_path_factory) -> tuple[Path, Done]:
    """One small comparison, as JSON."""
    folder = tmp_path_factory.mktemp("compared")
    words = ["compare", "digits", *QUICK, "--methods", "ce, 0.5*nce + 2*agce(a=6, q=1.5)", "--seeds", "3", "--json"]
    return folder, noiseproof(*words, cwd=folder)


def test_json_is_one_object_and_nothing_else_on_stdout(compared):
    _, done = compared
    assert done.code == 0, done.err
    rows = json.loads(done.out)["rows"]
    assert [row["method"] for row in rows] == ["ce", "0.5*nce + 2*agce(a=6, q=1.5)"]
    assert [row["n"] for row in rows] == [3, 3]
    assert {row["noise"] for row in rows} == {"symmetric(rate=0.4)"}


def test_mean_and_deviation_are_those_of_the_records(compared):
    folder, done = compared
    found: dict[str, list[float]] = {}
    for record in records.read_folder(folder / "results" / "digits").records:
        assert record["result"]["accuracy"] == record["result"]["curves"]["test_accuracy"][-1]
        assert len(record["result"]["curves"]["test_accuracy"]) == 2
        found.setdefault(record["run"]["method"], []).append(record["result"]["accuracy"])
    for row in json.loads(done.out)["rows"]:
        values = found[row["method"]]
        mean = sum(values) / 3
        assert row["mean"] == pytest.approx(mean, rel=1e-12)
        assert row["std"] == pytest.approx((sum((v - mean) ** 2 for v in values) / 2) ** 0.5, rel=1e-9)


def test_the_records_say_what_was_run(compared):
    folder, _ = compared
    for record in records.read_folder(folder / "results" / "digits").records:
        assert record["status"] == "done"
        assert record["noise"]["rate"] == pytest.approx(0.4, abs=0.001)
        assert record["noise"]["convention"] == "exact"
        assert len(record["noise"]["transition"]) == 10
        assert all(sum(row) == pytest.approx(1) for row in record["noise"]["transition"])
        assert record["data"]["name"] == "digits"
        assert (record["precision"], record["mode"], record["threads"]) == ("fp32", "deterministic", 1)
        assert record["versions"].keys() == {"noiseproof", "torch", "numpy", "python"}
        assert record["run"]["settings"]["train"]["epochs"] == 2


def test_curves_and_report_lie_where_it_says(compared):
    folder, done = compared
    assert "curves results/digits/curves.png, report results/digits/report.html" in done.err
    assert (folder / "results/digits/curves.png").read_bytes().startswith(b"\x89PNG")
    assert "0.5*nce + 2*agce" in (folder / "results/digits/report.html").read_text()


def test_no_checkpoint_and_no_temporary_file_stays(compared):
    folder, _ = compared
    assert list(folder.rglob("checkpoints")) == []
    assert list(folder.rglob(".tmp*")) == []


def test_comparing_again_trains_nothing_and_prints_the_same(compared):
    folder, done = compared
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("record.json")}
    words = ["compare", "digits", *QUICK, "--methods", "ce, 0.5*nce + 2*agce(a=6, q=1.5)", "--seeds", "3"]
    again = noiseproof(*words, "--json", cwd=folder)
    assert again.out == done.out
    assert "6 of 6 runs are recorded already" in again.err
    table = noiseproof(*words, "--workers", "1", cwd=folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("record.json")} == before
    for row in json.loads(done.out)["rows"]:
        assert f"{row['mean']:.2f} ± {row['std']:.2f}" in table.out
    assert "over 3 seeds" in table.out


def test_a_run_gives_the_same_bits_alone_and_among_others(compared, tmp_path):
    folder, _ = compared
    done = noiseproof("train", "digits", *QUICK, "--method", "ce", "--seed", "2", "--out", tmp_path, cwd=tmp_path)
    assert done.code == 0, done.err
    (alone,) = records.read_folder(tmp_path).records
    among = records.read(records.location(folder / "results" / "digits", alone["run_id"]))
    for key in ("test_accuracy", "train_loss", "train_accuracy"):
        assert alone["result"]["curves"][key] == among["result"]["curves"][key]
    assert alone["noise"] == among["noise"]
    assert "epoch 2/2  test" in done.err
    assert "samples/s" in done.err
    assert f"record {tmp_path}/runs/{alone['run_id']}/record.json" in done.out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["compare", "digitz"], 2, "no data set named 'digitz'; did you mean 'digits'?"),
        (["compare", "digits", "--noise", "symetric(0.4)"], 2, "no noise named 'symetric'; did you mean 'symmetric'?"),
        (["compare", "digits", "--noise", "symmetric(1.5)"], 2, "rate must lie in [0, 1], got rate=1.5"),
        (
            ["compare", "digits", "--methods", "ce,jal-cee"],
            2,
            "no method or loss named 'jal-cee'; did you mean 'jal-ce'?",
        ),
        (["compare", "digits", "--methods", ","], 2, "--methods needs at least one method"),
        (["compare", "digits", "--set", "train.epoch=3"], 2, "did you mean 'epochs'?"),
        (
            ["compare", "digits", "--set", "epochs"],
            2,
            "--set takes KEY=VALUE with a key such as train.lr, got 'epochs'",
        ),
        (["compare", "digits", "--out", "file"], 3, "cannot make the folder file: a file of that name is there"),
        (["compare", "cifar10", "--data-root", "nowhere"], 2, "noiseproof data fetch cifar10"),
        (["compare", "digits", "--noise", "human(worst)"], 2, "use data cifar10 or cifar100"),
        (["train", "digits", "--device", "cuda:7"], 3, "this machine has no cuda device"),
        (["sweep", "tabel3"], 2, "did you mean 'table3'?"),
        (["sweep", "table3", "--shard", "9/8"], 2, "a shard is I/N"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_clear_sentence_before_any_training(words, code, message, tmp_path):
    (tmp_path / "file").touch()
    few = {"compare": ["--seeds", "1", "--workers", "1"], "sweep": ["--workers", "1"]}.get(words[0], [])
    done = noiseproof(*words, "--epochs", "2", *few, cwd=tmp_path)
    assert done.code == code
    assert message in done.err
    assert done.out == ""
    assert len(done.err.strip().splitlines()) == 1
    assert list(tmp_path.rglob("record.json")) == []


GRID = """
data = ["digits"]
noise = ["symmetric(0.2)"]
methods = ["ce", "jal-ce"]
seeds = [1, 2]
[train]
epochs = 2
"""


def test_a_sweep_in_parts_says_what_is_left_and_the_parts_make_the_whole(tmp_path):
    (tmp_path / "grid.toml").write_text(GRID)
    first = noiseproof("sweep", "grid.toml", "--out", "out", "--shard", "1/2", "--workers", "1", cwd=tmp_path)
    assert first.code == 0, first.err
    there = len(list(tmp_path.rglob("record.json")))
    plan = noiseproof("sweep", "grid.toml", "--out", "out", "--dry-run", cwd=tmp_path).out.splitlines()
    assert len(plan) == 5
    assert sum(line.startswith("done ") for line in plan) == there
    assert plan[-1].startswith(f"4 runs: {there} done, {4 - there} to do" + (", about " if there < 4 else ""))
    second = noiseproof("sweep", "grid.toml", "--out", "out", "--workers", "1", cwd=tmp_path)
    assert f"{4 - there} runs recorded, {there} before" in second.out
    assert len(records.read_folder(tmp_path / "out").records) == 4
    assert records.check(tmp_path / "out") == ()


def test_ctrl_c_in_a_sweep_says_how_it_goes_on_and_it_does(tmp_path):
    seeds = list(range(1, 201))
    (tmp_path / "grid.toml").write_text(GRID.replace("[1, 2]", str(seeds)).replace("epochs = 2", "epochs = 1"))
    words = ("sweep", "grid.toml", "--out", "out", "--workers", "1")
    with process(*words, cwd=tmp_path) as sweep:
        assert any(line.startswith("[1/400]") for line in sweep.stderr)
        os.killpg(sweep.pid, signal.SIGINT)  # as a terminal does: the workers hear it too
        rest = sweep.stderr.read()
    assert sweep.returncode == 130
    assert "noiseproof: stopped; what is recorded stays, and the same command goes on from there" in rest
    assert "Traceback" not in rest
    there = len(records.read_folder(tmp_path / "out").records)
    assert 1 <= there < 400
    (tmp_path / "grid.toml").write_text(GRID.replace("[1, 2]", str(seeds[:there])).replace("epochs = 2", "epochs = 1"))
    again = noiseproof(*words, cwd=tmp_path)
    assert f"{there} runs recorded, {there} before" in again.out, again.err


def test_a_run_that_a_batch_system_stops_goes_on_from_its_checkpoint_and_ends_as_if_nothing_had_been(tmp_path):
    words = (
        "train",
        "digits",
        "--noise",
        "symmetric(0.4)",
        "--method",
        "jal-ce",
        "--epochs",
        "200",
        "--set",
        "model.hidden=[8]",
        "--set",
        "train.batch_size=1000",
        "--save-every",
        "0",
    )
    with process(*words, "--out", "stopped", cwd=tmp_path) as train:
        assert any(line.startswith("epoch   3/200") for line in train.stderr)
        train.send_signal(signal.SIGTERM)
        rest = train.stderr.read()
    assert train.returncode == 130
    assert "noiseproof: stopped; what is recorded stays, and the same command goes on from the last checkpoint" in rest
    assert list(tmp_path.rglob("record.json")) == []
    resumed = noiseproof(*words, "--out", "stopped", cwd=tmp_path)
    assert resumed.code == 0, resumed.err
    assert "epoch   1/200" not in resumed.err
    assert "epoch 200/200" in resumed.err
    whole = noiseproof(*words, "--out", "whole", cwd=tmp_path)
    assert "epoch   1/200" in whole.err
    (one,), (other,) = (records.read_folder(tmp_path / name).records for name in ("stopped", "whole"))
    for key in ("test_accuracy", "train_loss", "train_accuracy"):
        assert one["result"]["curves"][key] == other["result"]["curves"][key]


def test_outputs_and_tensorboard_are_kept_on_request(tmp_path):
    pytest.importorskip("tensorboard")
    done = noiseproof(
        *("train", "digits", *QUICK, "--method", "ce", "--out", "out", "--keep-outputs", "--tensorboard"), cwd=tmp_path
    )
    assert done.code == 0, done.err
    from safetensors.numpy import load_file

    (path,) = tmp_path.rglob("outputs.safetensors")
    kept = load_file(path)
    assert kept["test_features"].shape[0] == kept["test_clean"].shape[0] == 359
    assert kept["flipped"].sum() == 576  # 0.4 of 1438, each class rounded to the nearest
    assert len(list(tmp_path.rglob("events.out.tfevents*"))) == 1


def test_own_data_is_compared_by_its_path(tmp_path):
    lines = [f"{i % 7},{i % 5},{i % 3},{'yes' if i % 7 > 3 else 'no'}" for i in range(300)]
    (tmp_path / "mine.csv").write_text("\n".join(["a,b,c,label", *lines]) + "\n")
    words = (
        "compare",
        "mine.csv",
        "--noise",
        "clean",
        "--methods",
        "ce,gce",
        "--seeds",
        "1",
        "--epochs",
        "5",
        "--json",
    )
    done = noiseproof(*words, cwd=tmp_path)
    assert done.code == 0, done.err
    assert [row["n"] for row in json.loads(done.out)["rows"]] == [1, 1]
    assert (tmp_path / "results" / "mine" / "report.html").is_file()


def test_the_choice_without_clean_labels_is_printed_beside_the_table(tmp_path):
    words = (
        "compare",
        "digits",
        *QUICK,
        "--methods",
        "ce,jal-ce",
        "--seeds",
        "1",
        "--workers",
        "1",
        "--tune",
        "--json",
    )
    done = noiseproof(*words, cwd=tmp_path)
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["tune"]["method"] in ("ce", "jal-ce")
    assert {trial["method"] for trial in told["tune"]["trials"]} == {"ce", "jal-ce"}
