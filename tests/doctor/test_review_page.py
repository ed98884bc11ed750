"""The review page in a real browser: by keyboard alone, closed and opened again, two people's decisions merged."""

from __future__ import annotations

import numpy as np
import pytest

import noiseproof
from noiseproof.doctor.cleaning import merge, read_decisions
from noiseproof.doctor.review import review_page, review_progress
from support.browser import Browser

NAMES = ["apple", "pear", "<b>fig</b>"]


@pytest.fixture(scope="module")
def diagnosis():
    """Blobs of three classes, 60 rows, of which 12 have another label."""
    rng = np.random.default_rng(3)
    truth = np.repeat(np.arange(3), 20)
    X = np.eye(3)[truth] * 8 + rng.normal(size=(60, 3))
    given = truth.copy()
    wrong = rng.choice(60, 12, replace=False)
    given[wrong] = (given[wrong] + 1 + rng.integers(0, 2, 12)) % 3
    return noiseproof.diagnose(X, np.array(NAMES)[given])


@pytest.fixture(scope="module")
def page(diagnosis, tmp_path_factory):
    path = tmp_path_factory.mktemp("review") / "review.html"
    path.write_text(review_page(diagnosis.data, diagnosis.split, diagnosis.issues, diagnosis.origin))
    return path


@pytest.fixture
def browser(tmp_path):
    found = Browser(tmp_path / "profile")
    yield found
    found.close()


def decided(browser):
    return browser.evaluate("decisions()")


def test_the_keyboard_alone_decides_undoes_and_finds_classes(browser, page, diagnosis):
    browser.open(page)
    suspects = browser.evaluate("content.suspects.length")
    assert suspects == int(diagnosis.is_issue.sum()) >= 8
    browser.press("Enter", "k", "d", "3", " ", "/")
    for letter in "<b>":
        browser.press(letter)
    browser.press("Enter")
    lines = decided(browser).splitlines()
    assert lines[0].endswith("given,decision,label,weight,by,when")
    first = browser.evaluate("content.classes[content.suspects[0].likely]")
    assert f",relabel,{first}," in lines[1] or f',relabel,"{first}",' in lines[1]
    assert ",keep," in lines[2]
    assert ",drop," in lines[3]
    given = browser.evaluate("content.suspects[3].given")
    assert (",keep," if given == 2 else ",relabel,pear,") in lines[4]
    assert len(lines) == 6  # the fifth was skipped
    browser.press("Backspace", "Backspace")
    assert len(decided(browser).splitlines()) == 4
    assert browser.evaluate("current") == 3
    assert browser.reported("Runtime.exceptionThrown", "Audits.issueAdded", "Log.entryAdded") == []


def test_every_stroke_is_kept_when_the_page_is_closed(tmp_path, page):
    profile = tmp_path / "profile"
    first = Browser(profile)
    first.open(page)
    first.press("Enter", "d")
    before = decided(first)
    first.evaluate("new Promise(resolve => setTimeout(resolve, 300))")
    first.open(page)
    assert decided(first) == before
    assert first.evaluate("current") == 2
    first.close()


def test_decisions_of_two_people_merge_in_the_page_and_on_the_command_line(browser, page, tmp_path):
    browser.open(page)
    browser.evaluate("at('person').value = 'ann'; at('person').oninput(); at('person').blur()")
    browser.press("Enter", "d")
    ann = tmp_path / "ann.csv"
    ann.write_text(decided(browser))
    theirs = ann.read_text().replace(",drop,,", ",keep,,").replace(",ann,", ",bob,")
    head, _one, two = theirs.splitlines()
    third = browser.evaluate("content.suspects[2].key")
    bob = tmp_path / "bob.csv"
    bob.write_text(
        "\n".join([head, two, ",".join([*third, "pear", "drop", "", "", "bob", "2026-01-01T00:00:00"])]) + "\n"
    )
    assert browser.evaluate(f"merge({bob.read_text()!r})") == 2
    assert browser.evaluate("kept.decisions[2].by") == "bob"
    browser.press("ArrowUp")
    assert "differs from bob: keep" in browser.evaluate("at('decision').textContent")
    agreed, conflicts = merge([read_decisions(ann), read_decisions(bob)])
    assert [decision.by for decision in agreed] == ["ann", "bob"]
    assert len(conflicts) == 1
    assert "ann: drop; bob: keep" in str(conflicts[0])


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_its_window(browser, page, width, scheme):
    browser.prefer(scheme)
    browser.resize(width, 800)
    browser.open(page)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    ink, paper = browser.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    light = sum(map(int, paper.removeprefix("rgb(").removesuffix(")").split(","))) > 380
    assert light == (scheme == "light")
    assert ink != paper


def test_names_from_files_stay_text(browser, page):
    browser.open(page)
    assert browser.evaluate("document.querySelectorAll('b').length") == 0


def test_a_review_corrects_the_rate_and_tells_the_yield():
    """Ten of a thousand are surely wrong; a reviewer finds half of the first hundred right."""
    suspicion = np.concatenate([np.full(100, 0.8), np.full(900, 0.1)])
    progress = review_progress(suspicion, [(i, i % 2 == 0) for i in range(100)])
    assert progress.precision == 0.5
    factor = 51 / 81
    assert progress.rate == pytest.approx((50 + 900 * 0.1 * factor) / 1000)
    assert progress.yields[0] == pytest.approx(100 * 0.1 * factor)


def test_pages_speak_of_rows_and_columns_by_the_users_names(tmp_path):
    rng = np.random.default_rng(1)
    rows = [f"{i % 2 * 4 + rng.normal():.3f},{rng.normal():.3f},{'ab'[i % 2 ^ (i < 4)]}" for i in range(60)]
    (tmp_path / "d.csv").write_text("\n".join(["weight,height,label", *rows]))
    found = noiseproof.diagnose(str(tmp_path / "d.csv"))
    found.write(tmp_path / "out")
    review, diagnosis = ((tmp_path / "out" / name).read_text() for name in ("review.html", "diagnosis.html"))
    assert '"columns": [["weight", ' in review
    assert "d.csv, row 2<br>given" in diagnosis
    low, high = (f"{100 * end:.0f}" for end in found.rate_interval)
    assert f"({low} to {high} %;" in diagnosis
