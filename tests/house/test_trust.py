"""The page of promises holds the numbers that were kept, and no others."""

from __future__ import annotations

import json
import runpy

from conftest import ROOT, size

TRUST = runpy.run_path(str(ROOT / "scripts" / "trust"))
PAGE = ROOT / "docs" / "trust.md"


def test_the_page_is_made_of_what_was_kept():
    assert TRUST["page"](PAGE.read_text()) == PAGE.read_text(), "scripts/trust writes it anew"


def test_what_was_kept_is_a_count_with_its_size_and_day():
    kept = json.loads((ROOT / "benchmarks" / "campaign.json").read_text())
    for what, found in kept.items():
        assert found["count"] > 0, what
        assert "./test" in found["by"], what
        assert f"| {what} | {found['count']:,} | `{found['by']}` | {found['on']} |" in PAGE.read_text()


def test_a_count_says_which_size_it_comes_from(monkeypatch):
    for name in ("CI", "NOISEPROOF_CAMPAIGN", "NOISEPROOF_SHARE"):
        monkeypatch.delenv(name, raising=False)
    assert size() == "./test"
    monkeypatch.setenv("CI", "true")
    assert size() == "CI=true ./test"
    monkeypatch.setenv("NOISEPROOF_SHARE", "0.2")
    assert size() == "20% of CI=true ./test"
    monkeypatch.setenv("NOISEPROOF_CAMPAIGN", "3")
    assert size() == "./test --campaign 3"
