"""`noiseproof table`, `figure` and `report` on a folder of records as runs leave them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from noiseproof.cli import reporting
from noiseproof.errors import DataMissingError, InputError, UnknownNameError
from noiseproof.experiments import records as record_files
from support.made_records import make_record


def stored(folder: Path, *made: dict[str, object]) -> Path:
    """A results folder with these records."""
    for record in made:
        assert record_files.write(folder, {**record, "run_id": record_files.run_id(record["run"])})
    return folder


@pytest.fixture
def folder(tmp_path) -> Path:
    return stored(
        tmp_path / "results",
        *(
            make_record(method=method, noise=noise, seed=seed, accuracy=mean + seed, loss=loss)
            for method, loss, mean in [("ce", "ce", 70.0), ("jal-ce", "nce + amse(a=30)", 80.0)]
            for noise in ("clean", "symmetric(rate=0.4)")
            for seed in (1, 2, 3)
        ),
    )


def test_the_table_is_markdown_where_nobody_looks_and_any_form_on_request(folder, capsys):
    reporting.table(folder)
    assert "| jal-ce | **82.00 ± 1.00** | **82.00 ± 1.00** |" in capsys.readouterr().out
    reporting.table(folder, form="csv")
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(line["method"], line["mean"], line["n"]) for line in lines[:2]] == [
        ("ce", "72.0000", "3"),
        ("jal-ce", "82.0000", "3"),
    ]
    reporting.table(folder, form="latex")
    assert r"\textbf{82.00 $\pm$ 1.00}" in capsys.readouterr().out
    reporting.table(folder, form="html")
    assert "<strong>82.00 ± 1.00</strong>" in capsys.readouterr().out


def test_the_table_beside_the_paper(tmp_path, capsys):
    made = make_record(data="cifar10", recipe="cifar10", noise="symmetric(rate=0.4)", method="ce", accuracy=58.5)
    reporting.table(stored(tmp_path, made), paper=True)
    out = capsys.readouterr().out
    assert "### Table 3, CIFAR-10" in out
    assert "+0.45 inside" in out


def test_a_damaged_record_is_named_and_hides_no_other(folder, capsys):
    victim = sorted((folder / "runs").iterdir())[0] / "record.json"
    victim.write_bytes(victim.read_bytes().replace(b"digits", b"figits"))
    reporting.table(folder)
    said = capsys.readouterr()
    assert str(victim) in said.err
    assert "over 2 seeds" in said.out
    reporting.report(folder)
    assert str(victim) in (folder / "report.html").read_text()


@pytest.mark.parametrize("what", ["curves", "transition", "loss"])
def test_a_figure_lies_in_the_folder_unless_told_otherwise(folder, capsys, what, tmp_path):
    reporting.figure(what, str(folder))
    assert capsys.readouterr().out == f"wrote {folder / what}.png\nwrote {folder / what}.pdf\n"
    reporting.figure(what, str(folder), output=tmp_path / "mine.png")
    assert (tmp_path / "mine.png").read_bytes() == (folder / f"{what}.png").read_bytes()


def test_histograms_are_drawn_of_the_outputs_that_runs_kept(folder, capsys):
    from safetensors.numpy import save_file

    with pytest.raises(DataMissingError, match="no run kept its outputs; run again with --keep-outputs"):
        reporting.figure("histogram", str(folder))
    for number, place in enumerate(sorted((folder / "runs").iterdir())):
        given = np.linspace(0, 1, 50, dtype=np.float32) ** (number + 1)
        kept = {"train_probability_given": given, "train_max_probability": given, "flipped": given > 0.5}
        save_file(kept, place / "outputs.safetensors")
    reporting.figure("histogram", str(folder), noise="symmetric(0.4)")
    assert (folder / "histogram.png").is_file()


def test_a_choice_of_records_may_be_written_in_any_spelling(folder):
    everything = record_files.read_folder(folder).records
    chosen = reporting._chosen(list(everything), "digits", "symmetric(0.40)", "CE, nce + amse(a=30)")
    assert {(record["run"]["noise"], record["run"]["method"]) for record in chosen} == {
        ("symmetric(rate=0.4)", "ce"),
        ("symmetric(rate=0.4)", "jal-ce"),
    }
    with pytest.raises(
        InputError, match=r"--noise: no record is of 'symmetric\(0.2\)'; did you mean 'symmetric\(0.4\)'"
    ):
        reporting._chosen(list(everything), None, "symmetric(0.2)", None)


def test_losses_are_drawn_without_any_record(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    reporting.figure("loss", "ce, nce + 4*agce(a=6, q=1.5)", classes=100)
    assert capsys.readouterr().out == "wrote loss.png\nwrote loss.pdf\n"


def test_the_report_lies_in_the_folder_unless_told_otherwise(folder, tmp_path, capsys):
    reporting.report(folder)
    reporting.report(folder, output=tmp_path / "mine.html")
    assert capsys.readouterr().out == f"wrote {folder / 'report.html'}\nwrote {tmp_path / 'mine.html'}\n"
    assert (folder / "report.html").read_bytes() == (tmp_path / "mine.html").read_bytes()


def test_wrong_input_is_refused_with_what_to_type(folder, tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean 'curves'"):
        reporting.figure("curve", str(folder))
    with pytest.raises(
        UnknownNameError, match="--format must be one of md, latex, html, csv; got 'tex'; did you mean 'latex'"
    ):
        reporting.table(folder, form="tex")
    with pytest.raises(DataMissingError, match="there is no folder"):
        reporting.table(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no finished run; make some with `noiseproof compare DATA"):
        reporting.report(stored(tmp_path))
    with pytest.raises(InputError, match="none of the records belongs to a cell of the paper's tables"):
        reporting.table(folder, paper=True)
