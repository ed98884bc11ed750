"""Base of all losses: torch's `cross_entropy` contract, sums, and the text form.

A loss writes one method, `per_class(logits) -> (N, K)`: the loss of every possible label. Everything else is
here, once: shapes, soft targets, `weight`, `ignore_index`, `label_smoothing`, `reduction`, half precision.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any, ClassVar, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from noiseproof.errors import InputError, UnknownNameError
from noiseproof.losses import _kernels
from noiseproof.losses.paper_parameters import published_text
from noiseproof.losses.reduction import reduce
from noiseproof.losses.tensor_proxies import node_of_fx, per_class_of_shards
from noiseproof.losses.types import Logits, LogProbs, Options, PerClass
from noiseproof.registry import Registry
from noiseproof.text import parse_sum, write_value

__all__ = ["LOSSES", "LogProbs", "Logits", "Loss", "Options", "PerClass", "WeightedSum", "parse"]


class Loss(nn.Module):
    r"""A classification loss with the whole contract of `torch.nn.functional.cross_entropy`.

    With the loss L(z, k) of every label k, class weights w (1 if none) and label smoothing e:

    - class indices y: $(1-e) w_y L_y + (e/K) \sum_k w_k L_k$; samples with y = `ignore_index` count nothing;
    - probabilities t: $\sum_k w_k t'_k L_k$ with $t' = (1-e) t + e/K$;
    - `reduction`: "none" keeps the shape; "sum" adds; "mean" divides by the summed weights of the kept labels for
      class indices, by the number of samples for probabilities. The mean over nothing is NaN.

    Half-precision scores are computed in float32 and the loss is returned in float32.

    Args:
        weight: (K,) factor for each class.
        ignore_index: the label that marks samples to leave out.
        reduction: "mean", "sum" or "none".
        label_smoothing: from 0 to 1.
    """

    name: ClassVar[str]
    weight: Tensor | None

    def __init__(self, **options: Unpack[Options]) -> None:
        super().__init__()
        self._check(options)
        self.register_buffer("weight", options.get("weight"))
        self.ignore_index = options.get("ignore_index", -100)
        self.reduction = options.get("reduction", "mean")
        self.label_smoothing = options.get("label_smoothing", 0.0)

    def per_class(self, logits: Logits) -> PerClass:
        """The loss of every possible label, differentiable.

        Args:
            logits: (N, K) scores in float32 or float64.

        Returns:
            (N, K); entry (i, k) is the loss of sample i if its label were k.
        """
        raise NotImplementedError(f"{type(self).__name__} must define per_class(logits) -> (N, K)")

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of the given labels.

        Args:
            input: scores (N, K), (K,) or (N, K, d1, ..., dk); any floating dtype.
            target: class indices (N,), () or (N, d1, ..., dk) of any integer dtype, or probabilities of
                `input`'s shape.

        Returns:
            A scalar, or the shape of the class indices under reduction="none".

        Raises:
            ValueError, RuntimeError, IndexError: as `torch.nn.functional.cross_entropy` raises them, in its words.
        """
        value = _kernels.answer(self, input, target)  # the same, sooner; None where only the formula will do
        return self.formula(input, target) if value is None else value

    def formula(self, input: Tensor, target: Tensor) -> Tensor:
        """Definition of `forward` in terms of `per_class`."""
        if not (isinstance(input, Tensor) and isinstance(target, Tensor)):
            return node_of_fx(self, input, target)
        soft = target.is_floating_point()
        if not soft and target.dtype in _WIDER:
            target = target.long()
        if not self._fits(input, target, soft):
            self._refuse(input, target)
        logits = _rows(input if input.dtype in (torch.float32, torch.float64) else input.float())
        labels = _rows(target).to(logits.dtype) if soft else target.reshape(-1)
        weight = None if self.weight is None else self.weight.to(logits.dtype)
        per_class = per_class_of_shards(self, logits)
        if per_class.shape != logits.shape:
            raise InputError(
                f"{type(self).__name__}.per_class must return the loss of every label, {tuple(logits.shape)}, "
                f"got {tuple(per_class.shape)}"
            )
        value = reduce(
            per_class,
            labels,
            weight=weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )
        if self.reduction == "none":
            return value.reshape(input.shape[:-1] if input.dim() == 1 else input.shape[:1] + input.shape[2:])
        return value

    def _fits(self, input: Tensor, target: Tensor, soft: bool) -> bool:
        classes = input.shape[min(1, input.dim() - 1)] if input.dim() else 0
        if soft:
            shapes = target.shape == input.shape and self.ignore_index < 0
        else:
            shapes = target.dtype in (torch.int64, torch.uint8) and (
                target.shape == (input.shape[:1] + input.shape[2:] if input.dim() > 1 else ())
            )
        return (
            input.dim() > 0
            and input.is_floating_point()
            and shapes
            and self.reduction in ("mean", "sum", "none")
            and 0.0 <= self.label_smoothing <= 1.0
            and (self.weight is None or self.weight.shape == (classes,))
        )

    def _refuse(self, input: Tensor, target: Tensor) -> None:
        """Let torch say what is wrong, in its own words and exception type."""
        weight = None if self.weight is None else self.weight.detach()
        F.cross_entropy(input, target, weight, None, self.ignore_index, None, self.reduction, self.label_smoothing)
        if not 0.0 <= self.label_smoothing <= 1.0:  # torch says so above 1 only
            raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {self.label_smoothing}")
        raise ValueError(
            f"target must be class indices or probabilities for scores of shape {tuple(input.shape)}, "
            f"got {target.dtype} of shape {tuple(target.shape)}"
        )

    def _check(self, options: Options) -> None:
        """Refuse what no call could take, with torch's exception types."""
        unknown = set(options) - Options.__annotations__.keys()
        if unknown:
            known = ", ".join(Options.__annotations__)
            raise TypeError(f"{type(self).__name__} has no option {', '.join(sorted(unknown))} (there are: {known})")
        if options.get("reduction", "mean") not in ("mean", "sum", "none"):
            raise ValueError(f"{options['reduction']} is not a valid value for reduction")
        if not 0.0 <= options.get("label_smoothing", 0.0) <= 1.0:
            raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {options['label_smoothing']}")
        weight = options.get("weight")
        if not (weight is None or isinstance(weight, Tensor)):
            raise TypeError(f"weight must be a tensor of one factor for each class, got {type(weight).__name__}")
        index = options.get("ignore_index", -100)
        if isinstance(index, bool) or not isinstance(index, int):
            raise TypeError(f"ignore_index must be an integer, got {index!r}")

    def __prepare_scriptable__(self) -> Loss:
        raise RuntimeError(
            f"torch.jit.script cannot compile losses.parse({str(self)!r}): use torch.compile, or torch.jit.trace"
        )

    # From logits to predictions

    def activation(self, logits: Tensor) -> Tensor:
        """Probabilities of the classes, softmax over the class axis; clients such as fastai ask for it by this name.

        Args:
            logits: (N, K), (K,) or (N, K, d1, ..., dk).
        """
        return logits.softmax(min(1, logits.dim() - 1))

    def decodes(self, logits: Tensor) -> Tensor:
        """Predicted class indices; clients such as fastai ask for them by this name.

        Args:
            logits: (N, K), (K,) or (N, K, d1, ..., dk); probabilities give the same classes.
        """
        return logits.argmax(min(1, logits.dim() - 1))

    # Range

    def minimum(self, num_classes: int) -> float:
        """The value of a perfect fit: the loss of the given label where it is certain.

        A log that shows the loss above its minimum reads 0 for a perfect fit of any loss. (For a few losses some
        other scores give less; `vce`, `sym` and `ldr` can be negative.)

        Args:
            num_classes: K.

        Example:
            >>> from noiseproof import losses
            >>> round(losses.parse("nce + amse(a=30)").minimum(10), 4)        # (30 - 1)^2 / 10
            84.1
        """
        return float(self.per_class(_certain(num_classes))[0, 0])

    def span(self, num_classes: int) -> float:
        """The loss of a label that is out of the question, less `minimum`; inf where that grows without bound.

        The larger of two: another label is certain, or all others are equally likely.

        Args:
            num_classes: K.

        Example:
            >>> from noiseproof import losses
            >>> [round(losses.parse(text).span(10), 6) for text in ("mae", "nce", "ce")]
            [2.0, 1.0, inf]
        """

        def wrong(size: float) -> float:
            sure, excluded = self.per_class(_certain(num_classes, size)), self.per_class(_certain(num_classes, -size))
            return max(float(sure[0, 1]), float(excluded[0, 0]))

        first, further = wrong(_CERTAIN), wrong(2 * _CERTAIN)
        bounded = abs(further - first) <= 1e-4 * max(1.0, abs(first))
        return further - self.minimum(num_classes) if bounded else float("inf")

    # Text and arithmetic

    def options(self) -> Options:
        """The options that were given: those of `cross_entropy`, without the defaults."""
        given: Options = {}
        if self.weight is not None:
            given["weight"] = self.weight
        if self.ignore_index != -100:
            given["ignore_index"] = self.ignore_index
        if self.reduction != "mean":
            given["reduction"] = self.reduction
        if self.label_smoothing != 0.0:
            given["label_smoothing"] = self.label_smoothing
        return given

    def with_options(self, **options: Unpack[Options]) -> Loss:
        """A copy of this loss with other options.

        Example:
            >>> from noiseproof import losses
            >>> losses.parse("nce + mae").with_options(reduction="sum")
            losses.parse('nce + mae', reduction='sum')
        """
        self._check(options)
        twin = copy.deepcopy(self)
        if "weight" in options and "weight" in twin._parameters and not isinstance(options["weight"], nn.Parameter):
            del twin.weight  # learned so far; no longer
            twin.register_buffer("weight", None)
        for name, value in options.items():
            setattr(twin, name, value)
        return twin

    def terms(self) -> list[tuple[float, Loss]]:
        """The (factor, loss) pairs whose sum this loss is."""
        return [(1.0, self)]

    def __add__(self, other: Loss) -> WeightedSum:
        if not isinstance(other, Loss):
            return NotImplemented
        return WeightedSum([*self.terms(), *other.terms()])

    def __mul__(self, factor: float) -> WeightedSum:
        if isinstance(factor, bool) or not isinstance(factor, int | float):
            return NotImplemented
        return WeightedSum([(factor * own, loss) for own, loss in self.terms()])

    __rmul__ = __mul__

    def _registered(self) -> bool:
        return "name" in type(self).__dict__  # a subclass of a registered loss is another loss

    def __str__(self) -> str:
        return LOSSES.write(self) if self._registered() else type(self).__name__

    def __repr__(self) -> str:
        options = "".join(f", {name}={value!r}" for name, value in self.options().items())
        return f"losses.parse({str(self)!r}{options})"

    def same_as(self, other: object) -> bool:
        """True if another loss has the same text and the same options; `==` compares the modules themselves.

        Example:
            >>> from noiseproof import losses
            >>> losses.GCE(q=0.7).same_as(losses.parse("gce")), losses.GCE() == losses.GCE()
            (True, False)
        """
        if not isinstance(other, Loss) or type(self) is not type(other):
            return False
        if not self._registered() or str(self) != str(other):
            return self is other
        return _same_options(self.options(), other.options())


_CERTAIN = 1e12  # a lead in scores beyond which no probability changes in float64


def _certain(num_classes: int, lead: float = _CERTAIN) -> Tensor:
    """Scores (1, K) that leave no doubt of class 0."""
    scores = torch.zeros(1, num_classes, dtype=torch.float64, device="cpu")
    scores[0, 0] = lead
    return scores


# torch takes only int64 and uint8 as class indices; the others are widened.
_WIDER = (torch.int8, torch.int16, torch.int32, torch.uint16, torch.uint32, torch.uint64)


def _rows(values: Tensor) -> Tensor:
    """(N, K, d1, ...) or (K,) as rows of K classes."""
    if values.dim() == 2:
        return values
    return values.movedim(1, -1).flatten(0, -2) if values.dim() > 2 else values.unsqueeze(0)


class WeightedSum(Loss):
    """A sum of losses with positive factors: `NCE() + 4 * AGCE(a=6, q=1.5)`.

    The options (`weight`, `ignore_index`, `reduction`, `label_smoothing`) belong to the sum as a whole.

    Args:
        terms: (factor, loss) pairs. A term that has options of its own gives them to the sum; two terms must not
            differ in them.
    """

    def __init__(self, terms: Iterable[tuple[float, Loss]], **options: Unpack[Options]) -> None:
        terms = list(terms)
        given = [loss.options() for _, loss in terms if loss.options()]
        if not options and given:
            if any(not _same_options(one, given[0]) for one in given) or len(given) < len(terms):
                raise InputError(
                    "the terms of a sum differ in weight, ignore_index, reduction or label_smoothing; "
                    "give these to the sum: losses.parse('nce + mae', reduction='sum')"
                )
            options = given[0]
        super().__init__(**options)
        for factor, loss in terms:
            if not (0 < factor < float("inf")):
                raise InputError(f"the factor of a loss must be positive and finite, got {write_value(factor)}*{loss}")
        self.factors = tuple(float(factor) for factor, _ in terms)
        self.losses = nn.ModuleList(loss for _, loss in terms)

    def terms(self) -> list[tuple[float, Loss]]:
        own = self.__dict__  # sooner than by name: a module looks a name up in many places
        return list(zip(own["factors"], own["_modules"]["losses"]._modules.values(), strict=True))

    def per_class(self, logits: Logits) -> PerClass:
        parts = [factor * loss.per_class(logits) for factor, loss in self.terms()]
        return torch.stack(parts).sum(0) if len(parts) > 2 else sum(parts[1:], parts[0])

    def _registered(self) -> bool:
        return all(loss._registered() for _, loss in self.terms())

    def __str__(self) -> str:
        return " + ".join(
            str(loss) if factor == 1 else f"{write_value(factor)}*{loss}" for factor, loss in self.terms()
        )


def _same_options(one: Options, other: Options) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else a == b
        for a, b in zip(one.values(), other.values(), strict=True)
    )


LOSSES: Registry[Loss] = Registry("loss", "losses")


def parse(text: str, *, num_classes: int | None = None, **options: Any) -> Loss:
    """The loss that a text names, such as "nce + 4*agce(a=6, q=1.5)".

    Args:
        text: names from `noiseproof list losses`, with parameters, numbers in front and `+`; or with `num_classes` a
            published method (`jal-ce`), see `published_text`.
        num_classes: for the name of a published method alone.
        options: `weight`, `ignore_index`, `reduction`, `label_smoothing`, as in `cross_entropy`.

    Raises:
        UnknownNameError: a name or parameter that does not exist; the nearest one is suggested.
        InputError: not of the text form, or a value out of range.

    Example:
        >>> from noiseproof import losses
        >>> str(losses.parse("nce+4 * agce(q=1.50, a=6)"))
        'nce + 4*agce(a=6, q=1.5)'
    """
    terms = parse_sum(text, nested=True)
    for _, call in terms:
        if "-" in call.name and call.name not in LOSSES:
            if num_classes is not None and len(terms) == 1:
                return parse(published_text(text.strip(), num_classes), **options)
            raise UnknownNameError(
                f"no loss named {call.name[:40]!r}; names with a hyphen are methods: with the number of classes, "
                "losses.parse('jal-ce', num_classes=10), you get the loss of one with the paper's parameters"
            )
    if len(terms) == 1 and terms[0][0] == 1:
        call = terms[0][1]
        return LOSSES[call.name].build(call, **options)
    return WeightedSum([(factor, LOSSES[call.name].build(call)) for factor, call in terms], **options)
