"""Every refusal says where, what came and what to do next; its words are kept, so that a change is seen.

NOISEPROOF_SNAPSHOTS=write pytest tests/house/test_refusals.py     writes tests/snapshots/refusals.json anew
"""

from __future__ import annotations

import json
import os
import re

import pytest
import torch
import torch.nn.functional as F

from conftest import ROOT
from noiseproof import losses
from noiseproof.errors import InputError, MachineError, NoiseproofError
from support.refused import AS_TORCH, REFUSED
from support.refused_commands import COMMANDS

SNAPSHOTS = ROOT / "tests" / "snapshots" / "refusals.json"

# What tells a reader how to go on: what is accepted, ...
ACCEPTED = (
    r"must |should be |needs? |takes one of |can only |starts with |is expected|are expected|expected (a|one) "
    r"|is a folder of class folders|is read from|at (most|least) |exists? (for|on) |is for \d+ classes|is I/N"
    r"|is written as|such as|for losses of"
    r"|(it|they) (has|have)\b|there are: |looks at the inputs: corrupt|the header has \d|looked for|lies? in \[|a >= \d"
)
# ... or what to do.
TO_DO = (
    r"did you mean|write |type: |try |use |give |save |install|choose |remove |delete |download|ask at |on request to"
    r"|leave |transpose|wait for|number the classes|update |make |run again|say data="
)
NEXT_STEP = re.compile(f"{ACCEPTED}|{TO_DO}")

# What these name is looked at only where the run computes, after its place in the results folder was taken.
LEAVE_A_LOCK = {"unknown device"}


def refusal(name: str, folder) -> dict[str, str]:
    """The type and the text of what the case raises, with its folder written as FOLDER."""
    call = REFUSED[name][0]
    with pytest.raises(NoiseproofError) as raised:
        call(folder)
    return {"error": type(raised.value).__name__, "message": lasting(str(raised.value).replace(str(folder), "FOLDER"))}


def lasting(message: str) -> str:
    """Without what differs from machine to machine, or with every recipe and grid that is added."""
    message = re.sub(r"have [\d.]+ \w+", "have ROOM", message)
    return re.sub(r"(there are|or a name): [\w ,-]+(?=$|; or give)", r"\1: NAMES", message)


def told(name: str, folder, monkeypatch, capsys) -> dict[str, str]:
    """The exit code of a command and what it says on stderr, in one line."""
    from noiseproof.cli import main

    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("sys.argv", ["noiseproof", *COMMANDS[name][0]])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert said.out == ""
    left = sorted({path.name for path in folder.rglob("*") if path.is_file()})
    if name in LEAVE_A_LOCK:
        assert set(left) == {"attempt-1.txt", "shard-1-of-1.000000002"}
    else:
        assert left == [], "something was written before the refusal"
    return {"error": f"exit code {ended.value.code}", "message": lasting(re.sub(r"[\s│╭╮╰╯─]+", " ", said.err).strip())}


@pytest.fixture(scope="module")
def snapshots() -> dict[str, dict[str, str]]:
    return json.loads(SNAPSHOTS.read_text()) if SNAPSHOTS.is_file() else {}


def compare(name: str, found: dict[str, str], snapshots: dict[str, dict[str, str]]) -> None:
    """With what is kept under this name; or keep it."""
    if os.environ.get("NOISEPROOF_SNAPSHOTS") == "write":
        snapshots[name] = found
        cases = [*REFUSED, *(f"noiseproof {command}" for command in COMMANDS)]
        ordered = {key: snapshots[key] for key in cases if key in snapshots}
        SNAPSHOTS.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n")
    assert found == snapshots.get(name), "if this is better, write it with NOISEPROOF_SNAPSHOTS=write"


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_names_the_place_the_cause_and_the_next_step(name, tmp_path):
    _, where, came = REFUSED[name]
    message = refusal(name, tmp_path)["message"]
    assert where in message, f"does not say where: {message}"
    assert came in message, f"does not say what came: {message}"
    assert NEXT_STEP.search(message), f"does not say what to do: {message}"
    assert len(message) < 700, f"too long: {len(message)} characters"
    assert not re.search(r"<\S+ object at|0x[0-9a-f]{6}|<class '|Traceback", message), f"for a machine: {message}"
    assert not message.endswith("."), "one sentence, no full stop"


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_has_the_words_it_had(name, tmp_path, snapshots):
    compare(name, refusal(name, tmp_path), snapshots)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_refused_in_one_sentence_with_code_2_before_anything_is_written(
    name, tmp_path, monkeypatch, capsys, snapshots
):
    found = told(name, tmp_path, monkeypatch, capsys)
    _, where, came = COMMANDS[name]
    assert found["error"] == "exit code 2"
    assert where in found["message"]
    assert came in found["message"]
    assert "Traceback" not in found["message"]
    if not found["message"].startswith("Usage:"):  # those are click's words
        assert found["message"].startswith("noiseproof: ")
        assert NEXT_STEP.search(found["message"])
        compare(f"noiseproof {name}", found, snapshots)


def test_the_snapshots_are_those_of_the_cases(snapshots, tally):
    assert {name for name in snapshots if not name.startswith("noiseproof ")} == REFUSED.keys()
    assert {name.removeprefix("noiseproof ") for name in snapshots if name.startswith("noiseproof ")} <= COMMANDS.keys()
    assert len(snapshots) >= 180
    tally("refusals whose words are kept", len(snapshots))


def test_a_refusal_ends_the_program_with_2_or_3():
    assert (InputError.exit_code, MachineError.exit_code) == (2, 3)


@pytest.mark.parametrize("text", ["nce + amse(a=30)", "gce", "3*agce(a=6, q=1.5)"])
@pytest.mark.parametrize("case", AS_TORCH)
def test_a_loss_refuses_a_call_as_cross_entropy_does(case, text):
    scores, target, options = AS_TORCH[case]
    with pytest.raises((ValueError, RuntimeError, IndexError)) as theirs:
        F.cross_entropy(scores, target, **options)
    with pytest.raises(type(theirs.value)) as ours:
        losses.parse(text, **options)(scores, target)
    assert str(ours.value).splitlines()[0] == str(theirs.value).splitlines()[0]


def test_what_torch_would_silently_take_is_refused_in_plain_words():
    with pytest.raises((ValueError, RuntimeError)) as raised:
        losses.parse("gce")(torch.zeros(4, 3), torch.zeros(4, 3, dtype=torch.bool))
    assert str(raised.value)
