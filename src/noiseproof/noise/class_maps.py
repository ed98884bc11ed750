"""Class maps of asymmetric noise, as arcs clean -> given.

Source: Patrini et al., CVPR 2017, section 5 (CIFAR-10 and MNIST); for CIFAR-100 see `BLOCKS` and `SUPERCLASSES`.
"""

from __future__ import annotations

import re

from noiseproof.errors import InputError, one_of

__all__ = ["Arcs", "arcs"]

Arcs = dict[int, int]

# truck -> automobile, bird -> airplane, cat <-> dog, deer -> horse; in the order of the published loops
CIFAR10: Arcs = {9: 1, 2: 0, 3: 5, 5: 3, 4: 7}

# digits that look alike; used unchanged for Fashion-MNIST and KMNIST
MNIST: Arcs = {7: 1, 2: 7, 5: 6, 6: 5, 3: 8}

# The published "asymmetric CIFAR-100": a cycle within five consecutive class numbers. These are alphabetical,
# so only 6 of the 100 arcs stay inside a superclass; the papers' numbers come from this map all the same.
BLOCKS: Arcs = {5 * b + j: 5 * b + (j + 1) % 5 for b in range(20) for j in range(5)}

# The fine classes of the 20 superclasses of CIFAR-100, in the order of their numbers.
_MEMBERS = (
    (4, 30, 55, 72, 95),
    (1, 32, 67, 73, 91),
    (54, 62, 70, 82, 92),
    (9, 10, 16, 28, 61),
    (0, 51, 53, 57, 83),
    (22, 39, 40, 86, 87),
    (5, 20, 25, 84, 94),
    (6, 7, 14, 18, 24),
    (3, 42, 43, 88, 97),
    (12, 17, 37, 68, 76),
    (23, 33, 49, 60, 71),
    (15, 19, 21, 31, 38),
    (34, 63, 64, 66, 75),
    (26, 45, 77, 79, 99),
    (2, 11, 35, 46, 98),
    (27, 29, 44, 78, 93),
    (36, 50, 65, 74, 80),
    (47, 52, 56, 59, 96),
    (8, 13, 48, 58, 90),
    (41, 69, 81, 85, 89),
)
# What the papers' text describes: each fine class becomes the next one of its superclass.
SUPERCLASSES: Arcs = {group[j]: group[(j + 1) % 5] for group in _MEMBERS for j in range(5)}

_NAMED = {"cifar10": (CIFAR10, 10), "mnist": (MNIST, 10), "blocks": (BLOCKS, 100), "superclass": (SUPERCLASSES, 100)}
_USUAL = {
    "cifar10": "cifar10",
    "cifar100": "blocks",
    **dict.fromkeys(("mnist", "fashion-mnist", "kmnist", "digits"), "mnist"),
}
_ARC = re.compile(r"\s*(\d{1,6})\s*>\s*(\d{1,6})\s*,?")


def arcs(classes: str | None, num_classes: int, data: str | None) -> Arcs:
    """The map that is meant: by its name, written out, or the usual one of the data set.

    Args:
        classes: `cifar10`, `mnist`, `blocks`, `superclass`, arcs such as "3>5 5>3", or None.
        num_classes: the number of classes the map must fit.
        data: the data set's name, for the usual map.

    Example:
        >>> arcs(None, 10, "fashion-mnist")
        {7: 1, 2: 7, 5: 6, 6: 5, 3: 8}
        >>> arcs("3>5, 5>3", 6, None)
        {3: 5, 5: 3}
    """
    if classes is not None and ">" in classes:
        return _written(classes, num_classes)
    if classes is None:
        if data not in _USUAL:
            source = "without a data name (say data=NAME)" if data is None else f"for {data!r}"
            raise InputError(
                f"asymmetric noise has no class map {source}; it has for {', '.join(_USUAL)}. Write the arcs as "
                "classes='3>5 5>3', or use pairflip(rate) or transition(file)"
            )
        classes = _USUAL[data]
    found, wanted = _NAMED[one_of("classes", classes, _NAMED)]
    if num_classes != wanted:
        raise InputError(f"the class map {classes!r} is for {wanted} classes, got labels of {num_classes}")
    return found


def _written(text: str, num_classes: int) -> Arcs:
    found: Arcs = {}
    end = 0
    while match := _ARC.match(text, end):
        source, target = int(match[1]), int(match[2])
        if max(source, target) >= num_classes or source == target:
            raise InputError(
                f"classes={text!r}: {source}>{target} is no arc between two classes of 0..{num_classes - 1}; write "
                "CLEAN>GIVEN with two different ones"
            )
        if source in found:
            raise InputError(f"classes={text!r}: class {source} becomes one other class, not two")
        found[source], end = target, match.end()
    if text[end:].strip() or not found:
        raise InputError(f"classes takes arcs such as '3>5 5>3' (clean > given), got {text!r}")
    return found
