"""Inputs as people have them: each case of the collection is read right without an option, or refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import ROOT
from noiseproof import data
from noiseproof.data.dataset import Data, Split
from noiseproof.data.load import with_options
from noiseproof.data.pipeline.decoding import opened
from noiseproof.errors import InputError

CASES = Path(os.environ.get("NOISEPROOF_CASES") or ROOT.parent / "shared" / "cases")
MANIFEST: list[dict[str, Any]] = (
    json.loads((CASES / "manifest.json").read_text()) if (CASES / "manifest.json").is_file() else []
)


@pytest.fixture(params=[case["name"] for case in MANIFEST] or [None])
def case(request) -> dict[str, Any]:
    if request.param is None:
        pytest.skip(f"the collection of cases is not in {CASES}")
    return next(case for case in MANIFEST if case["name"] == request.param)


def parts_of(found: Data) -> dict[str, Split]:
    if found.held_out is not None:
        return {"train": found.everything()}
    return {"train": found.train, "test": found.test, **found.also}


def loaded(case: dict[str, Any]) -> Data | None:
    """The data of a case; None where it was refused as it may be."""
    expect = case["expect"]
    groups = expect.get("words") if expect["refused"] else expect.get("or_refused")
    try:
        found = data.load(CASES / case["path"])
    except InputError as error:
        message = str(error).lower()
        assert groups, message
        assert all(any(word.lower() in message for word in group) for group in groups), message
        return None
    assert not expect["refused"], "must be refused"
    return found


def test_a_case_is_read_as_a_person_reads_it(case):
    found, expect = loaded(case), case["expect"]
    if found is None:
        return
    parts = parts_of(found)
    optional = expect.get("optional", [])
    assert abs(sum(map(len, parts.values())) - expect["samples"]) <= len(optional)
    assert abs(len(parts["train"]) - expect["train"]) <= len(optional)
    assert (len(parts["test"]) if "test" in parts else None) == expect["test"]
    assert list(found.classes) in [expect["classes"], *expect.get("classes_or", [])]
    labels: dict[str, tuple[str, str]] = {}
    for name, split in parts.items():
        for place, label in enumerate(split.given.tolist()):
            told = (found.classes[label], f"{name}[{place}]")
            labels[f"#{split.origin.index[place]}"] = told
            if split.origin.paths is not None:
                labels[split.origin.paths[place]] = told
    names = {key: label for key, (label, _) in labels.items()}
    wanted = {key: label for key, label in expect["label_of"].items() if key in names or key not in optional}
    assert {key: names.get(key) for key in wanted} == wanted
    places: dict[str, str] = expect.get("at", {})
    assert {key: labels[key][1] for key in places} == places
    if "counts" in expect and not optional:
        assert list(found.reading.counts.values()) == list(expect["counts"].values())
    if expect["features"] is not None:
        allowed = expect["features"] if isinstance(expect["features"], list) else [expect["features"]]
        assert found.train.inputs.shape[1] in allowed
    assert not set(expect.get("ignored", [])) & set(found.reading.columns)
    told = json.dumps(found.reading.to_json())
    unlabelled = sum(item.why == "pictures have no label" for item in found.reading.skipped)
    assert len(found.reading.skipped) - unlabelled == len(expect.get("skipped", []))
    assert all(key.rpartition("/")[2] in told for key in expect.get("skipped", []) if not key.startswith("#"))


def test_what_was_assumed_can_be_typed_back(case):
    found = loaded(case)
    if found is None or not found.reading.assumed:
        return
    said = {option.removeprefix("--"): value for option, value in found.reading.assumed.items()}
    again = data.load(with_options(str(CASES / case["path"]), **said))
    assert again.fingerprint == found.fingerprint
    assert again.train.origin.columns() == found.train.origin.columns()


def test_pictures_look_as_a_person_sees_them(case):
    for name, expect in case["expect"].get("pixels", {}).items():
        grey = np.asarray(opened(CASES / case["name"] / name).convert("L"), np.float64)
        assert grey.mean() == pytest.approx(expect["mean"], abs=1)
        assert grey.std() == pytest.approx(expect["std"], abs=1)
