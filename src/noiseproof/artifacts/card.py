"""The model card: what the model is, how well it does, and how to use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noiseproof import escaping

if TYPE_CHECKING:
    from noiseproof.artifacts.model import Model

__all__ = ["card"]

_CALLS = {
    "pictures": ('model.predict(["a.jpg", "b.jpg"])', "folder/of/pictures"),
    "text": ('model.predict(["a text", "another"])', "texts.csv"),
    "columns": ("model.predict(frame)              # a DataFrame with the columns of training", "new.csv"),
    "vectors": ("model.predict(rows)               # numbers (N, D)", "new.csv"),
}


def card(model: Model) -> str:
    """README.md of a model folder."""
    about, (call, data) = model.about, _CALLS[model.kind]
    lines = ["# Model", "", f"Takes {model.kind}, names one of {len(model.classes)} classes.", ""]
    facts = {
        "method": about.get("method"),
        "features": about.get("features"),
        "recipe": about.get("recipe"),
        "data": about.get("data"),
        "samples learned from": about.get("samples"),
        "noise added": about.get("noise"),
        "estimated share of wrong labels": _percent(about.get("estimated_rate")),
        "accuracy": _accuracy(about),
    }
    lines += [f"- {name}: {escaping.visible(str(value))}" for name, value in facts.items() if value is not None]
    lines += ["", "## Use", "", "```python", "import noiseproof", "", 'model = noiseproof.load_model("this/folder")']
    lines += [call, "```", "", "```", f"noiseproof predict this/folder {data} --out predictions.csv --proba"]
    lines += ["noiseproof export this/folder --format onnx", "```", "", "## Classes", ""]
    lines += [f"{number}. {escaping.visible(name)}" for number, name in enumerate(model.classes)]
    return "\n".join(lines) + "\n"


def _percent(share: object) -> str | None:
    return f"{100 * share:.1f} %" if isinstance(share, float) else None


def _accuracy(about: object) -> str | None:
    found = about.get("accuracy") if isinstance(about, dict) else None
    if not isinstance(found, dict):
        return None
    return f"{found['percent']:.2f} % on {found['samples']} samples, measured against {found['against']} labels"
