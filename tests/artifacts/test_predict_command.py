"""The commands on a trained model: reading options, and items that cannot be read."""

from __future__ import annotations

import csv

import numpy as np
import pandas as pd
import pytest
import typer.main
from PIL import Image
from typer.testing import CliRunner

from noiseproof import artifacts, data
from noiseproof.artifacts.new_items import read_items
from noiseproof.cli.app import app

READING = ["--label", "--path", "--text", "--id", "--drop", "--annotators", "--delimiter"]


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_each_reading_option_is_there_once(command):
    found = [name for one in typer.main.get_command(app).commands[command].params for name in one.opts]
    assert [found.count(option) for option in READING] == [1] * len(READING)


def test_a_broken_picture_is_listed_and_skipped(tmp_path):
    rng = np.random.default_rng(0)
    for name, level in (("dark", 40), ("light", 200)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(10):
            pixels = (level + rng.integers(-30, 30, (24, 24, 3))).astype("uint8")
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    learned = artifacts.learn(data.load(str(tmp_path / "photos")), extractor="patches", only="discriminant", cache=None)
    artifacts.save(learned.model, tmp_path / "model")
    new = tmp_path / "new"
    new.mkdir()
    for name in "abc":
        Image.fromarray(np.full((24, 24, 3), 200, "uint8")).save(new / f"{name}.png")
    whole = (new / "b.png").read_bytes()
    (new / "b.png").write_bytes(whole[: len(whole) // 2])
    (new / "empty.jpg").write_bytes(b"")
    out = tmp_path / "out.csv"
    done = CliRunner().invoke(app, ["predict", str(tmp_path / "model"), str(new), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "skipped" in done.output
    assert "b.png" in done.output
    assert "empty.jpg" in done.output
    assert "2 of 4 items skipped" in done.output
    assert [row["path"].split("/")[-1] for row in csv.DictReader(out.read_text().splitlines())] == ["a.png", "c.png"]


def test_predictions_carry_the_users_own_key(tmp_path):
    rows = [f"P{i:03d},{i % 2 + i / 1000},{'ab'[i % 2]}" for i in range(60)]
    (tmp_path / "old.csv").write_text("\n".join(["patient,value,label", *rows]))
    (tmp_path / "new.csv").write_text("\n".join(["patient,value", *(row.rpartition(",")[0] for row in rows[10:14])]))
    learned = artifacts.learn(data.load(str(tmp_path / "old.csv")), only="discriminant", cache=None)
    artifacts.save(learned.model, tmp_path / "model")
    out = tmp_path / "out.csv"
    done = CliRunner().invoke(app, ["predict", str(tmp_path / "model"), str(tmp_path / "new.csv"), "--out", str(out)])
    assert done.exit_code == 0, done.output
    found = list(csv.DictReader(out.read_text().splitlines()))
    assert [(row["patient"], row["row"], row["label"]) for row in found] == [
        ("P010", "2", "a"), ("P011", "3", "b"), ("P012", "4", "a"), ("P013", "5", "b"),
    ]  # fmt: skip


def test_units_dates_and_stand_ins_are_read_in_new_items_as_in_training(tmp_path):
    random = np.random.default_rng(0)
    values, levels = random.normal(0, 100, 120), ["<0.5", "1.5", "2.25"]
    table = pd.DataFrame(
        {
            "price": [f"({-one:.2f} EUR)" if one < 0 else f"{one:.2f} EUR" for one in values],
            "day": [f"{1 + i % 28:02d}.{1 + i % 12:02d}.2024" for i in range(120)],
            "level": [levels[i % 3] for i in range(120)],
            "label": np.where(values > 0, "high", "low"),
        }
    )
    table.to_csv(tmp_path / "old.csv", index=False)
    learned = artifacts.learn(data.load(str(tmp_path / "old.csv")), only="discriminant", cache=None)
    artifacts.save(learned.model, tmp_path / "model")
    new = table.drop(columns="label").head(8)
    from_frame = artifacts.load_model(tmp_path / "model").predict(new)
    new.loc[3, "price"] = "oops"
    new.to_csv(tmp_path / "new.csv", index=False)
    out = tmp_path / "out.csv"
    done = CliRunner().invoke(app, ["predict", str(tmp_path / "model"), str(tmp_path / "new.csv"), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "'day' is read as days since 1970" in done.output
    assert "row 5: column 'price' held numbers in training, and this row holds 'oops'" in done.output
    found = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["row"] for row in found] == ["2", "3", "4", "6", "7", "8", "9"]
    assert [row["label"] for row in found] == np.delete(from_frame, 3).tolist()


def test_decimal_commas_of_a_new_table_are_read_as_in_training(tmp_path):
    rows = [f"0,{100 + i}\t{1 + i % 2}\t{1 + i % 2},{100 + i}\t{'ab'[i % 2]}" for i in range(60)]
    (tmp_path / "old.tsv").write_text("\n".join(["weight\tcount\tlength\tlabel", *rows]))
    new = [row.rpartition("\t")[0] for row in rows]
    (tmp_path / "new.tsv").write_text("\n".join(["weight\tcount\tlength", *new]))
    found = data.load(str(tmp_path / "old.tsv"))
    items = read_items(tmp_path / "new.tsv", "table", list(found.reading.columns))
    assert np.allclose(items.inputs.to_numpy(float), found.everything().inputs.numpy())
    assert items.inputs["length"].max() < 3


def test_new_texts_are_read_by_the_columns_of_training_and_blank_ones_are_skipped(tmp_path):
    rows = [
        f"{name},{words} {i},{label}"
        for i in range(20)
        for name, words, label in (("ann", "so good", "up"), ("bob", "so bad", "down"))
    ]
    (tmp_path / "old.csv").write_text("\n".join(["who,remark,label", *rows]))
    (tmp_path / "new.csv").write_text("remark,who\ngood,cid\n,dan\nbad,eve\n")
    read = data.load(str(tmp_path / "old.csv"), text="remark", id="who", label="label")
    artifacts.save(artifacts.learn(read, only="discriminant", cache=None).model, tmp_path / "model")
    done = CliRunner().invoke(app, ["predict", str(tmp_path / "model"), str(tmp_path / "new.csv")])
    assert done.exit_code == 0, done.output
    assert "row 3: the text is blank" in done.output
    assert [line.split(",")[:3] for line in done.stdout.splitlines()] == [
        ["who", "row", "label"], ["cid", "2", "up"], ["eve", "4", "down"],
    ]  # fmt: skip
