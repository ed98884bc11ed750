"""The report: one page that holds everything, asks for nothing, and lets no name be more than a name."""

from __future__ import annotations

import base64
import functools
import hashlib
import html.parser
import http.server
import io
import random
import re
import threading

import numpy as np
import pytest
from PIL import Image

from conftest import count
from noiseproof.errors import DataError, InputError
from noiseproof.reporting import report
from support.browser import Browser
from support.made_records import HOSTILE, arrays, make_record


def some_records() -> list[dict[str, object]]:
    draw = random.Random(0)
    made = [
        make_record(
            method=method, noise=noise, seed=seed, accuracy=draw.gauss(mean, 0.5), loss=loss, epochs=20, classes=10
        )
        for method, loss, mean in [("ce", "ce", 70), ("gce", "gce(q=0.7)", 82), ("jal-ce", "nce + amse(a=30)", 88)]
        for noise in ("symmetric(rate=0.2)", "symmetric(rate=0.4)")
        for seed in (1, 2, 3)
    ]
    made += [make_record(method="sce", status="diverged", accuracy=10.0, seed=1, loss="sce", epochs=20)]
    made += [
        make_record(
            method="ce", seed=4, status="failed", accuracy=None, epochs=20, error="RuntimeError: out of <memory>"
        )
    ]
    return made


class Page(html.parser.HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.inside = ""
        self.inline: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside in ("script", "style"):
            self.inline[self.inside] = data
        else:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@functools.cache
def the_page() -> Page:
    """The report on `some_records`; drawing its figures takes a while."""
    return Page(report.page(some_records()))


# What it says


def test_the_report_says_what_was_run_how_long_and_who_leads():
    page = the_page()
    said = " ".join(page.text.split())
    assert "Learning with noisy labels: digits" in said
    assert "20 runs: 4 methods, 2 noise settings, 4 seeds; 4 min 10 s of computing." in said
    assert re.search(
        r"digits, symmetric\(0\.4\): jal-ce 8\d\.\d\d ± \d\.\d\d, \d\.\d\d points above gce, more than", said
    )
    for what in (
        "nce + amse(a=30)",
        "2.13.0",
        "realised rate 0.4000, convention exact",
        "fingerprint ffffffffffffffff",
    ):
        assert what in said


def test_what_failed_is_said_with_its_error_and_how_to_go_on():
    page = Page(
        report.page(
            some_records(),
            damaged=["runs/abc/record.json: its content does not match"],
            command="noiseproof sweep g.toml --out r",
        )
    )
    assert "3 runs gave no number" in page.text
    assert "RuntimeError: out of <memory>" in page.text
    assert "digits, symmetric(0.4), sce, seed 1" in page.text
    assert "runs/abc/record.json: its content does not match" in page.text
    assert "noiseproof sweep g.toml --out r" in page.text
    assert "type the command that filled the folder again" in the_page().text


def test_a_report_without_failures_has_no_such_section():
    page = Page(report.page([make_record()]))
    assert "What failed" not in page.text
    assert "gave no number" not in page.text


def test_our_numbers_stand_beside_the_papers_where_it_has_some():
    record = make_record(data="cifar10", recipe="cifar10", noise="symmetric(rate=0.4)", method="ce", accuracy=58.0)
    assert "Table 3, CIFAR-10" in Page(report.page([record])).text
    assert "Beside the paper" not in Page(report.page([make_record()])).text


def test_what_the_runs_kept_is_drawn_for_every_noise_that_has_some():
    head, records = "How sure the models are of their training labels", some_records()
    kept = [record for record in records if record["run"]["seed"] == 1]
    page = Page(report.page(records, arrays=lambda record: arrays(record) if record in kept else None))
    assert head in page.text
    places = {(record["run"]["data"], record["run"]["noise"]) for record in kept if record["status"] == "done"}
    assert len(page.all("img")) == len(the_page().all("img")) + len(places)
    assert head not in the_page().text
    assert head not in Page(report.page(records, arrays=lambda record: None)).text


def test_arrays_that_cannot_be_read_are_named_and_hide_nothing_else():
    def broken(record: object) -> None:
        raise DataError("cannot read runs/1/outputs.safetensors: cut off")

    page = Page(report.page(some_records(), arrays=broken))
    assert "cannot read runs/1/outputs.safetensors: cut off" in page.text
    assert len(page.all("img")) == len(the_page().all("img"))


def test_what_was_learned_by_heart_is_told_with_the_advice():
    records = [make_record(seed=seed) for seed in (1, 2)]
    for record, share in zip(records, (0.5, 0.75), strict=True):
        record["health"] = {"clean_fitted": 1.0, "flipped_memorised": share, "advice": "memorises: use a robust loss"}
    page = Page(report.page(records))
    assert "wrong labels memorised" in page.text
    assert "62.5" in page.text
    assert page.text.count("ce, symmetric(0.4): memorises: use a robust loss") == 1
    assert "How the training set was fitted" not in the_page().text


def test_no_records_are_refused_with_what_makes_some():
    with pytest.raises(
        InputError, match="no record to report on; `noiseproof compare` and `noiseproof sweep` make them"
    ):
        report.page([])


def test_the_same_records_give_the_same_bytes_in_any_order(tmp_path):
    records = some_records()
    first = report.write(records, tmp_path / "a.html").read_bytes()
    for seed in range(count(1, 10)):
        random.Random(seed).shuffle(records)
        assert report.write(records, tmp_path / "a.html").read_bytes() == first


# That it holds everything and asks for nothing


def test_the_page_refers_to_nothing_outside_itself():
    page = the_page()
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster", "background"):
            address = attributes.get(name)
            assert address is None or address.startswith(("data:", "#")), (tag, name, address)
    assert not re.search(r"url\(|@import", page.inline["style"])
    assert not {tag for tag, _ in page.elements} & {"iframe", "object", "embed", "form", "base"}


def test_the_policy_allows_exactly_the_script_and_the_styles_that_are_there():
    page = the_page()
    policy = next(one["content"] for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    for directive, tag in (("style-src", "style"), ("script-src", "script")):
        digest = base64.b64encode(hashlib.sha256(page.inline[tag].encode()).digest()).decode()
        assert rules[directive] == f"'sha256-{digest}'"
        assert len(page.all(tag)) == 1
    assert not [
        name for _, attributes in page.elements for name in attributes if name.startswith("on") or name == "style"
    ]


def test_pictures_lie_in_the_page_and_say_what_they_show():
    page = the_page()
    pictures = page.all("img")
    assert [one["alt"] for one in pictures] == ["digits, symmetric(0.2)", "digits, symmetric(0.4)"] * 2
    for one in pictures:
        source = one["src"]
        assert source is not None
        with Image.open(io.BytesIO(base64.b64decode(source.removeprefix("data:image/png;base64,")))) as image:
            assert image.width > 500


# That a name is a name


def everywhere(name: str, number: int = 0) -> dict[str, object]:
    """A record that holds the name wherever a record holds text."""
    record = make_record(
        data=name, noise=name, method=name, loss=name, recipe=name, precision=name, mode=name, convention=name,
        selection=name, device=name, error=name, notes=(name,), fingerprint=name, seed=number, head=name,
        status="failed" if number % 2 else "done",
    )  # fmt: skip
    record["versions"] = {name: name}
    if number % 5:
        record["result"]["curves"], record["noise"]["transition"] = {}, []
    return record


@pytest.mark.parametrize(
    "name", [name for name in HOSTILE if name], ids=lambda name: str(HOSTILE.index(name))
)  # an empty name leaves places empty
def test_a_hostile_name_adds_no_element_and_no_attribute(name):
    plain, made = (Page(report.page([everywhere(one, number) for number in (1, 2)])) for one in ("plain", name))
    assert [tag for tag, _ in made.elements] == [tag for tag, _ in plain.elements]
    assert [set(attributes) for _, attributes in made.elements] == [set(attributes) for _, attributes in plain.elements]
    assert "49" not in made.text or "7*7" not in name
    unseen = {character for character in made.text if not character.isprintable()} - {"\n", "\t"}
    assert unseen == set()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    started = Browser(tmp_path_factory.mktemp("chromium"))
    yield started
    started.close()


@pytest.fixture
def canary():
    """A server that every request to is a failure of the page; what was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1], asked
    server.shutdown()
    server.server_close()


ATTACKS = [
    "<script>TALK</script>",
    "</script><script>TALK</script>",
    "</style><script>TALK</script>",
    "</title><script>TALK</script>",
    "--><script>TALK</script>",
    "<img src=HOME/a onerror=TALK>",
    "\"><img src='HOME/b' onload='TALK'>",
    "' onmouseover='TALK' autofocus onfocus='TALK",
    "<svg/onload=TALK>",
    "<iframe src=HOME/c></iframe>",
    "<link rel=stylesheet href=HOME/d>",
    "<style>@import 'HOME/e';</style>",
    "<base href=HOME/>",
    "<meta http-equiv=refresh content='0;url=HOME/f'>",
    "<object data=HOME/g></object>",
    "{{ ''.__class__.__mro__ }}{{7*7}}",
    "{% for x in () %}{% endfor %}",
    "<details open ontoggle=TALK>",
    "<a href='javascript:TALK'>x</a>",
    "&lt;script&gt;TALK&lt;/script&gt;",
    "\u202e<script>TALK</script>",
    "<scr\x00ipt>TALK</script>",
    "<math><mtext></p><img src=HOME/h onerror=TALK>",
    "+ADw-script+AD4-TALK+ADw-/script+AD4-",
    "<template><script>TALK</script></template>",
    "<link rel=preconnect href=HOME><link rel=prefetch href=HOME/i>",
    "<video poster=HOME/j><source onerror=TALK>",
    "<body onload=TALK>",
    "<form action=HOME/k><input autofocus onfocus=TALK>",
    "x" * 10_000 + "<script>TALK</script>",
]


@pytest.mark.browser
def test_no_name_runs_a_script_or_asks_the_network_in_a_real_browser(browser, canary, tmp_path, tally):
    port, asked = canary
    draw = random.Random(1)
    wanted = count(30, 300)
    names = [
        name.replace("HOME", f"http://127.0.0.1:{port}").replace("TALK", f"document.title=alert({index})")
        for index, name in enumerate((ATTACKS * -(-wanted // len(ATTACKS)))[:wanted])
    ]
    names = [name if index < len(ATTACKS) else mixed(name, names, draw) for index, name in enumerate(names)]
    for start in range(0, len(names), 30):
        batch = names[start : start + 30]
        page = tmp_path / f"{start}.html"
        report.write(
            [everywhere(name, number) for number, name in enumerate(batch)], page, damaged=batch, command=batch[0]
        )
        browser.open(page)
        assert browser.evaluate("document.title").startswith("Learning with noisy labels: ")
        assert browser.evaluate("document.scripts.length") == 1
        assert browser.evaluate("document.images.length") > 0
        assert browser.reported("Page.javascriptDialogOpening", "Runtime.exceptionThrown", "Audits.issueAdded") == []
        assert browser.reported("Runtime.consoleAPICalled", "Log.entryAdded") == []
        requests = [one["request"]["url"] for one in browser.reported("Network.requestWillBeSent")]
        assert requests[0] == page.as_uri()
        assert [url for url in requests[1:] if not url.startswith("data:")] == []
    assert asked == []
    tally("hostile names opened in a real browser", len(names))


def mixed(name: str, others: list[str], draw: random.Random) -> str:
    """Pieces of two attacks, cut anywhere: what nobody thought of."""
    other = draw.choice(others)
    return name[: draw.randrange(len(name) + 1)] + other[draw.randrange(len(other) + 1) :]


@pytest.mark.browser
def test_the_watch_would_have_seen_it(browser, canary, tmp_path):
    """The same page with its escaping and its policy undone speaks up in every way the test above listens for."""
    port, asked = canary
    text = report.page([make_record(method="VICTIM")])
    bad = text.replace("VICTIM", f"<img src=http://127.0.0.1:{port}/a><script>console.log(1); throw Error()</script>")
    (tmp_path / "kept.html").write_text(bad)
    browser.open(tmp_path / "kept.html")
    assert {one["issue"]["code"] for one in browser.reported("Audits.issueAdded")} == {"ContentSecurityPolicyIssue"}
    assert browser.reported("Log.entryAdded")
    assert asked == []  # the policy holds where escaping would not
    (tmp_path / "open.html").write_text(re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", bad))
    browser.open(tmp_path / "open.html")
    assert browser.reported("Runtime.consoleAPICalled")
    assert browser.reported("Runtime.exceptionThrown")
    assert asked != []


@pytest.mark.browser
def test_a_click_on_a_head_sorts_and_missing_numbers_stay_below(browser, tmp_path):
    browser.resize(1280, 900)
    browser.open(report.write(some_records(), tmp_path / "page.html"))

    def order() -> list[str]:
        return browser.evaluate(
            "[...document.querySelector('table.sortable').tBodies[0].rows].map(r => r.cells[0].textContent)"
        )

    assert order() == ["ce", "gce", "sce", "jal-ce"]
    browser.click("table.sortable th:nth-child(3) button")
    assert order() == ["jal-ce", "gce", "ce", "sce"]
    assert browser.evaluate("document.querySelector('th[aria-sort]').getAttribute('aria-sort')") == "descending"
    browser.click("table.sortable th:nth-child(3) button")
    assert order() == ["ce", "gce", "jal-ce", "sce"]
    browser.click("table.sortable th:nth-child(1) button")
    assert order() == ["ce", "gce", "jal-ce", "sce"]
    assert browser.reported("Runtime.exceptionThrown", "Log.entryAdded") == []


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_its_window(browser, tmp_path, width):
    records = [*some_records(), everywhere("x" * 10_000), everywhere("no spaces " * 50, 2)]
    browser.resize(width, 900)
    browser.open(report.write(records, tmp_path / "page.html"))
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    inside = (
        "[...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll table') && "
        f"e.getBoundingClientRect().right > {width} + 1).map(e => e.tagName)"
    )
    assert browser.evaluate(inside) == []
    with Image.open(io.BytesIO(browser.picture())) as picture:
        assert picture.width == width
        shades = np.asarray(picture.convert("L"))
    assert 0.75 < (shades > 250).mean() < 0.999  # dark on light, and not empty
