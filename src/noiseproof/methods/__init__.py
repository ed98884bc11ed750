"""Methods: how weights are found from given labels; one method a file, by name in `noiseproof list methods`."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from noiseproof import losses
from noiseproof.errors import InputError, UnknownNameError, did_you_mean
from noiseproof.losses import LOSSES
from noiseproof.losses.paper_parameters import published_names
from noiseproof.methods.additions import ADDITIONS, Addition
from noiseproof.methods.base import METHODS, Batch, Group, Method, Outputs, Pass, Task, with_loss
from noiseproof.methods.plain import Plain
from noiseproof.text import parse_call, parse_sum, split_list

__all__ = [
    "ADDITIONS",
    "METHODS",
    "Addition",
    "Batch",
    "Group",
    "Method",
    "Outputs",
    "Pass",
    "Plain",
    "Task",
    "parse",
    "split_additions",
    "with_loss",
]

for _module in pkgutil.iter_modules(__path__):  # a new method is one new file
    import_module(f"{__name__}.{_module.name}")


def parse(text: str, *, num_classes: int | None = None) -> Method:
    """The method that a text names; a loss text is the plain method.

    Args:
        text: a name from `noiseproof list methods` with parameters, or a loss; then additions. With `num_classes` a
            published method (`jal-ce`) is the loss that its paper uses for that many classes, as in `losses.parse`;
            what else the paper trains with, such as an L1 penalty, is in the recipes.
        num_classes: K of the data.

    Raises:
        UnknownNameError: no such method, loss, addition or parameter; the nearest one is suggested.
        InputError: not of the text form, or a value out of range.

    Example:
        >>> str(parse("elr(beta=0.7, lam=3.0)")), str(parse("elr(loss=nce + mae) + sam(rho=0.1)"))
        ('elr', 'elr(loss=nce + mae) + sam(rho=0.1)')
        >>> str(parse("jal-ce + sam(rho=0.1)", num_classes=100)), str(parse("elr(loss=jal-ce)", num_classes=10))
        ('5*nce + amse(a=20) + sam(rho=0.1)', 'elr(loss=nce + amse)')
    """
    base, additions = split_additions(text)
    method = _method(base, num_classes)
    method.additions = tuple(additions)
    return method


def split_additions(text: str) -> tuple[str, list[Addition]]:
    """The text without its additions, as it was written, and the additions.

    Example:
        >>> base, additions = split_additions("nce+agce + ema(decay=0.99)")
        >>> base, list(map(str, additions))
        ('nce+agce', ['ema(decay=0.99)'])
    """
    parse_sum(text, nested=True)  # refuses what is not of the text form
    base, rest = text, split_list(text, "+")
    additions: list[Addition] = []
    while rest and rest[-1].partition("(")[0].strip().lower() in ADDITIONS:
        piece = rest.pop()
        base = base[: base.rindex(piece)].rstrip().removesuffix("+").rstrip()
        call = parse_call(piece, nested=True)
        additions.insert(0, ADDITIONS[call.name].build(call))
    return base.strip() or "ce", additions


def _method(text: str, num_classes: int | None) -> Method:
    terms = parse_sum(text, nested=True)
    names = [call.name for _, call in terms]
    if len(terms) == 1 and terms[0][0] == 1 and (names[0] in METHODS or names[0].lower() in METHODS):
        call = with_loss(terms[0][1], lambda loss: str(losses.parse(loss, num_classes=num_classes)))
        return METHODS[call.name].build(call)
    published = [name for name in published_names() if name not in LOSSES and "+" not in name]
    for name in names:
        if name in METHODS:
            raise InputError(f"{name} is a method, which is no part of a sum; write {METHODS[name].usage}")
        if name in ADDITIONS:
            raise InputError(f"{name} is an addition, which comes last: 'jal-ce + {name}'")
        if name in LOSSES or name.lower() in LOSSES:
            continue
        if name.lower() not in published:
            known = [*METHODS.names(), *published, *LOSSES.names()]
            raise UnknownNameError(
                f"no method or loss named {name[:40]!r}{did_you_mean(name, known)} (methods: "
                f"{', '.join([*METHODS.names(), *published])}; any loss text works too, see `noiseproof list losses`)"
            )
        if num_classes is None or len(terms) > 1 or terms[0][0] != 1:
            raise UnknownNameError(
                f"{name} is a published method, whose loss depends on the number of classes: write "
                f"methods.parse('{name} + sam', num_classes=10), its name alone or with additions; or take it from a "
                f"recipe, recipes.load('cifar10').method('{name} + sam')"
            )
    return Plain(losses.parse(text, num_classes=num_classes))
