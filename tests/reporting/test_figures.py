"""Figures: what they show, that the same records give the same bytes, and that every word can be read."""

from __future__ import annotations

import itertools
import random
import re

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from conftest import count
from noiseproof.errors import DataMissingError, InputError
from noiseproof.reporting import figure_style, figures, histogram_and_tsne
from support.made_records import HOSTILE, arrays, make_record

METHODS = ["ce", "gce", "nce+rce", "jal-ce"]


def seeds(method: str, *accuracies: float, **more: object) -> list[dict[str, object]]:
    return [make_record(method=method, seed=seed, accuracy=a, **more) for seed, a in enumerate(accuracies, 1)]


def some_records(noises: int = 2, methods: int = 4) -> list[dict[str, object]]:
    return [
        record
        for rate in range(1, noises + 1)
        for place, method in enumerate((METHODS * 4)[:methods])
        for record in seeds(
            method if place < 4 else f"{method}{place}", 70 + place, 72 + place, noise=f"symmetric(rate=0.{rate})"
        )
    ]


DRAWN = {
    "curves": lambda records: figures.draw_curves(records),
    "transition": lambda records: figures.draw_transition(records),
    "histogram": lambda records: histogram_and_tsne.draw_histogram(records, arrays),
    "loss": lambda records: figures.draw_loss(sorted({record["run"]["loss"] for record in records})),
}


def words(figure: Figure) -> list[Text]:
    """Every text that is drawn: heads, labels, ticks, numbers in cells, the legend."""
    FigureCanvasAgg(figure).draw()
    found = [text for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        found += [axes.title, axes._left_title, axes._right_title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        for axis, place in ((axes.xaxis, 0), (axes.yaxis, 1)):
            low, high = sorted(axis.get_view_interval())
            found += [one for one in axis.get_ticklabels() if low - 1e-9 <= one.get_position()[place] <= high + 1e-9]
    return [text for text in found if text.get_visible() and text.get_text().strip()]


# What they show


def test_a_curve_is_the_mean_of_its_seeds_and_the_band_one_deviation():
    with figure_style.looks():
        figure = figures.draw_curves(seeds("ce", 80.0, 82.0, 84.0, epochs=2))
    (axis,) = figure.axes
    (line,) = axis.lines
    np.testing.assert_allclose(line.get_xdata(), [1, 2])
    np.testing.assert_allclose(line.get_ydata(), [41.0, 82.0])
    band = axis.collections[0].get_paths()[0].vertices
    np.testing.assert_allclose(sorted({round(y, 6) for y in band[:, 1]}), [40.0, 42.0, 80.0, 84.0])


def test_every_noise_has_a_panel_and_a_method_has_one_colour_in_all():
    with figure_style.looks():
        figure = figures.draw_curves(some_records(noises=3))
        apart = dict(figures.each_curves(some_records(noises=3)))
    heads = [axis.get_title(loc="left") for axis in figure.axes]
    assert heads == [f"{head}\nmean of 2 seeds, band ± 1 std" for head in apart]
    assert list(apart) == ["digits, symmetric(0.1)", "digits, symmetric(0.2)", "digits, symmetric(0.3)"]
    for method in METHODS:
        every = [*figure.axes, *(single.axes[0] for single in apart.values())]
        colours = {line.get_color() for axis in every for line in axis.lines if line.get_label() == method}
        assert len(colours) == 1


def test_ten_methods_have_ten_colours_and_thirty_can_be_told_apart():
    assert len({figure_style.tint(index)["color"] for index in range(10)}) == 10
    assert len({tuple(figure_style.tint(index).values()) for index in range(40)}) == 40


def relative_luminance(colour: str) -> float:
    """WCAG 2.2."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


# Machado, Oliveira & Fernandes 2009, severity 1: how people without red, green or blue receptors see linear RGB.
BLINDNESS = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@pytest.mark.parametrize("blindness", BLINDNESS)
def test_the_first_four_colours_differ_for_colour_blind_readers(blindness):
    """Distances in CIE L*a*b*; 2.3 is just noticeable."""

    def lab(colour: str) -> np.ndarray:
        channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        seen = np.clip(np.array(BLINDNESS[blindness]) @ linear, 0, 1)
        xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen
        f = np.cbrt(xyz / [0.9505, 1.0, 1.089])
        return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])

    for one, other in itertools.combinations(figure_style.PALETTE[:4], 2):
        assert np.linalg.norm(lab(one) - lab(other)) > 15, (one, other)


def test_every_colour_stands_out_from_white():
    assert min(1.05 / (relative_luminance(colour) + 0.05) for colour in figure_style.PALETTE) > 2


def test_a_heat_map_is_the_mean_of_the_seeds_matrices():
    records = seeds("ce", 80.0, 82.0)
    records[1]["noise"] |= {"transition": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], "rate": 0.2}
    with figure_style.looks():
        figure = figures.draw_transition([*records, *seeds("gce", 70.0)])  # the same labels again: counted once
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), np.full((3, 3), 0.1) + 0.7 * np.eye(3))
    assert figure.axes[0].get_title(loc="left") == "digits, symmetric(0.4)\nrealised rate 0.300, 2 draws"


def test_the_pull_of_a_loss_is_its_closed_form():
    p = np.linspace(0.01, 0.99, 50)
    for text, value, pull in [
        ("ce", -np.log(p), 1 - p),
        ("mae", 2 * (1 - p), 2 * p * (1 - p)),
        ("gce(q=0.7)", (1 - p**0.7) / 0.7, p**0.7 * (1 - p)),
    ]:
        got = figures._shape(text, p, 10)
        np.testing.assert_allclose(got[0], value, rtol=1e-9)
        np.testing.assert_allclose(got[1], pull, rtol=1e-9)


def test_histograms_keep_clean_and_mislabelled_apart_and_each_sums_to_one():
    with figure_style.looks():
        figure = histogram_and_tsne.draw_histogram(seeds("ce", 80.0), arrays)
    for axis in figure.axes:
        heights = [sum(patch.get_height() for patch in bars) for bars in axis.containers if len(bars) == 25]
        np.testing.assert_allclose(heights, [1.0, 1.0], rtol=1e-5)
    assert {text.get_text() for text in words(figure)} >= {"clean", "mislabelled", "p(given label)", "largest p"}


def test_the_features_of_separate_classes_measure_as_separate():
    clean = np.repeat([0, 1, 2], 30)
    draw = np.random.default_rng(0)
    apart = np.eye(3)[clean] * 100 + draw.normal(size=(90, 3))
    silhouette, neighbours = histogram_and_tsne.separation(apart, clean)
    assert silhouette > 0.9
    assert neighbours == 1.0
    mixed = draw.normal(size=(90, 3))
    silhouette, neighbours = histogram_and_tsne.separation(mixed, clean)
    assert abs(silhouette) < 0.1
    assert neighbours < 0.6


def test_no_sample_votes_for_itself():
    # Two samples of each class, far apart in pairs of different classes: a sample that saw itself would be right.
    features = np.array([[0.0], [0.1], [50.0], [50.1]] * 3) + np.arange(12)[:, None] * 1e-6
    clean = np.array([0, 1, 0, 1] * 3)
    _, neighbours = histogram_and_tsne.separation(features, clean)
    assert neighbours < 1.0


def test_tsne_draws_every_sample_and_says_what_the_features_say():
    with figure_style.looks():
        figure = histogram_and_tsne.draw_tsne(seeds("ce", 80.0), arrays)
    (axis,) = figure.axes
    points = [one for one in axis.collections if isinstance(one, PathCollection)]
    assert sum(len(one.get_offsets()) for one in points) == 60
    assert re.fullmatch(r"silhouette 0\.\d\d\n10-NN accuracy 100\.0 %", axis.xaxis.label.get_text())


# Files


@pytest.mark.parametrize("name", ["curves", "transition"])
def test_the_same_records_give_the_same_bytes_in_any_order(name, tmp_path):
    records = some_records()
    write = getattr(figures, name)
    first = [path.read_bytes() for path in write(records, tmp_path / "one")]
    for seed in range(count(1, 5)):
        random.Random(seed).shuffle(records)
        assert [path.read_bytes() for path in write(records, tmp_path / "other")] == first


def test_the_same_outputs_give_the_same_bytes(tmp_path):
    records = seeds("ce", 80.0, 82.0)
    for write in (histogram_and_tsne.histogram, histogram_and_tsne.tsne):
        first = [path.read_bytes() for path in write(records, tmp_path / "one", arrays=arrays)]
        assert [path.read_bytes() for path in write(records[::-1], tmp_path / "other", arrays=arrays)] == first


def test_a_name_without_ending_gives_both_and_an_ending_the_one(tmp_path):
    records = seeds("ce", 80.0)
    assert figures.curves(records, tmp_path / "a") == [tmp_path / "a.png", tmp_path / "a.pdf"]
    assert figures.curves(records, tmp_path / "b.pdf") == [tmp_path / "b.pdf"]
    assert (tmp_path / "b.pdf").read_bytes().startswith(b"%PDF")
    with Image.open(tmp_path / "a.png") as image:
        assert image.width > 600
    assert not (tmp_path / "b.png").exists()
    with pytest.raises(InputError, match=re.escape("written as .png or .pdf")):
        figures.curves(records, tmp_path / "c.svg")


def test_users_own_settings_of_matplotlib_change_nothing(tmp_path):
    import matplotlib

    first = figures.curves(seeds("ce", 80.0), tmp_path / "a.png")[0].read_bytes()
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9, "axes.facecolor": "red"}):
        assert figures.curves(seeds("ce", 80.0), tmp_path / "b.png")[0].read_bytes() == first
        assert matplotlib.rcParams["font.size"] == 30


def test_figures_without_anything_to_draw_say_what_is_missing(tmp_path):
    failed = [make_record(status="failed", accuracy=None)]
    with pytest.raises(InputError, match="none of the records has a curve"):
        figures.curves(failed, tmp_path / "a")
    with pytest.raises(InputError, match="none of the records has a transition matrix"):
        figures.transition(failed, tmp_path / "a")
    with pytest.raises(DataMissingError, match="no run kept its outputs"):
        histogram_and_tsne.histogram(seeds("ce", 80.0), tmp_path / "a", arrays=lambda record: None)
    with pytest.raises(InputError, match="17 panels are too many"):
        histogram_and_tsne.histogram([make_record(method=f"m{i}") for i in range(17)], tmp_path / "a", arrays=arrays)
    assert list(tmp_path.iterdir()) == []


def test_outputs_are_found_beside_their_record(tmp_path):
    from safetensors.numpy import save_file

    from noiseproof.errors import DataError

    record = make_record()
    place = tmp_path / "runs" / record["run_id"]
    place.mkdir(parents=True)
    assert histogram_and_tsne.beside(tmp_path)(record) is None
    save_file(arrays(record), place / "outputs.safetensors")
    np.testing.assert_array_equal(
        histogram_and_tsne.beside(tmp_path)(record)["test_clean"], arrays(record)["test_clean"]
    )
    (place / "outputs.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(DataError, match="cannot read"):
        histogram_and_tsne.beside(tmp_path)(record)


# Every word can be read


LAYOUTS = {
    "one panel": lambda: seeds("ce", 80.0, 82.0),
    "four panels": lambda: some_records(noises=4),
    "fourteen methods": lambda: some_records(noises=1, methods=14),
    "long names": lambda: [*seeds("m" * 200, 80.0, 82.0), *seeds("nce + 4*agce(a=6, q=1.5)", 70.0)],
    "ten classes": lambda: seeds("ce", 80.0, classes=10),
    "a hundred classes": lambda: seeds("ce", 80.0, classes=100),
    "several data sets": lambda: [
        *seeds("ce", 80.0),
        *seeds("ce", 80.0, data="fashion-mnist", noise="human(labels=worst)"),
    ],
}


WHERE_IT_MATTERS = [
    *(("curves", layout) for layout in ("one panel", "four panels", "fourteen methods", "long names")),
    *(("transition", layout) for layout in ("four panels", "ten classes", "a hundred classes", "several data sets")),
    *(("histogram", layout) for layout in ("one panel", "fourteen methods", "long names")),
    ("loss", "one panel"),
]


@pytest.mark.parametrize(("name", "layout"), WHERE_IT_MATTERS)
def test_no_text_leaves_the_page_is_tiny_or_lies_on_another(name, layout):
    records = LAYOUTS[layout]()
    with figure_style.looks():
        figure = DRAWN[name](records)
        found = words(figure)
        boxes = [(text.get_text(), text.get_window_extent()) for text in found]
    assert min(text.get_fontsize() for text in found) >= 5
    page = figure.bbox
    for text, box in boxes:
        assert min(box.x0 - page.x0, box.y0 - page.y0, page.x1 - box.x1, page.y1 - box.y1) > -1, text
    for (text, box), (other_text, other) in itertools.combinations(boxes, 2):
        wide = min(box.x1, other.x1) - max(box.x0, other.x0)
        high = min(box.y1, other.y1) - max(box.y0, other.y0)
        assert not (wide > 1 and high > 1), (text, other_text)


@pytest.mark.parametrize("name", ["curves", "transition", "histogram"])
def test_hostile_names_are_drawn_as_they_are(name, tmp_path):
    records = [make_record(method=text, noise=text) for text in HOSTILE[: count(6, len(HOSTILE))]]
    for record in records:
        with figure_style.looks():
            figure_style.save(DRAWN[name]([record]), tmp_path / "figure.png")


def test_glyphs_that_the_font_lacks_raise_no_warning(tmp_path):
    figures.curves(seeds("\u4e2d\u6587 \U0001f600", 80.0), tmp_path / "a.png")


@pytest.mark.parametrize("count", [2, 10, 20])
def test_numbers_of_classes_in_a_tsne_do_not_overlap(count):
    crowded = np.random.default_rng(count).normal(0.5, 0.02, (count, 2))
    crowded[1] = crowded[0]
    moved = histogram_and_tsne._apart(crowded, gap=0.09)
    distance = np.hypot(*(moved[:, None] - moved).T)[~np.eye(count, dtype=bool)]
    assert distance.min() > 0.07  # the numbers are 0.06 high
    far = np.array([[0.0, 0.0], [1.0, 1.0]])
    np.testing.assert_allclose(histogram_and_tsne._apart(far), far, atol=1e-5)
