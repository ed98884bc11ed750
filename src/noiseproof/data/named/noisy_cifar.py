"""Noisy labels that others published for CIFAR: by people (CIFAR-N) and dependent on the instance."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from noiseproof.data.dataset_registry import DATASETS, Remote, default_root
from noiseproof.data.io.label_files import Labels, checked, vectors
from noiseproof.errors import DataError, DataMissingError, InputError
from noiseproof.labels import CIFAR_N

__all__ = [
    "FILES",
    "RATES",
    "SAMPLES",
    "find",
    "is_official_hash",
    "is_official_noise",
    "is_official_order",
    "published_labels",
]

SAMPLES = 50_000
RATES = ("0.2", "0.4", "0.6")

_HUMAN_SOURCE = "https://raw.githubusercontent.com/UCSC-REAL/cifar-10-100n/main/data"
_DEPENDENT_SOURCE = "https://raw.githubusercontent.com/cswjl/joint-asymmetric-loss/HEAD/datasets/data_dependent/config"


def _human_file(name: str, size: int, sha256: str) -> tuple[Remote, ...]:
    return (Remote(f"{_HUMAN_SOURCE}/{name}", name, size=size, sha256=sha256),)


def _dependent_files(name: str, files: dict[str, tuple[int, str]]) -> tuple[Remote, ...]:
    names = {rate: f"{name}_dependent_{rate}.json" for rate in files}
    return tuple(
        Remote(f"{_DEPENDENT_SOURCE}/{names[rate]}", names[rate], size=size, sha256=sha256)
        for rate, (size, sha256) in files.items()
    )


#: What `noiseproof data fetch` knows beside the data sets.
FILES = {
    "cifar10n": _human_file(
        "CIFAR-10_human.pt", 2_401_007, "873e69c39cb9b5e97fb6bae2d60bb59b38a5cbc31d2b868f7903dcb2b9dd2310"
    ),
    "cifar100n": _human_file(
        "CIFAR-100_human.pt", 1_000_959, "bd2d80409754d420292d622e15e25248ba21e37d27429efac49c8da723f44394"
    ),
    "cifar10-instance": _dependent_files(
        "cifar10",
        {
            "0.2": (150_000, "5e90711bcd9a70a0a71a0d101703629a17b6feb5e66948ee3345bb6ea888017c"),
            "0.4": (150_000, "8806ba3346b2f0a97cf7f0c80fbaa1246d0cf8eb21939828cb8688a9d3422e21"),
            "0.6": (150_000, "9daf24bef47eb6fc7fc843355e3c18fb12e0b496298c4d3657f362849dcba402"),
        },
    ),
    "cifar100-instance": _dependent_files(
        "cifar100",
        {
            "0.2": (194_943, "02c646aea2870ea8d2d1505333290d2b0ef0f9e2823100e24d69de06386f77fd"),
            "0.4": (194_915, "d4080c71a22f816efada739c39be5678f165a56dadea2c71a9e4d6c29be988f0"),
            "0.6": (194_792, "1ddb4ef8bd0e89feea3707621d78f6fcdd7c5654b0b6461cd209e9c5827917fd"),
        },
    ),
}

# SHA-256 of the 50,000 official training labels as bytes
_TRUTH = {
    "cifar10": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
    "cifar100": "9f11b9f97aad759ba6df0a33e3218b01d8deaf4ed3a14aa1185d69b9ad7ebcb3",
}
# the same of the published noisy labels: CIFAR-10N, CIFAR-100N, then those that depend on the instance
_NOISY = frozenset(
    (
        "2bd5e02e39c9c79772cf4c794f7b74630ac1aaeeac4b807a63c11e9a375f8404",  # aggre_label
        "8d01b5a5af048e84bf6e964c86e1133e95d5b22c07763e23705b714ad0f32d8b",  # random_label1
        "7ea04c887750912f49669282a75e78df380077766b361fb6cb5200999ad6dcda",  # random_label2
        "cdbfad7e15bfc8fc83bc7c6e30b692e2aa1186660d82738b7543a6012d6ca46f",  # random_label3
        "11a306ed336e3bc81aaac36322ddf12de379d0df1883aa43e10ba562a98f6b2a",  # worse_label
        "54050bc3f9441adc78f204c68915d49a7f86bfa72b8fba04751b961d5be4aa62",  # noisy_label
        "e4eead6ba2b2fadcc7049dc01491b4a0901bf20020c775e5cac4fe222cf05b90",  # cifar10_dependent_0_2
        "358559671da8503c1c57f7b612c4615bb0a64a080ae8578ba7043ca673c008b2",  # cifar10_dependent_0_4
        "d74de7ac0ecbe8806cd7fe7f5fe3ea3038da9fee69cde68312b8ad82305c8f2c",  # cifar10_dependent_0_6
        "788c9c78c7affbe88700e5f6671287f6de79b51c4a1699196e50363047a91207",  # cifar100_dependent_0_2
        "9ef4e43a12aba776d116cb329e0c8b455745ca29556b23aba7a06604aaad5649",  # cifar100_dependent_0_4
        "15f106ffdd83969e97a4a4815261a97f4a31837f584d36c2cd87de42f2c2e379",  # cifar100_dependent_0_6
    )
)
_CLASSES = {"cifar10": 10, "cifar100": 100}
_FOLDERS = ("", "cifar-n", "instance-dependent", "data", "data_dependent/config", "datasets/data_dependent/config")


def published_labels(name: str, *, root: str | os.PathLike[str] | None = None) -> dict[str, Labels]:
    """The published noisy training labels of a data set that lie under the root.

    Args:
        name: `cifar10` or `cifar100`.
        root: where to look, or its folders `cifar-n` and `instance-dependent`.

    Returns:
        int64 (50,000,) in the data set's own order. CIFAR-N stands under the keys of its file (`clean_label`,
        `worse_label`, ...) and under the short names `aggre`, `rand1`, `rand2`, `rand3`, `worst` and `noisy`;
        instance-dependent labels under `cifar10_dependent_0_2` and `instance-0.2`, likewise 0.4 and 0.6.

    Raises:
        DataMissingError: none is there.
        DataError: a file is damaged, or its `clean_label` is not the data set's labels.
    """
    if name not in _CLASSES:
        DATASETS[name]  # an unknown name gets its own message
        raise InputError(f"published labels exist for cifar10 and cifar100, not for {name}")
    folder = Path(root) if root is not None else default_root()
    found = {**_human(name, folder), **_dependent(name, folder)}
    if not found:
        raise DataMissingError(
            f"{name}: no published labels in {folder}; looked for {', '.join(_human_names(name))} and "
            f"{name}_dependent_0.2.json; type: noiseproof data fetch {name}n --root {folder}"
        )
    return found


def is_official_order(name: str, labels: Labels) -> bool:
    """Test for CIFAR's training labels in their authors' order."""
    return _digest(labels) == _TRUTH[name]


def is_official_noise(labels: Labels) -> bool:
    """Test for a published set of noisy labels, equal to the last one."""
    return is_official_hash(_digest(labels))


def is_official_hash(sha256: str) -> bool:
    """Test for the hash of a published vector of noisy labels (`noise.fingerprint`)."""
    return sha256 in _NOISY


def _digest(labels: Labels) -> str:
    return hashlib.sha256(labels.astype(np.uint8).tobytes()).hexdigest()


def find(folder: Path, names: tuple[str, ...]) -> Path | None:
    """The first of these files in the folder or where the published repositories keep them."""
    return next((place for place in _places(folder, names) if place.is_file()), None)


def _places(folder: Path, names: tuple[str, ...]) -> Iterator[Path]:
    return (folder / inner / name for inner in _FOLDERS for name in names)


def _human_names(name: str) -> tuple[str, ...]:
    stem = {"cifar10": "CIFAR-10_human", "cifar100": "CIFAR-100_human"}[name]
    return f"{stem}.pt", f"{stem}.npy", f"{stem}_ordered.npy", f"{name}n_labels.npz"


def _human(name: str, folder: Path) -> dict[str, Labels]:
    path = find(folder, _human_names(name))
    if path is None:
        return {}
    held = vectors(path)
    wanted = {"clean_label", *CIFAR_N[name].values()}
    if missing := sorted(wanted - held.keys()):
        raise DataError(f"{path}: must hold {', '.join(missing)}; it has {', '.join(list(held)[:8]) or 'nothing'}")
    labels = {key: checked(held[key], _CLASSES[name], f"{path}: {key}", count=SAMPLES) for key in sorted(wanted)}
    if not is_official_order(name, labels["clean_label"]):
        raise DataError(
            f"{path}: refused, its clean_label is not the training labels of {name} in their official order"
            + ("; an _ordered.npy file has TensorFlow's order, use the .pt file" if "_ordered" in path.name else "")
        )
    return labels | {short: labels[key] for short, key in CIFAR_N[name].items()}


def _dependent(name: str, folder: Path) -> dict[str, Labels]:
    found: dict[str, Labels] = {}
    together = find(folder, ("jal_dependent.npz",))
    for rate in RATES:
        key = f"{name}_dependent_{rate.replace('.', '_')}"
        alone = find(folder, (f"{name}_dependent_{rate}.json", f"{name}_dependent_{rate}.json.gz"))
        path = alone or together
        if path is None:
            continue
        held = vectors(path)
        inner = "" if alone else key
        if inner not in held:
            raise DataError(f"{path}: must hold {key if together else 'one list of labels'}")
        labels = checked(held[inner], _CLASSES[name], f"{path}: {inner or 'labels'}", count=SAMPLES)
        found[key] = found[f"instance-{rate}"] = labels
    return found
