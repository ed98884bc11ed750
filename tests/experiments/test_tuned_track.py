"""Tuned track of a grid: equal budgets, chosen by held-out given labels alone, a pure function of records."""

from __future__ import annotations

from pathlib import Path

import pytest

from noiseproof.cli import main
from noiseproof.errors import InputError
from noiseproof.experiments import grid, records, tuned_track
from noiseproof.experiments.single_run import execute
from noiseproof.reporting import leaderboard
from noiseproof.train.input_preparation import HELD_OUT

GRID = """
seeds = [1, 2]
methods = ["ce", "elr(loss=jal-ce)", "co-teaching"]
data = ["digits"]
noise = ["symmetric(0.4)"]
[train]
epochs = 1
[tune]
budget = 4
lr = [3, 0.3]
[tune.candidates]
"elr(loss=jal-ce)" = ["elr(loss=jal-ce, lam=1)"]
co-teaching = ["co-teaching(ramp=3)"]
"""
ELR = "elr(loss=nce + amse)"  # as records name it


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    path = tmp_path_factory.mktemp("grid") / "small.toml"
    path.write_text(GRID)
    return tuned_track.of_grid(grid.read(path)), grid.load(path)


def record(run, accuracy: float, held_out: float | None = None):
    also = {} if held_out is None else {"also": {HELD_OUT: held_out}}
    return run.record(status="done", result={"accuracy": accuracy, "curves": {"test_accuracy": [accuracy]}, **also})


def test_every_method_may_spend_the_same(tracks):
    tuned, _ = tracks
    spent = [
        len(one.trials) * tuned_track.cost_of(one.trials[0].spec["settings"]["method"].get("method")) for one in tuned
    ]
    assert [len(one.trials) for one in tuned] == [3, 4, 1]  # co-teaching costs more than two of cross-entropy
    assert max(spent) <= 4


def test_the_best_on_held_out_given_labels_is_trained_on_all_seeds(tracks):
    tuned, default = tracks
    elr = tuned[1]
    made = {trial.run_id: record(trial, 90, 50 + number) for number, trial in enumerate(elr.trials)}
    assert elr.runs({}) is None
    chosen = elr.runs(made)
    assert [run.spec["seed"] for run in chosen] == [1, 2]
    assert chosen[0].spec["method"] == f"{ELR} (tuned)"
    assert chosen[0].spec["settings"]["train"]["lr"] == pytest.approx(0.3 * 0.05)  # the last candidate
    assert "hold_out" not in chosen[0].spec["settings"]["train"]
    made[elr.trials[0].run_id] = record(elr.trials[0], 90, 99)
    assert elr.runs(made) == ()  # as it is: those runs are there
    assert not {run.run_id for run in chosen} & {run.run_id for run in default}


def test_the_leaderboard_shows_both_tracks_and_names_the_best_epoch_an_oracle(tracks):
    tuned, default = tracks
    elr = tuned[1]
    trials = [record(trial, 90, 50 + number) for number, trial in enumerate(elr.trials)]
    known = {each["run_id"]: each for each in trials}
    found = [record(run, 80) for run in default] + trials + [record(run, 85) for run in elr.runs(known)]
    standings = {one.method: one for one in leaderboard.leaderboard(found)}
    assert standings[ELR].default.last == (80, 80)
    assert standings[ELR].tuned.last == (85, 85)
    assert standings["ce"].tuned.last == ()
    text = leaderboard.render(standings.values())
    assert f"| `{ELR}` | 2 | 1 | 80.00 ± 0.00 | 80.00 ± 0.00 | 85.00 ± 0.00 | 85.00 ± 0.00 | lr 0.015 (of 4) |" in text
    assert "best test epoch (oracle)" in text


def test_a_trial_sees_neither_the_held_out_labels_nor_true_ones(tracks):
    tuned, _ = tracks
    trial = tuned[0].trials[0]
    made = execute(trial, device="cpu")
    assert 0 < made["result"]["also"][HELD_OUT] < 100
    assert "hold_out" in records.canonical(trial.spec)


@pytest.mark.parametrize(
    ("line", "says"), [("budget = 0", "greater than or equal"), ("budgets = 3", "tune.budget"), ("lr = 3", "tune.")]
)
def test_a_wrong_tune_table_is_refused(tmp_path, line, says):
    path = tmp_path / "wrong.toml"
    path.write_text(GRID.split("[tune]")[0] + "[tune]\n" + line + "\n")
    with pytest.raises(InputError, match=says):
        tuned_track.of_grid(grid.read(path))


def test_a_method_that_cannot_be_trained_does_not_keep_the_others_from_being_tuned(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("T.csv").write_text((",".join(["0.1"] * 10) + "\n") * 10)  # even noise, which has no inverse
    Path("grid.toml").write_text(
        'data = ["digits"]\nnoise = ["symmetric(0.4)"]\nseeds = [1]\n'
        'methods = ["ce", \'backward(transition=file("T.csv"))\']\n[tune]\nbudget = 2\nlr = [100000]\n'
    )
    slow = ["--set", "train.lr=1e-6"]  # too little to learn anything, so the candidate is better
    command = ["noiseproof", "sweep", "grid.toml", "--out", "out", "--epochs", "1", "--workers", "1", *slow]
    for _ in range(2):  # the second time nothing but what cannot be trained is left
        monkeypatch.setattr("sys.argv", command)
        with pytest.raises(SystemExit, match="2"):
            main()
        assert "has no inverse; use forward" in capsys.readouterr().err
        assert "ce (tuned)" in {each["run"]["method"] for each in records.read_folder(Path("out")).records}
    monkeypatch.setattr("sys.argv", ["noiseproof", "table", "out"])
    with pytest.raises(SystemExit, match="0"):
        main()
    said = capsys.readouterr()
    assert "ce (tuned)" in said.out
    assert "candidate" not in said.out
    assert "left out 2 trials of candidates" in said.err
