"""Other ways to find wrong labels, end to end as their users would have them: scores, flags and rate."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from cleanlab.count import estimate_joint
from cleanlab.filter import find_label_issues
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import noiseproof

MOST_CLASSES_FOR_BOOSTING = 12


@dataclass(frozen=True)
class Answer:
    """What one way says: suspicion of each sample (larger is worse), and where it has them flags, rate and CPU."""

    suspicion: np.ndarray
    flags: np.ndarray | None = None
    rate: float | None = None
    interval: tuple[float, float] | None = None
    probability: np.ndarray | None = None
    cpu_seconds: float = 0.0


class NoAnswer(Exception):
    """A way failed on this data."""


def answers(way: str, inputs: Any, given: np.ndarray) -> dict[str, Answer]:
    """The answers of one of `WAYS`, by name: of a model one for each of two rankings; none where it does not apply.

    Args:
        way: its name.
        inputs: vectors (N, D), or a list of texts, which become TF-IDF, and for all but linear models and forests 100
            SVD directions of it.
        given: labels (N,).

    Raises:
        NoAnswer: the way failed on this data.
    """
    if way == "ours":
        return {way: timed(ours, inputs, given)}
    is_text = isinstance(inputs, list)
    if way in MODELS:
        if way == "boosting" and int(given.max()) >= MOST_CLASSES_FOR_BOOSTING:
            return {}
        return with_cleanlab(way, (TEXT_MODELS if is_text else MODELS)[way](), inputs, given)
    return {way: timed(lambda: OTHERS[way](directions().fit_transform(inputs) if is_text else inputs, given))}


def directions() -> Pipeline:
    return make_pipeline(TfidfVectorizer(), TruncatedSVD(100, random_state=0))


def timed(way: Callable[..., Answer], *arguments: Any) -> Answer:
    started = time.process_time()
    found = way(*arguments)
    return Answer(**{**vars(found), "cpu_seconds": time.process_time() - started})


def ours(inputs: Any, given: np.ndarray) -> Answer:
    found = noiseproof.diagnose(inputs, given)
    suspicion = np.empty(len(given))
    suspicion[found.ranking] = -np.arange(len(given))
    return Answer(suspicion, found.is_issue, found.rate, found.rate_interval, found.scores)


def with_cleanlab(name: str, model: object, inputs: Any, given: np.ndarray) -> dict[str, Answer]:
    """Five-fold probabilities of a model, ranked by self-confidence and by normalised margin; cleanlab's filter."""
    started = time.process_time()
    given = np.unique(given, return_inverse=True)[1]  # a class without samples has no column in p
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    p = cross_val_predict(model, inputs, given, cv=folds, method="predict_proba")
    flags = find_label_issues(given, p, n_jobs=1)
    rate = float(1 - estimate_joint(given, p).trace())
    cpu = time.process_time() - started
    rows = np.arange(len(given))
    own, others = p[rows, given], p.copy()
    others[rows, given] = -1
    return {
        f"{name}, self-confidence": Answer(-own, flags, rate, None, 1 - own, cpu),
        f"{name}, margin": Answer(others.max(1) - own, flags, rate, None, None, cpu),
    }


def datalab(vectors: np.ndarray, given: np.ndarray) -> Answer:
    from cleanlab import Datalab

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lab = Datalab({"y": given}, label_name="y", verbosity=0)
        scaled = StandardScaler().fit_transform(vectors)
        lab.find_issues(features=scaled, issue_types={"label": {}})
        try:
            table = lab.get_issues("label")
        except ValueError as error:  # its neighbours' probabilities can exceed 1 by rounding, which it refuses itself
            raise NoAnswer from error
    return Answer(-table["label_score"].to_numpy(), table["is_label_issue"].to_numpy())


def neighbours(vectors: np.ndarray, given: np.ndarray) -> Answer:
    """Share of the 15 nearest others that are given another label."""
    scaled = StandardScaler().fit_transform(vectors)
    near = NearestNeighbors(n_neighbors=min(16, len(given))).fit(scaled).kneighbors(scaled, return_distance=False)
    differ = (given[near[:, 1:]] != given[:, None]).mean(1)
    return Answer(differ, differ > 0.5, float((differ > 0.5).mean()))


def area_under_margin(vectors: np.ndarray, given: np.ndarray) -> Answer:
    """Mean margin of the given label over the epochs of a network that learns it (Pleiss et al., NeurIPS 2020)."""
    x = torch.tensor(StandardScaler().fit_transform(vectors), dtype=torch.float32)
    y = torch.tensor(given)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = torch.nn.Sequential(
            torch.nn.Linear(x.shape[1], 128), torch.nn.ReLU(), torch.nn.Linear(128, int(y.max()) + 1)
        )
        optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
        margins = torch.zeros(len(y))
        for _ in range(40):
            for batch in torch.randperm(len(y)).split(64):
                optimiser.zero_grad()
                torch.nn.functional.cross_entropy(net(x[batch]), y[batch]).backward()
                optimiser.step()
            with torch.no_grad():
                logits = net(x)
            own = logits.gather(1, y[:, None])[:, 0]
            margins += own - logits.scatter(1, y[:, None], -torch.inf).max(1).values
    return Answer(-margins.numpy())


MODELS: dict[str, Callable[[], object]] = {
    "logistic regression": lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
    "random forest": lambda: RandomForestClassifier(100, min_samples_leaf=3, random_state=0),
    "boosting": lambda: HistGradientBoostingClassifier(max_iter=60, random_state=0),
}
TEXT_MODELS: dict[str, Callable[[], object]] = {
    "logistic regression": lambda: make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1000)),
    "random forest": lambda: make_pipeline(
        TfidfVectorizer(), RandomForestClassifier(100, min_samples_leaf=3, random_state=0)
    ),
    "boosting": lambda: make_pipeline(directions(), HistGradientBoostingClassifier(max_iter=60, random_state=0)),
}
OTHERS = {"Datalab": datalab, "neighbours": neighbours, "AUM": area_under_margin}
WAYS = ["ours", *MODELS, *OTHERS]
