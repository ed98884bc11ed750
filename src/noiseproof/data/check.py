"""Check of a data set on the disk: everything that is missing or odd, not only the first thing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from noiseproof.data.dataset import Data, Split, Texts
from noiseproof.data.dataset_registry import DATASETS, default_root
from noiseproof.data.load import load, named
from noiseproof.data.named.noisy_cifar import RATES, is_official_noise, is_official_order, published_labels
from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.reading_account import CANNOT, Reading
from noiseproof.errors import DataError
from noiseproof.labels import CIFAR_N

__all__ = ["Report", "check", "scan"]

_LABEL_FILES = {f"{name}{ending}": name for name in CIFAR_N for ending in ("n", "-instance")}


@dataclass
class Report:
    """The findings about one data set: usable unless something is `wrong`."""

    name: str
    root: str
    right: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    reading: dict[str, Any] | None = None

    @property
    def usable(self) -> bool:
        """True if it can be trained on as it is; pictures that are left out do not hinder."""
        return not self.wrong


def check(
    name: str,
    root: str | os.PathLike[str] | None = None,
    *,
    images: bool = True,
    progress: Callable[[int, int], object] | None = None,
    options: ReadingOptions | None = None,
) -> Report:
    """Look at a data set, at a set of published labels (`cifar10n`, `cifar10-instance`, ...) or at the user's own data.

    Args:
        name: as for `load`, or one of the label sets.
        root: as for `load`.
        images: decode every image file, not only look whether it is there.
        progress: called with how many image files of how many are decoded.
        options: of the reading of own data.

    Raises:
        UnknownNameError: neither a name nor a path that exists.
    """
    folder = Path(root) if root is not None else default_root()
    report = Report(name, str(folder))
    if name in _LABEL_FILES:
        _check_labels(name, folder, report)
        return report
    try:
        data = load(name, root=root, **({} if options is None else options.given()))
    except DataError as error:
        report.wrong += _all_that_is_wrong(name, folder) or [str(error)]
        return report
    splits = {"train": data.train, "test": data.test, **data.also}
    _check_counts(data, splits, report)
    if data.reading is None:
        report.odd += data.notes
    else:
        _add_reading(data.reading, report)
    if images:
        scan([path for split in splits.values() for path in _paths(split)], report, progress)
    return report


def _add_reading(reading: Reading, report: Report) -> None:
    """The account of the reading; the pictures that it left out because they cannot be read are listed one by one."""
    damaged = [item for item in reading.skipped if item.why.startswith(CANNOT)]
    report.unreadable += [f"{item.what}: {item.why.removeprefix(CANNOT).strip(' ()')}" for item in damaged]
    report.reading = reading.to_json()


def _all_that_is_wrong(name: str, folder: Path) -> list[str]:
    """Errors of each part of a named data set, without repetitions."""
    found: dict[str, None] = {}
    try:
        entry = named(name, otherwise=folder)
        pieces = [] if entry is None else entry.pieces(folder)
    except DataError as error:
        return [str(error)]
    for piece in pieces:
        try:
            piece()
        except DataError as error:
            found[str(error)] = None
    return list(found)


def scan(paths: list[Path], report: Report, progress: Callable[[int, int], object] | None = None) -> None:
    """Decode every image and list those that cannot be."""
    if not paths:
        return
    from noiseproof.data.pipeline.decoding import opened

    before = len(report.unreadable)

    def fault(path: Path) -> str | None:
        try:
            opened(path)
        except DataError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        for done, found in enumerate(_in_pieces(pool, fault, paths), 1):
            if found is not None:
                report.unreadable.append(found)
            if progress is not None:
                progress(done, len(paths))
    damaged = len(report.unreadable) - before
    if not damaged:
        report.right.append(f"all {len(paths):,} images can be decoded")
    else:
        look = "images look" if damaged > 1 else "image looks"
        report.wrong.append(f"{damaged:,} {look} whole and cannot be decoded; move what is listed out of the folder")


def _in_pieces(pool: ThreadPoolExecutor, what: Callable[[Path], str | None], paths: list[Path]) -> Iterable[str | None]:
    """`map` that holds a thousand results at a time, not a million."""
    for first in range(0, len(paths), 1000):
        yield from pool.map(what, paths[first : first + 1000])


def _paths(split: Split) -> tuple[Path, ...]:
    inputs = split.inputs
    return inputs if isinstance(inputs, tuple) and not isinstance(inputs, Texts) else ()


def _check_counts(data: Data, splits: dict[str, Split], report: Report) -> None:
    report.right.append(f"{data.num_classes} classes, fingerprint {data.fingerprint[:16]}")
    for part, split in splits.items():
        counts = np.bincount(split.given.numpy(), minlength=data.num_classes)
        least, most = int(counts.min()), int(counts.max())
        spread = f"{least:,} a class" if least == most else f"{least:,} to {most:,} a class"
        report.right.append(f"{part}: {len(split):,} samples, {spread}")
        if least == 0:
            empty = np.flatnonzero(counts == 0)
            named = ", ".join(data.classes[label] for label in empty[:5])
            report.odd.append(f"{part}: {len(empty)} classes have no sample ({named})")
    if data.name in CIFAR_N:
        if is_official_order(data.name, data.train.given.numpy()):
            report.right.append("training labels: the official ones in their order")
        else:
            report.odd.append("training labels: not the official ones in their order; published noise does not fit")
    claims = DATASETS[data.name].claims if data.name in DATASETS else {}
    official: dict[str, Any] = {"train": claims.get("train"), "test": claims.get("test"), "ilsvrc12": 2_500}
    for part, split in splits.items():
        if (expected := official.get(part)) and len(split) != expected and data.num_classes == claims.get("classes"):
            report.odd.append(f"{part}: {len(split):,} samples, the official number is {expected:,}")


def _check_labels(name: str, folder: Path, report: Report) -> None:
    data = _LABEL_FILES[name]
    wanted = [f"instance-{rate}" for rate in RATES] if name.endswith("-instance") else list(CIFAR_N[data])
    try:
        found = published_labels(data, root=folder)
    except DataError as error:
        report.wrong.append(str(error))
        return
    clean = found.get("clean_label")
    for key in wanted:
        if key not in found:
            report.wrong.append(f"{key}: missing in {folder}; type: noiseproof data fetch {name} --root {folder}")
            continue
        share = "" if clean is None else f", {(found[key] != clean).mean():.2%} differ from the truth"
        report.right.append(f"{key}: {len(found[key]):,} labels{share}")
        if not is_official_noise(found[key]):
            report.odd.append(f"{key}: not the labels that were published")
