"""How well suspect labels are found: our doctor beside cross-entropy with cleanlab's ranking, where the truth is known.

    python benchmarks/diagnose.py [--data digits,fashion-mnist,cifar10] [--data-root DIR] [--quick]

Every sample is judged by a network trained on the other folds; all methods share folds, network, schedule and seed.
`ours` is the doctor's own choice of method with its own ranking. cleanlab ranks the same probabilities by
self-confidence (its default) and by normalized margin. Truth is used to score, never to train or rank. Rows are
added to benchmarks/diagnose.json as they are finished.

All networks are the doctor's own small MLPs, so that a CPU is enough; pictures come to them as its patch features. The
labels of CIFAR-10N are people's.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cleanlab.count import estimate_joint
from cleanlab.rank import get_label_quality_scores
from noiseproof.doctor.crossfit import cross_fit
from sklearn.metrics import average_precision_score, roc_auc_score

from noiseproof import data, noise, recipes, suggest
from noiseproof.data import Split
from noiseproof.doctor.issues import issues_from_log
from noiseproof.features.patches import features

OUT = Path(__file__).with_suffix(".json")
SETTINGS: dict[str, tuple[list[str], int | None, int, str, dict[str, Any]]] = {
    # noises, samples, folds, recipe, overrides
    "digits": (
        ["symmetric(0.2)", "symmetric(0.4)", "symmetric(0.6)", "asymmetric(0.4)", "pairflip(0.3)", "instance(0.3)"],
        None,
        5,
        "digits",
        {},
    ),
    "fashion-mnist": (
        ["symmetric(0.2)", "symmetric(0.4)", "symmetric(0.6)", "pairflip(0.3)", "instance(0.3)"],
        10_000,
        3,
        "digits",
        {"train.epochs": 20, "train.batch_size": 128},
    ),
    "cifar10": (
        ["human(aggre)", "human(rand1)", "human(worst)"],
        10_000,
        3,
        "digits",
        {"train.epochs": 20, "train.batch_size": 128},
    ),
}
METHODS = {"ours": None, "cross-entropy": "ce"}  # None: what the doctor itself takes


@cache
def patch_features(name: str, count: int, root: Path | None) -> torch.Tensor:
    """What the doctor makes of a data set's pictures; the labels do not matter."""
    found = data.load(name, root=root).train
    inputs = features(found.take(np.random.default_rng(0).permutation(len(found))[:count])).inputs
    assert isinstance(inputs, torch.Tensor)
    return inputs


def spoiled(name: str, text: str, count: int | None, root: Path | None) -> Split:
    found = data.load(name, root=root)
    clean = found.train.given if found.train.clean is None else found.train.clean
    noisy = noise.corrupt(
        clean,
        text,
        num_classes=found.num_classes,
        seed=1,
        data=name,
        inputs=found.train.inputs,
        published=lambda: data.published_labels(name, root=root),
    )
    split = replace(found.train, given=torch.as_tensor(noisy.labels), clean=clean)
    if count is None:
        return split
    split = split.take(np.random.default_rng(0).permutation(len(split))[:count])
    return replace(split, inputs=patch_features(name, count, root))


def scored(score: np.ndarray, wrong: np.ndarray) -> dict[str, float]:
    """AUROC and average precision of a ranking of suspects."""
    return {
        "auroc": round(float(roc_auc_score(wrong, score)), 4),
        "average_precision": round(float(average_precision_score(wrong, score)), 4),
    }


def judged(split: Split, log_p: np.ndarray) -> dict[str, Any]:
    given, clean = split.given.numpy(), split.clean.numpy()
    wrong = given != clean
    classes = len(split.classes)
    pairs = np.zeros((classes, classes))
    np.add.at(pairs, (clean, given), 1)
    truth = pairs / pairs.sum(1, keepdims=True)
    found = issues_from_log(given, log_p)
    p = np.exp(log_p)
    p /= p.sum(1, keepdims=True)
    joint = estimate_joint(given, p)
    return {
        "accuracy_on_clean": round(100 * float((log_p.argmax(1) == clean).mean()), 2),
        "our_ranking": scored(-np.argsort(found.ranking), wrong),
        "cleanlab_self_confidence": scored(-get_label_quality_scores(given, p), wrong),
        "cleanlab_normalized_margin": scored(-get_label_quality_scores(given, p, method="normalized_margin"), wrong),
        "rate": {
            "true": round(float(wrong.mean()), 4),
            "likelihood": round(found.rate, 4),
            "confident_joint": round(found.confident_rate, 4),
            "cleanlab": round(float(1 - joint.trace()), 4),
        },
        "transition_error": {  # mean total variation distance of a row
            "likelihood": round(float(np.abs(found.transition - truth).sum(1).mean() / 2), 4),
            "confident_joint": round(float(np.abs(found.confident_transition - truth).sum(1).mean() / 2), 4),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="digits,fashion-mnist,cifar10")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--quick", action="store_true", help="one setting of each, few epochs; writes nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = json.loads(OUT.read_text())["rows"] if OUT.exists() and not arguments.quick else []
    done = {(row["data"], row["noise"], row["method"]) for row in rows}
    for name in arguments.data.split(","):
        noises, count, folds, recipe, overrides = SETTINGS[name]
        if arguments.quick:
            noises, overrides = noises[:1], {**overrides, "train.epochs": 2}
        for text in noises:
            split = spoiled(name, text, count, arguments.data_root)
            protocol = recipes.load(recipe, overrides)
            for label, method in METHODS.items():
                if (name, text, label) in done:
                    continue
                chosen = method or suggest(len(split.classes), recipe=protocol).method
                started = time.process_time()
                log_p = cross_fit(split, chosen, protocol, folds=folds, seed=1, device="cpu")
                row = {
                    "data": name,
                    "noise": text,
                    "samples": len(split),
                    "folds": folds,
                    "recipe": recipe,
                    "overrides": overrides,
                    "method": label,
                    "loss": str(protocol.method(chosen).loss),
                    "cpu_seconds": round(time.process_time() - started, 1),
                    **judged(split, log_p),
                }
                rows.append(row)
                print(json.dumps(row), flush=True)
                if not arguments.quick:
                    OUT.write_text(json.dumps({"rows": rows, "table": table(rows)}, indent=1) + "\n")
    print(json.dumps(table(rows), indent=1))


def table(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each setting our ranking of our probabilities beside cleanlab's of cross-entropy's."""
    lines = []
    by = {(row["data"], row["noise"], row["method"]): row for row in rows}
    for name, text in dict.fromkeys((row["data"], row["noise"]) for row in rows):
        ours, plain = by.get((name, text, "ours")), by.get((name, text, "cross-entropy"))
        if ours is None or plain is None:
            continue
        theirs = [plain["cleanlab_self_confidence"], plain["cleanlab_normalized_margin"]]
        lines.append(
            {
                "data": name,
                "noise": text,
                "auroc": ours["our_ranking"]["auroc"],
                "auroc_cross_entropy_cleanlab": max(one["auroc"] for one in theirs),
                "average_precision": ours["our_ranking"]["average_precision"],
                "average_precision_cross_entropy_cleanlab": max(one["average_precision"] for one in theirs),
                "rate": ours["rate"]["true"],
                "rate_found": ours["rate"]["likelihood"],
                "rate_cross_entropy_cleanlab": plain["rate"]["cleanlab"],
                "ours_better": all(
                    ours["our_ranking"][key] > max(one[key] for one in theirs) for key in ("auroc", "average_precision")
                ),
            }
        )
    return lines


if __name__ == "__main__":
    main()
