"""Tables: what may share a mean, what wins, and what a name may not do."""

from __future__ import annotations

import csv
import html.parser
import io
import random
import re
import statistics
import time

import pytest

from conftest import count
from noiseproof.errors import UnknownNameError
from noiseproof.reporting import table_formats
from noiseproof.reporting.aggregate import aggregate
from noiseproof.reporting.tables import MISSING, tables_of, top_two
from support.made_records import HOSTILE, make_record

FORMS = ["md", "csv", "html", "latex"]


def three_seeds(*accuracies: float, **more: object) -> list[dict[str, object]]:
    return [make_record(seed=seed, accuracy=value, **more) for seed, value in enumerate(accuracies, 1)]


def text_of(records: list[dict[str, object]], method: str, column: int = 0) -> str:
    """What the first table says of a method."""
    line = next(line for line in tables_of(records)[0].rows if line.labels[0].startswith(method))
    return line.cells[column].text


def a_folder(seed: int = 0) -> list[dict[str, object]]:
    """Records of every kind, in no order."""
    draw = random.Random(seed)
    made = [
        make_record(data=data, noise=noise, method=method, seed=number, accuracy=draw.gauss(80, 5))
        for data in ("digits", "cifar10")
        for noise in ("clean", "symmetric(rate=0.4)", "human(labels=worst)")
        for method in ("jal-ce", "ce", "a|b")
        for number in (1, 2, 3)
    ]
    made += [make_record(method="gce", status="diverged", accuracy=10.0), make_record(method="ce", precision="bf16")]
    made += [make_record(method="sce", status="failed", accuracy=None, error="out of memory")]
    return made


# Means


def test_a_row_is_the_mean_and_the_sample_deviation_of_its_seeds():
    (row,) = aggregate(three_seeds(80.0, 82.0, 84.0))
    assert (row.mean, row.std, row.n, row.seeds) == (82.0, 2.0, 3, (1, 2, 3))
    assert text_of(three_seeds(80.0, 82.0, 84.0), "ce") == "82.00 ± 2.00"


def test_one_seed_has_no_deviation():
    (row,) = aggregate([make_record(accuracy=80.0)])
    assert row.std is None
    assert text_of([make_record(accuracy=80.0)], "ce") == "80.00"


@pytest.mark.parametrize(
    "change",
    [
        {"selection": "best test epoch (oracle)"},
        {"precision": "bf16"},
        {"mode": "fast"},
        {"convention": "jal"},
        {"epochs": 5},
        {"recipe": "mine"},
        {"loss": "ce + mae"},
        {"l1": 5e-5},
        {"data": "mnist"},
        {"fingerprint": "0" * 64},
        {"noise": "symmetric(rate=0.2)"},
        {"method": "gce"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_runs_that_differ_in_anything_but_the_seed_share_no_mean(change):
    both = three_seeds(80.0, 82.0, 84.0) + three_seeds(60.0, 62.0, 64.0, **change)
    assert sorted(row.mean for row in aggregate(both)) == [62.0, 82.0]
    shown = [cell.text for grid in tables_of(both) for line in grid.rows for cell in line.cells]
    assert sorted(text for text in shown if text != MISSING) == ["62.00 ± 2.00", "82.00 ± 2.00"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"precision": "bf16"}, {"ce (precision=bf16)", "ce (precision=fp32)"}),
        ({"mode": "fast"}, {"ce (mode=fast)", "ce (mode=deterministic)"}),
        ({"selection": "best test epoch (oracle)"}, {"ce (best test epoch (oracle))", "ce (last epoch)"}),
        ({"epochs": 5}, {"ce (train.epochs=4)", "ce (train.epochs=5)"}),
        ({"l1": 5e-5}, {"ce (l1=0.0)", "ce (l1=5e-05)"}),
    ],
)
def test_rows_that_are_kept_apart_say_in_what_they_differ(change, said):
    (grid,) = tables_of([make_record(), make_record(**change)])
    assert {line.labels[0] for line in grid.rows} == said


def test_the_precision_that_auto_chose_is_the_one_that_counts():
    told, chosen = make_record(seed=1, accuracy=80.0), make_record(seed=2, accuracy=82.0)
    told["run"]["precision"] = "auto"
    assert [row.mean for row in aggregate([told, chosen])] == [81.0]


def test_what_was_not_trained_alike_is_said_below():
    (grid,) = tables_of([make_record(method="ce", epochs=10), make_record(method="gce", epochs=20)])
    assert "Not all rows were trained alike: train.epochs is 10 for ce; 20 for gce." in grid.remarks


def test_further_test_sets_have_tables_of_their_own():
    record = make_record(data="webvision", noise="clean", accuracy=70.0)
    record["run"]["recipe"] = "webvision"
    record["result"]["also"] = {"ilsvrc12": 65.0}
    assert [(grid.title, grid.rows[0].cells[0].text) for grid in tables_of([record])] == [
        ("webvision", "70.00"),
        ("webvision on ilsvrc12", "65.00"),
    ]


# Runs without a number


def test_a_diverged_or_failed_seed_is_left_out_and_named():
    seeds = [*three_seeds(80.0, 82.0), make_record(seed=3, accuracy=10.0, status="diverged")]
    seeds += [make_record(seed=4, accuracy=None, status="failed")]
    (grid,) = tables_of(seeds)
    cell = grid.rows[0].cells[0]
    assert cell.text == "81.00 ± 1.41"
    assert cell.notes == ("seed 3 diverged and is left out", "seed 4 failed and is left out")


def test_a_test_set_without_a_finite_score_counts_as_diverged():
    record = make_record(data="webvision", noise="clean", accuracy=70.0)
    record["run"]["recipe"] = "webvision"
    record["result"]["also"] = {"ilsvrc12": None}
    assert [grid.rows[0].cells[0].text for grid in tables_of([record])] == ["70.00", "diverged"]


def test_a_method_without_any_number_says_why():
    both = [make_record(method="ce", status="diverged"), make_record(method="gce", status="failed", accuracy=None)]
    assert (text_of(both, "ce"), text_of(both, "gce")) == ("diverged", "failed")


def test_a_run_that_failed_before_it_knew_its_data_stands_with_its_seeds():
    early = make_record(seed=3, status="failed", accuracy=None) | {"noise": None, "data": None}
    (row,) = aggregate([*three_seeds(80.0, 82.0), early])
    assert (row.seeds, row.failed) == ((1, 2), (3,))


def test_a_cell_without_records_is_shown_as_missing_and_explained():
    (grid,) = tables_of([make_record(method="ce", noise="clean"), make_record(method="gce")])
    assert [[cell.text for cell in line.cells] for line in grid.rows] == [["90.00", MISSING], [MISSING, "90.00"]]
    assert "means no record" in grid.remarks[0]


def test_a_mean_over_fewer_seeds_says_so():
    (grid,) = tables_of([*three_seeds(80.0, 82.0, 84.0), make_record(method="gce", accuracy=81.0)])
    assert [line.cells[0].notes for line in grid.rows] == [(), ("over 1 seed",)]


# Ranks


def marks(**accuracies: float) -> dict[str, str]:
    made = aggregate(make_record(method=method, accuracy=value) for method, value in accuracies.items())
    found = top_two(made)
    return {row.method: found.get(id(row), "") for row in made}


def test_the_best_two_are_marked_by_the_numbers():
    assert marks(a=80.0, b=90.0, c=85.0) == {"a": "", "b": "best", "c": "second"}


def test_numbers_that_print_alike_share_a_mark():
    assert marks(a=90.001, b=90.004, c=85.0, d=80.0) == {"a": "best", "b": "best", "c": "second", "d": ""}


def test_a_number_alone_wins_nothing_and_of_two_one_wins():
    assert marks(a=90.0) == {"a": ""}
    assert marks(a=90.0, b=80.0) == {"a": "best", "b": ""}


def test_selection_rules_do_not_compete():
    made = aggregate(
        [
            make_record(method=m, accuracy=a, selection=s)
            for s in ("last epoch", "oracle")
            for m, a in (("a", 80.0), ("b", 90.0))
        ]
    )
    assert len([mark for mark in top_two(made).values() if mark == "best"]) == 2


def test_a_mean_over_the_survivors_of_divergence_wins_nothing():
    seeds = [make_record(method="gce", accuracy=99.0), make_record(method="gce", seed=2, status="diverged")]
    (grid,) = tables_of([*seeds, make_record(method="ce"), make_record(method="sce", accuracy=80.0)])
    assert {line.labels[0]: line.cells[0].mark for line in grid.rows} == {"ce": "best", "gce": "", "sce": ""}


# Writing


@pytest.mark.parametrize("form", FORMS)
def test_the_same_records_give_the_same_text_in_any_order(form):
    records = a_folder()
    expected = table_formats.render(records, form)
    for seed in range(count(5, 100)):
        random.Random(seed).shuffle(records)
        assert table_formats.render(records, form) == expected


def test_the_columns_rise_in_noise_and_the_rows_follow_the_paper():
    noises = ["symmetric(rate=0.8)", "human(labels=worst)", "clean", "symmetric(rate=0.1)", "asymmetric(rate=0.1)"]
    (grid,) = tables_of(make_record(method=m, noise=noise) for m in ("zz", "jal-fl", "aa", "ce") for noise in noises)
    assert grid.columns == ("clean", "symmetric(0.1)", "symmetric(0.8)", "asymmetric(0.1)", "human(worst)")
    assert [line.labels[0] for line in grid.rows] == ["ce", "jal-fl", "aa", "zz"]


def test_an_unknown_format_is_refused_with_what_there_is():
    with pytest.raises(UnknownNameError, match="--format must be one of md, latex, html, csv; got 'pdf'"):
        table_formats.render([make_record()], "pdf")


def test_the_csv_reads_back_as_the_rows():
    records = a_folder()
    read = list(csv.DictReader(io.StringIO(table_formats.render(records, "csv"))))
    for line, row in zip(read, aggregate(records), strict=True):
        assert (line["data"], line["method"], int(line["n"])) == (row.data, row.method, row.n)
        if row.mean is not None:
            assert float(line["mean"]) == pytest.approx(statistics.fmean(row.accuracies), abs=5e-5)


def test_ten_thousand_records_take_seconds():
    records = [
        make_record(noise=f"symmetric(rate={rate})", method=f"m{m}", seed=seed, accuracy=80 + seed / 10)
        for rate in (0.2, 0.4, 0.6, 0.8)
        for m in range(50)
        for seed in range(50)
    ]
    begun = time.process_time()
    text = table_formats.render(records, "md")
    assert time.process_time() - begun < 5
    assert len(records) == 10_000
    assert text.count("82.45 ± 1.46") == 4 * 50


# Hostile names


class Tags(html.parser.HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text += data


def hostile(name: str) -> list[dict[str, object]]:
    """The name in every place that a table shows."""
    return [
        make_record(method=name, data=name),
        make_record(method="ce", data=name, noise=name),
        make_record(method="ce", precision=name, accuracy=80.0),
        make_record(method="ce", selection=name),
        make_record(method="ce", convention=name, loss=name, head=name),
    ]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_in_html_a_name_is_text(name):
    page = Tags(table_formats.render(hostile(name), "html"))
    assert page.tags <= {"table", "caption", "thead", "tbody", "tr", "th", "td", "strong", "u", "sup", "p"}
    assert page.attributes == {"scope"}


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_in_markdown_a_name_stays_in_its_cell(name):
    text = table_formats.render(hostile(name), "md")
    assert "<" not in text
    tables_of = [block for block in text.split("\n\n") if block.startswith("|")]
    for block in tables_of:
        bars = {line.replace("\\\\", "").replace("\\|", "").count("|") for line in block.split("\n")}
        assert len(bars) == 1


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_in_csv_a_name_is_no_formula_and_comes_back(name):
    text = table_formats.render(hostile(name), "csv")
    read = list(csv.reader(io.StringIO(text, newline="")))
    assert len({len(line) for line in read}) == 1
    fields = {field for line in read for field in line}
    back = name.replace("\r\n", "\n").replace("\r", "\n")  # ends of lines are all written alike
    assert back in {field.removeprefix("'") for field in fields} | fields
    assert not [field for field in fields if field[:1] in ("=", "+", "-", "@", "\t", "\r", "\n")]


@pytest.mark.parametrize("form", ["md", "html", "latex"])
@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_no_table_holds_unseen_characters_or_endless_names(form, name):
    text = table_formats.render(hostile(name), form)
    assert all(character == "\n" or character.isprintable() for character in text)
    if form == "md":
        assert max(map(len, text.split("\n"))) < 4000


def test_the_terminal_gets_text_and_no_control_characters():
    from rich.console import Console

    for name in HOSTILE:
        out = io.StringIO()
        Console(file=out, width=200, force_terminal=False).print(table_formats.console(tables_of(hostile(name))))
        assert "\x1b" not in out.getvalue()
        assert all(character == "\n" or character.isprintable() for character in out.getvalue())


def test_the_terminal_shows_best_in_bold():
    from rich.console import Console

    out = io.StringIO()
    records = [make_record(method=m, accuracy=a) for m, a in (("ce", 70.0), ("gce", 80.0))]
    Console(file=out, width=80, force_terminal=True, color_system="standard").print(
        table_formats.console(tables_of(records))
    )
    assert re.search(r"\x1b\[1m *80\.00", out.getvalue())
    assert not re.search(r"\x1b\[1m *70\.00", out.getvalue())


def test_recipes_have_tables_of_their_own():
    whole, short = make_record(data="cifar10", accuracy=90.0), make_record(data="cifar10", accuracy=60.0)
    whole["run"]["recipe"], short["run"]["recipe"] = "cifar10", "small-cifar10"
    assert [grid.title for grid in tables_of([short, whole])] == ["cifar10", "cifar10, recipe small-cifar10"]


def test_a_latex_table_says_by_itself_what_it_holds_and_has_a_label():
    made = table_formats.render([make_record(seed=1), make_record(seed=2)], "latex")
    assert r"\label{tab:digits}" in made
    caption = made.partition(r"\caption{")[2].partition("\n")[0]
    for said in ("digits", "symmetric(0.4)", "over 2 seeds", "last epoch"):
        assert said in caption
