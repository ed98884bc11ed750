"""Our numbers beside the paper's: the paper's cells as they were read, what speaks against some, and the rule."""

from __future__ import annotations

import csv
import io
import random
from collections import defaultdict

import pytest

from conftest import count
from noiseproof.errors import InputError
from noiseproof.reporting import paper, table_formats
from noiseproof.reporting.aggregate import aggregate
from support.made_records import make_record

CELLS = paper.printed()


def ours(noise: str, method: str, *accuracies: float, data: str = "cifar10", **more: object) -> list[dict[str, object]]:
    return [
        make_record(data=data, recipe=data, noise=noise, method=method, seed=seed, accuracy=value, **more)
        for seed, value in enumerate(accuracies, 1)
    ]


def comparison(noise: str, method: str, *accuracies: float, data: str = "cifar10") -> paper.Comparison | None:
    (row,) = aggregate(ours(noise, method, *accuracies, data=data))
    place = paper.where(data, noise)
    assert place is not None
    return paper.compare(row, CELLS[place, method.upper()], place[0])


# The paper's cells


def test_the_paper_has_379_cells_of_which_375_hold_a_number():
    assert len(CELLS) == 379
    assert sum(one.mean is not None for one in CELLS.values()) == 375
    by_table = defaultdict(int)
    for one in CELLS.values():
        by_table[one.table] += 1
    assert by_table == {3: 252, 4: 60, 5: 40, 6: 27}


def test_the_two_best_of_a_column_follow_from_its_numbers():
    """Where JAL is among the two best and where not, as read off the paper's numbers by hand."""
    two_best = defaultdict(set)
    columns = defaultdict(dict)
    for (place, method), one in CELLS.items():
        if one.table == 3 and one.mean is not None:
            columns[place][method] = one.mean
    for place, column in columns.items():
        two_best[place] = set(sorted(column, key=column.get, reverse=True)[:2])
    jal = {"JAL-CE", "JAL-FL"}
    assert two_best["CIFAR-10", "clean", "0.0"] & jal == {"JAL-CE"}
    assert two_best["CIFAR-100", "clean", "0.0"] & jal == set()
    assert two_best["CIFAR-100", "symmetric", "0.8"] & jal == set()
    for rate in ("0.1", "0.2"):
        assert two_best["CIFAR-10", "asymmetric", rate] & jal == {"JAL-FL"}
    for rate in ("0.3", "0.4"):
        assert two_best["CIFAR-10", "asymmetric", rate] & jal == {"JAL-CE"}
    (grid,) = paper.tables_of(ours("clean", "ce", 90.0))
    marked = {
        (line.labels[0], column)
        for line in grid.rows
        if line.labels[1] == "paper"
        for column, cell in zip(grid.columns, line.cells, strict=True)
        if cell.mark
    }
    assert marked == {
        (method, "clean" if noise == "clean" else f"{noise} {rate}")
        for (dataset, noise, rate), methods in two_best.items()
        if dataset == "CIFAR-10"
        for method in methods
    }


def test_every_suspicion_is_about_a_cell_that_exists():
    for suspect in paper._lines("suspect.csv"):
        assert [1 for place, method in CELLS if paper._speaks_of(suspect, place, method)], suspect


def test_the_pasted_cell_is_no_target():
    pasted = CELLS[("CIFAR-10", "symmetric", "0.2"), "GCE"]
    clean = CELLS[("CIFAR-10", "clean", "0.0"), "GCE"]
    assert (pasted.mean, pasted.std) == (clean.mean, clean.std)
    assert not pasted.judged
    assert "not a target" in pasted.notes[0]
    made = comparison("symmetric(rate=0.2, convention=jal)", "gce", 86.5, 86.7, 86.9)
    assert made is not None
    assert made.inside is None


def test_no_other_two_cells_share_mean_and_deviation():
    seen = defaultdict(list)
    for key, one in CELLS.items():
        if one.std is not None:
            seen[one.mean, one.std].append(key)
    twice = [keys for keys in seen.values() if len(keys) > 1]
    assert twice == [[(("CIFAR-10", "clean", "0.0"), "GCE"), (("CIFAR-10", "symmetric", "0.2"), "GCE")]]


# The rule


def test_a_difference_within_twice_its_standard_error_is_inside():
    # CIFAR-10 symmetric 0.8, NCE+RCE: 54.99 +- 2.13. With our deviation 1: 2*sqrt(1/3 + 2.13^2/3) = 2.717
    inside = comparison("symmetric(rate=0.8)", "nce+rce", 56.6, 57.6, 58.6)
    outside = comparison("symmetric(rate=0.8)", "nce+rce", 56.9, 57.9, 58.9)
    assert inside is not None
    assert outside is not None
    assert inside.allowed == pytest.approx(2.717, abs=1e-3)
    assert (inside.difference, outside.difference) == (pytest.approx(2.61), pytest.approx(2.91))
    assert (inside.inside, outside.inside) == (True, False)


def test_a_deviation_printed_too_small_does_not_fail_us():
    # CIFAR-100 symmetric 0.8, NCE+AGCE: a deviation of 0.01; one point is allowed, as on all of CIFAR-100
    cell = CELLS[("CIFAR-100", "symmetric", "0.8"), "NCE+AGCE"]
    assert cell.std == 0.01
    made = comparison("symmetric(rate=0.8)", "nce+agce", cell.mean + 0.9, cell.mean + 0.9, data="cifar100")
    assert made is not None
    assert (made.allowed, made.inside) == (1.0, True)


def test_one_seed_is_judged_by_the_papers_deviation():
    # 2*sqrt(0.53^2 + 0.53^2/3) = 1.224
    made = comparison("symmetric(rate=0.4)", "ce", 59.2)
    assert made is not None
    assert made.allowed == pytest.approx(1.224, abs=1e-3)
    assert made.inside is True


def test_single_runs_of_the_paper_are_not_judged():
    made = comparison("clean", "ce", 60.0, 70.0, data="webvision")
    assert made is not None
    assert made.inside is None


def test_a_missing_number_has_no_difference():
    assert comparison("clean", "lt-apl", 90.0) is None


# Where our runs belong


@pytest.mark.parametrize("table", [3, 4, 5, 6])
def test_the_grids_of_the_package_fill_the_papers_tables(table):
    from noiseproof.experiments import grid

    filled = set()
    for run in grid.load(f"table{table}"):
        told = run.told
        assert paper.belongs({"run": told}), told
        filled.add((paper.where(told["data"], told["noise"]), told["method"].upper()))
    wanted = {key for key, one in CELLS.items() if one.table == table and one.mean is not None}
    assert {key for key in wanted - filled if key[0][0] != "ILSVRC12"} == set()


def test_the_webvision_model_on_imagenet_has_its_own_column_of_cells():
    record = make_record(data="webvision", recipe="webvision", noise="clean", accuracy=62.0)
    record["result"]["also"] = {"ilsvrc12": 58.0}
    titles = {grid.title: grid.rows[1].cells[0].text for grid in paper.tables_of([record])}
    assert titles == {"Table 6, WebVision": "62.00", "Table 6, ILSVRC12": "58.00"}


def test_records_of_other_data_are_refused_with_what_would_fit():
    with pytest.raises(InputError, match="none of the records belongs to a cell of the paper's tables: cifar10"):
        paper.tables_of([make_record()])


def test_both_conventions_of_a_cell_stand_apart():
    records = ours("symmetric(rate=0.4)", "ce", 58.0, 59.0, convention="exact")
    records += ours("symmetric(rate=0.4, convention=jal)", "ce", 60.0, 61.0, convention="jal")
    (grid,) = paper.tables_of(records)
    said = [line.labels for line in grid.rows if line.labels[1] not in ("paper", "difference")]
    assert said == [("", "ours (convention=exact)"), ("", "ours (convention=jal)")]
    assert "Our labels were drawn by the convention exact, the paper's by the one named jal." in grid.remarks


def test_a_run_that_left_the_papers_protocol_says_so():
    from noiseproof.experiments import grid as grids_of_runs

    def remarks(overrides):
        (run,) = grids_of_runs.runs(["cifar10"], ["clean"], ["jal-ce"], [1], overrides=overrides)
        (grid,) = paper.tables_of([make_record() | {"run": run.told}])
        return [remark for remark in grid.remarks if remark.startswith("Not the paper's protocol")]

    assert remarks({}) == []
    assert remarks({"train.epochs": 3}) == [
        "Not the paper's protocol, for jal-ce: train.epochs is 3, the recipe's is 120."
    ]


# Writing


@pytest.mark.parametrize("form", ["md", "csv", "html", "latex"])
def test_the_same_records_give_the_same_tables_in_any_order(form):
    records = ours("symmetric(rate=0.4)", "ce", 58.0, 59.0) + ours("clean", "gce", 89.0) + ours("clean", "jal-ce", 91.0)
    expected = table_formats.render(records, form, beside_paper=True)
    for seed in range(count(3, 50)):
        random.Random(seed).shuffle(records)
        assert table_formats.render(records, form, beside_paper=True) == expected


def test_below_the_papers_line_stand_ours_and_the_difference():
    (grid,) = paper.tables_of(ours("symmetric(rate=0.4)", "ce", 58.0, 59.0, 60.0))
    column = grid.columns.index("symmetric 0.4")
    assert [(*line.labels, line.cells[column].text) for line in grid.rows[:3]] == [
        ("CE", "paper", "58.05 ± 0.53"),
        ("", "ours", "59.00 ± 1.00"),
        ("", "difference", "+0.95 inside"),
    ]


def test_suspect_cells_carry_their_footnote():
    text = table_formats.render(ours("clean", "gce", 89.0), beside_paper=True)
    assert "the paper prints the same mean and deviation as for clean labels" in text
    assert "the paper's deviation is too small to be believed" in text


def test_the_csv_has_the_papers_numbers_in_columns():
    text = table_formats.render(
        [*ours("symmetric(rate=0.4)", "ce", 57.0, 58.0), make_record()], "csv", beside_paper=True
    )
    first, second = csv.DictReader(io.StringIO(text))
    assert [first[key] for key in ("paper_table", "paper_mean", "paper_std", "difference", "inside")] == [
        "3",
        "58.05",
        "0.53",
        "-0.5500",
        "yes",
    ]
    assert second["data"] == "digits"
    assert second["paper_mean"] == ""
