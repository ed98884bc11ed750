"""What is refused, case by case: a call that must fail, and the words its message owes the reader.

Each case is (call, where, what came): `where` is the file or argument that the reader has to look at, `what came` the
value at fault as they would recognise it. A call gets a folder of its own.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from noiseproof import data, losses, models, noise, recipes, testing, theory
from noiseproof.data.dataset import Split
from noiseproof.data.io import download
from noiseproof.data.pipeline.batches import Batches
from noiseproof.data.pipeline.crops_and_flips import Augment
from noiseproof.doctor import find_label_issues
from noiseproof.experiments import grid, records
from noiseproof.experiments.executors.shard import Shard
from noiseproof.losses import CE, NCE, Loss
from noiseproof.losses.sigmoid import SigmoidLoss
from noiseproof.registry import Registry
from noiseproof.reporting import figure_style
from noiseproof.storage import files, lock
from noiseproof.text import parse_call
from noiseproof.train import fit
from noiseproof.train.device import resolve_device
from support.refused_files import cifar_n, cifar_tar, csv, grid_file, idx, matrix, npz, recipe, record, torch_zip, write

Case = tuple[Callable[[Path], object], str, str]


def locked(folder: Path, text: str) -> object:
    place = files.make_folder(folder / "locks")
    write(place / "shard-1-of-1.000000001", text)
    return lock.take(folder)


def registered_twice(folder: Path) -> None:
    things: Registry[object] = Registry("thing", "things")
    things.register("one")(object.__class__("One", (), {}))
    things.register("one")(object.__class__("Other", (), {}))


class Half(Loss):
    """Half a definition: a loss that forgot its method."""


SCORES, LABELS = torch.zeros(4, 3), torch.tensor([0, 1, 2, 0])
SOME = torch.eye(4)


def split(**changed: Any) -> Split:
    sound = {"inputs": SOME, "given": torch.tensor([0, 1, 0, 1]), "clean": None, "classes": ("a", "b")}
    return Split(**{**sound, **changed})


def issues(given: Any = (0, 1, 2), pred_probs: Any = None) -> object:
    return find_label_issues(given, np.eye(3) if pred_probs is None else pred_probs)


def trained(noisy: noise.NoisyLabels | None = None, **changed: Any) -> object:
    return fit(data.load("digits"), noisy, "ce", recipes.load("digits", {"train.epochs": 1}), seed=1, **changed)


REFUSED: dict[str, Case] = {
    # losses
    "loss: unknown name": (lambda _: losses.parse("gcee"), "'gcee'", "gce"),
    "loss: unknown parameter": (lambda _: losses.parse("agce(b=2)"), "agce", "'b'"),
    "loss: out of range": (lambda _: losses.parse("gce(q=1.7)"), "q", "1.7"),
    "loss: a word for a number": (lambda _: losses.parse("gce(q=high)"), "q", "high"),
    "loss: a truth value for a number": (lambda _: losses.parse("gce(q=true)"), "q", "True"),
    "loss: a number for a truth value": (lambda _: losses.parse("fl(detach=1)"), "detach", "1"),
    "loss: p_min": (lambda _: losses.parse("nnce(p_min=0)"), "p_min", "0"),
    "loss: p_min above 1/K": (lambda _: losses.parse("nnce(p_min=0.4)")(SCORES, LABELS), "p_min", "0.4"),
    "loss: too sharp": (lambda _: losses.parse("ldr(c=9, lam=0.1)"), "c / lam", "90"),
    "loss: two values without names": (lambda _: losses.parse("agce(6, 1.5)"), "agce", "a=1"),
    "loss: given twice": (lambda _: losses.parse("gce(0.5, q=0.7)"), "gce", "q=0.7"),
    "loss: factor 0": (lambda _: losses.parse("nce + 0*mae"), "factor", "0*mae"),
    "loss: negative factor": (lambda _: -2 * NCE() + CE(), "factor", "-2"),
    "loss: options of the terms differ": (lambda _: CE(reduction="sum") + NCE(), "reduction", "sum"),
    "loss: no sigmoid form": (lambda _: SigmoidLoss("nce + lc"), "lc", "sigmoid"),
    "loss: sigmoid reduction": (lambda _: SigmoidLoss("ce", reduction="avg"), "reduction", "'avg'"),
    "loss: registered twice": (registered_twice, "thing", "'one'"),
    # the text form
    "text: code": (lambda _: losses.parse("__import__('os').system('x')"), "__import__", "system"),
    "text: a difference": (lambda _: losses.parse("nce - mae"), "nce - mae", "nce - mae"),
    "text: two numbers": (lambda _: losses.parse("2*3"), "2*3", "3"),
    "text: a product of losses": (lambda _: losses.parse("nce*mae"), "nce*mae", "'*'"),
    "text: starred": (lambda _: losses.parse("gce(**x)"), "gce(**x)", "'**'"),
    "text: infinite": (lambda _: losses.parse("gce(q=1e999)"), "gce(q=1e999)", "finite"),
    "text: a list": (lambda _: losses.parse("gce(q=[1])"), "gce(q=[1])", "[1]"),
    "text: empty": (lambda _: losses.parse(""), "''", "NAME"),
    "text: no text": (lambda _: losses.parse(7), "7", "nce + amse"),
    "text: too long": (lambda _: losses.parse("ce+" * 2000 + "ce"), "4096", "6002"),
    "text: unbalanced": (lambda _: losses.parse("gce(q=0.7"), "gce(q=0.7", "gce(q=0.7"),
    "text: a sum where one name belongs": (lambda _: parse_call("a + b"), "'a + b'", "NAME"),
    "text: one parameter twice": (lambda _: losses.parse("gce(q=0.5, q=0.7)"), "gce", "q=0.7"),
    # noise
    "noise: unknown name": (lambda _: noise.parse("symetric(0.4)"), "'symetric'", "symmetric"),
    "noise: rate above 1": (lambda _: noise.parse("symmetric(40)"), "rate", "40"),
    "noise: no rate": (lambda _: noise.parse("symmetric"), "rate", "symmetric"),
    "noise: unknown convention": (lambda _: noise.parse("symmetric(0.4, convention=elr)"), "symmetric", "convention"),
    "noise: unknown convention by name": (
        lambda _: noise.parse("symmetric(rate=0.4, convention=elr)"), "convention", "'elr'",
    ),
    "noise: unknown people": (lambda _: noise.parse("human(best)"), "human", "'best'"),
    "noise: a class too many": (
        lambda _: noise.corrupt([0, 1, 2], "symmetric(0.4)", num_classes=2, seed=1), "labels", "2 in row 2",
    ),
    "noise: one-hot": (lambda _: noise.corrupt(np.eye(3), "clean", num_classes=3, seed=1), "labels", "(3, 3)"),
    "noise: fractions": (lambda _: noise.corrupt([0.5, 1.0], "clean", num_classes=2, seed=1), "labels", "0.5"),
    "noise: names": (lambda _: noise.corrupt(["cat", "dog"], "clean", num_classes=2, seed=1), "labels", "'cat'"),
    "noise: nothing": (lambda _: noise.corrupt([], "clean", num_classes=2, seed=1), "labels", "none"),
    "noise: ragged": (lambda _: noise.corrupt([[0], [1, 2]], "clean", num_classes=3, seed=1), "labels", "numpy"),
    "noise: one class": (lambda _: noise.corrupt([0], "clean", num_classes=1, seed=1), "num_classes", "1"),
    "noise: negative seed": (lambda _: noise.corrupt([0, 1], "clean", num_classes=2, seed=-1), "seed", "-1"),
    "noise: no map": (lambda _: noise.corrupt([0, 1], "asymmetric(0.4)", num_classes=2, seed=1), "asymmetric", "data"),
    "noise: map of other data": (
        lambda _: noise.corrupt([0, 1], "asymmetric(0.4)", num_classes=2, seed=1, data="cifar10"), "'cifar10'", "2",
    ),
    "noise: no arc": (
        lambda _: noise.corrupt([0, 1], "asymmetric(0.4, classes='0>5')", num_classes=2, seed=1), "classes", "0>5",
    ),
    "noise: wrong rate": (
        lambda _: noise.corrupt([0, 1] * 50, "symmetric(rate=0.4, convention=dividemix)", num_classes=2, seed=1),
        "convention=dividemix", "20.00%",
    ),
    "noise: no inputs": (lambda _: noise.corrupt([0, 1], "instance(0.4)", num_classes=2, seed=1), "inputs", "none"),
    "noise: no matrix": (lambda _: noise.parse("instance(0.4)").matrix(10), "instance", "corrupt"),
    "noise: no published labels": (
        lambda _: noise.corrupt([0, 1], "human(worst)", num_classes=2, seed=1), "human", "published",
    ),
    "noise: people of other data": (
        lambda _: noise.corrupt([0, 1], "human(worst)", num_classes=2, seed=1, data="cifar100"), "human", "'cifar100'",
    ),
    "noise: seed beyond the published generators": (
        lambda _: noise.corrupt([0, 1], "symmetric(rate=0.4, convention=jal)", num_classes=2, seed=2**40),
        "seed", str(2**40),
    ),
    "noise: no matrix file": (
        lambda folder: noise.corrupt([0, 1], "transition(T.csv)", num_classes=2, seed=1, root=folder),
        "T.csv", "no file",
    ),
    "noise: matrix file of another kind": (lambda folder: matrix(folder, "T.txt", "1 0\n0 1"), "T.txt", ".csv"),
    "noise: matrix of columns": (lambda folder: matrix(folder, "T.csv", "0.9,0.3\n0.1,0.7"), "T.csv", "row 0"),
    "noise: matrix of words": (lambda folder: matrix(folder, "T.csv", "a,b\nc,d"), "T.csv", "'a'"),
    "noise: matrix of other classes": (
        lambda folder: matrix(folder, "T.json", "[[1,0,0],[0,1,0],[0,0,1]]"), "T.json", "3 classes",
    ),
    "noise: matrix not square": (lambda folder: matrix(folder, "T.json", "[[1,0]]"), "T.json", "(1, 2)"),
    "noise: a pickle for a matrix": (lambda folder: matrix(folder, "T.npy", pickle.dumps([1])), "T.npy", "matrix"),
    # data
    "data: unknown name": (lambda _: data.load("digitz"), "'digitz'", "digits"),
    "data: no such path": (lambda folder: data.load(folder / "none.csv"), "none.csv", "none.csv"),
    "data: unknown kind of file": (lambda folder: data.load(write(folder / "mine.docx", "x")), "mine.docx", ".csv"),
    "data: CIFAR is not there": (lambda folder: data.load("cifar10", root=folder), "cifar10", "fetch"),
    "data: MNIST is not there": (lambda folder: data.load("mnist", root=folder), "mnist", "fetch"),
    "data: Clothing1M is not there": (lambda folder: data.load("clothing1m", root=folder), "clothing1m", "authors"),
    "data: WebVision is not there": (lambda folder: data.load("webvision", root=folder), "webvision", "looked for"),
    "data: a tar with a link": (
        lambda folder: cifar_tar(folder, "cifar-10-batches-py/data_batch_1", "/etc/passwd"),
        "cifar-10-python.tar.gz", "link",
    ),
    "data: a tar without the files": (
        lambda folder: cifar_tar(folder, "other"), "cifar-10-python.tar.gz", "data_batch_1",
    ),
    "data: a web page for an idx file": (lambda folder: idx(folder, b"<!DOCTYPE html>"), "train-images", "web page"),
    "data: a damaged idx file": (
        lambda folder: idx(folder, b"\0\0\x08\x03" + b"\0\0\0\x09" * 3), "train-images", "9 x 9 x 9",
    ),
    "data: a pickle that calls": (
        lambda folder: cifar_n(folder, torch_zip(b"\x80\x02cos\nsystem\nX\x04\0\0\0true\x85R.")),
        "CIFAR-10_human.pt", "os.system",
    ),
    "data: labels of a wrong kind": (
        lambda folder: cifar_n(folder, torch_zip(pickle.dumps({"clean_label": ["x"]}, 2))),
        "CIFAR-10_human.pt", "must hold",
    ),
    "data: no zip": (lambda folder: cifar_n(folder, b"<html>"), "CIFAR-10_human.pt", "zip"),
    "data: no published labels": (lambda folder: data.published_labels("cifar10", root=folder), "cifar10", "fetch"),
    "data: published labels of other data": (lambda _: data.published_labels("digits"), "digits", "cifar10"),
    "data: CSV without labels": (lambda folder: csv(folder, "x,lable\n1,2\n"), "mine.csv", "lable"),
    "data: CSV with a ragged row": (lambda folder: csv(folder, "x,label\n1,a\n2\n"), "mine.csv", "row 3"),
    "data: CSV with a word": (lambda folder: csv(folder, "x,label\n1,a\nten,b\n"), "mine.csv", "'ten'"),
    "data: CSV with infinity": (lambda folder: csv(folder, "x,label\n1,a\ninf,b\n"), "mine.csv", "row 3: 'inf'"),
    "data: CSV of one class": (lambda folder: csv(folder, "x,label\n1,a\n2,a\n3,a\n"), "mine.csv", "two classes"),
    "data: CSV without rows": (lambda folder: csv(folder, "x,label\n"), "mine.csv", "no rows"),
    "data: CSV with two label columns": (
        lambda folder: csv(folder, "x,class,label\n1,b,a\n2,c,a\n3,b,b\n4,c,b\n"), "mine.csv", "'class' and 'label'",
    ),
    "data: CSV with two delimiters": (
        lambda folder: csv(folder, "x,label;y\n1,a;2\n3,b;4\n"), "mine.csv", "',' and ';'",
    ),
    "data: CSV without a header": (lambda folder: csv(folder, "1,a\n2,b\n3,a\n4,b\n"), "mine.csv", "no header"),
    "data: CSV without labels at all": (lambda folder: csv(folder, "x,label\n1,\n2,\n"), "mine.csv", "2 are blank"),
    "data: CSV with another split": (
        lambda folder: csv(folder, "x,label,split\n1,a,north\n"), "mine.csv", "row 2: 'north'",
    ),
    "data: CSV of Latin-1": (
        lambda folder: data.load(str(write(folder / "mine.csv", b"x,label\n1,caf\xe9\n"))), "mine.csv", "UTF-8",
    ),
    "data: CSV with images that are not there": (
        lambda folder: csv(folder, "path,label\na.png,x\nb.png,y\n"), "mine.csv", "a.png",
    ),
    "data: CSV with a path that leads out": (
        lambda folder: csv(folder, "path,label\n../a.png,x\nb.png,y\n"), "mine.csv", "../a.png",
    ),
    "data: npz without labels": (lambda folder: npz(folder, x=np.eye(3)), "mine.npz", "x"),
    "data: npz with measurements for labels": (
        lambda folder: npz(folder, x=np.eye(3), y=np.array([0.5, 1, 2])), "mine.npz", "row 0: 0.5",
    ),
    "data: npz with several labels a sample": (
        lambda folder: npz(folder, x=np.eye(3), y=np.array([[1, 0], [1, 1], [0, 1]])), "mine.npz", "row 1: [1, 1]",
    ),
    "data: npz of objects": (
        lambda folder: npz(folder, x=np.array([{}], dtype=object), y=np.zeros(1, int)), "mine.npz", "x",
    ),
    "data: npz with NaN": (
        lambda folder: npz(folder, x=np.array([[1.0], [np.nan]]), y=np.array([0, 1])), "mine.npz", "row 1",
    ),
    "data: npz of other lengths": (
        lambda folder: npz(folder, x=np.eye(3), y=np.array([0, 1])), "mine.npz", "2",
    ),
    "data: an empty folder": (lambda folder: data.load(files.make_folder(folder / "pictures")), "pictures", "none"),
    "data: a class folder without images": (
        lambda folder: data.load(write(folder / "pictures/cat/notes.txt", "x").parents[1]), "cat", "no images",
    ),
    "data: pictures that are none": (
        lambda folder: (
            [write(folder / "d" / name, "x") for name in ("train/a/1.png", "train/b/1.png", "test/c/1.png")],
            data.load(folder / "d"),
        ), "FOLDER/d", "test/c/1.png",
    ),
    "data: the same folders twice": (
        lambda folder: (
            [write(folder / "d" / top / name / "1.png", "x") for top in ("raw", "augmented") for name in "ab"],
            data.load(folder / "d"),
        ), "FOLDER/d", "augmented, raw",
    ),
    "data: split with a label outside": (lambda _: split(given=torch.tensor([0, 1, 2, 1])), "given", "row 2"),
    "data: split of doubles": (lambda _: split(inputs=SOME.double()), "inputs", "float64"),
    "data: split of int32 labels": (lambda _: split(given=torch.zeros(4, dtype=torch.int32)), "given", "int32"),
    "data: batch size": (lambda _: Batches(split(), 0), "batch_size", "0"),
    "data: mean without std": (lambda _: Augment(mean=(0.5,)), "mean and std", "1 and 0"),
    "data: rotation": (lambda _: Augment(rotation=270), "rotation", "270"),
    "data: jitter": (lambda _: Augment(jitter=(2, 0, 0, 0)), "jitter", "2"),
    "data: what cannot be fetched": (lambda folder: download.fetch("clothing1m", folder), "clothing1m", "ask at"),
    "data: unknown to fetch": (lambda folder: download.fetch("cifar1000", folder), "'cifar1000'", "cifar100"),
    "data: address": (
        lambda folder: download.fetch("cifar10", folder, mirror="ftp://here"), "ftp://here", "https://",
    ),
    # recipes
    "recipe: unknown name": (lambda _: recipes.load("cifar11"), "'cifar11'", "cifar10"),
    "recipe: no such file": (lambda folder: recipes.load(folder / "none.toml"), "none.toml", "none.toml"),
    "recipe: unknown key": (lambda _: recipes.load("digits", {"train.epoch": 3}), "train.epoch", "'epochs'"),
    "recipe: a text for a number": (lambda _: recipes.load("digits", {"train.lr": "fast"}), "train.lr", "'fast'"),
    "recipe: negative": (lambda _: recipes.load("digits", {"train.lr": -1}), "train.lr", "-1"),
    "recipe: no table": (lambda _: recipes.load("digits", {"source.x": 1}), "'source'", "train.epochs"),
    "recipe: no TOML": (lambda folder: recipe(folder, "[train"), "mine.toml", "TOML"),
    "recipe: a missing part": (lambda folder: recipe(folder, 'source = "me"'), "mine.toml", "model"),
    "recipe: itself": (lambda folder: recipe(folder, 'extends = "mine.toml"'), "mine.toml", "extend"),
    "recipe: extends a number": (lambda folder: recipe(folder, "extends = 3"), "mine.toml", "3"),
    "recipe: unknown method": (lambda _: recipes.load("cifar10").method("jal-cee"), "'jal-cee'", "jal-ce"),
    "recipe: unknown model": (
        lambda _: models.build("cnn9", shape=(3, 32, 32), classes=10, generator=torch.Generator()), "'cnn9'", "cnn8",
    ),
    # training
    "train: labels of another length": (
        lambda _: trained(noisy=noise.corrupt([0, 1], "clean", num_classes=2, seed=1)), "digits", "2 labels",
    ),
    "train: unknown device": (lambda _: resolve_device("tpu", "fp32", torch.nn.Linear(1, 1)), "device", "'tpu'"),
    "train: unknown precision": (lambda _: resolve_device("cpu", "fp8", torch.nn.Linear(1, 1)), "precision", "'fp8'"),
    "train: precision of another device": (
        lambda _: resolve_device("cpu", "tf32", torch.nn.Linear(1, 1)),
        "tf32",
        "cpu",
    ),
    "train: unknown mode": (lambda _: trained(mode="quick"), "mode", "'quick'"),
    # theory
    "theory: weights of one class": (lambda _: theory.amse_condition([1.0], a=3), "weights", "(1,)"),
    "theory: negative weights": (lambda _: theory.amse_condition([0.5, -0.5], a=3), "weights", "-0.5"),
    "theory: words for weights": (lambda _: theory.smallest_a(["a", "b"]), "weights", "'a'"),
    "theory: a below 1": (lambda _: theory.amse_condition([0.6, 0.4], a=0.5), "a", "0.5"),
    "theory: beyond floating point": (lambda _: theory.amse_condition([0.6, 0.4], a=1e9, q=300), "a^(q-1)", "1e+09"),
    "theory: no bound": (lambda _: theory.excess_risk_bound(0.1, [0.5, 0.49, 0.01], a=2), "condition", "margin"),
    "theory: rows": (lambda _: theory.tolerance("ce", [[0.9, 0.2], [0.1, 0.8]]), "transition", "row 0"),
    "theory: no matrix": (lambda _: theory.tolerance("ce", [0.9, 0.1]), "transition", "(2,)"),
    "theory: classes": (lambda _: theory.is_symmetric("ce", num_classes=2.5), "num_classes", "2.5"),
    "theory: no loss": (lambda _: theory.is_asymmetric(print, [0.6, 0.4]), "per_class", "print"),
    "theory: ratio of a sum over labels": (lambda _: theory.asymmetry_ratio("mse"), "ratio", "is_asymmetric"),
    # records, grids, locks, figures
    "record: one bit": (
        lambda folder: record(folder, lambda raw: raw.replace(b"done", b"dome")), "record.json", "SHA-256",
    ),
    "record: cut off": (lambda folder: record(folder, lambda raw: raw[:100]), "record.json", "SHA-256"),
    "record: no folder": (lambda folder: records.read_folder(folder / "results"), "results", "sweep"),
    "grid: unknown": (lambda _: grid.load("table7"), "'table7'", "table"),
    "grid: unknown key": (lambda folder: grid_file(folder, 'method = ["ce"]'), "grid.toml", "'method'"),
    "grid: a missing list": (lambda folder: grid_file(folder, 'data = ["digits"]'), "grid.toml", "noise"),
    "grid: a word for a list": (lambda folder: grid_file(folder, 'data = "digits"'), "grid.toml", "'digits'"),
    "grid: no TOML": (lambda folder: grid_file(folder, "data = ["), "grid.toml", "TOML"),
    "grid: shard": (lambda _: Shard.parse("3/2"), "shard", "'3/2'"),
    "lock: not ours": (lambda folder: locked(folder, "{}"), "shard-1-of-1", "delete"),
    "lock: of another host": (
        lambda folder: locked(folder, '{"host": "far", "pid": 7, "start": "1", "boot": "b", "since": "noon"}'),
        "far", "process 7",
    ),
    "figure: another ending": (
        lambda folder: figure_style.save(figure_style.panels(1)[0], folder / "a.jpg"),
        "a.jpg", ".png",
    ),
    # files
    "file: exists": (
        lambda folder: files.write_atomic(write(folder / "old", "x"), "y", exist_ok=False), "old", "exists",
    ),
    "file: a file where a folder belongs": (
        lambda folder: files.write_atomic(write(folder / "old", "x") / "new", "y"), "old", "file of that name",
    ),
    "file: too large to read": (lambda folder: files.read(write(folder / "f", "xxxx"), at_most=2), "f", "4 bytes"),
    "file: a folder to read": (lambda folder: files.read(folder, at_most=2), "FOLDER", "folder"),
    "file: no room": (lambda folder: files.need_space(folder, 2**60), "FOLDER", "need"),
    # label issues, check_loss
    "issues: scores": (lambda _: issues(pred_probs=5 * np.eye(3)), "pred_probs", "5"),
    "issues: lengths": (lambda _: issues(given=[0, 1]), "given", "2 labels"),
    "issues: a label outside": (lambda _: issues(given=[0, 1, 3]), "given", "3 in row 2"),
    "issues: rows": (lambda _: issues(pred_probs=np.full((3, 3), 0.2)), "pred_probs", "0.6"),
    "issues: NaN": (lambda _: issues(pred_probs=np.full((3, 3), np.nan)), "pred_probs", "row 0"),
    "check_loss: unknown check": (
        lambda _: testing.check_loss(CE(), skip=["mean_is_average"]), "check", "'mean_is_average'",
    ),
}  # fmt: skip

# Losses refuse a call in the words of `torch.nn.functional.cross_entropy`, whatever these are in this torch.
AS_TORCH: dict[str, tuple[torch.Tensor, torch.Tensor, dict[str, Any]]] = {
    "label too large": (SCORES, torch.tensor([0, 1, 3, 0]), {}),
    "label -1": (SCORES, torch.tensor([0, -1, 2, 0]), {}),
    "labels of another length": (SCORES, LABELS[:3], {}),
    "labels of another shape": (SCORES, LABELS[:, None], {}),
    "soft labels of another shape": (SCORES, torch.zeros(4, 2), {}),
    "scores without classes": (torch.tensor(1.0), torch.tensor(0), {}),
    "weight of another length": (SCORES, LABELS, {"weight": torch.ones(2)}),
    "unknown reduction": (SCORES, LABELS, {"reduction": "avg"}),
    "smoothing above 1": (SCORES, LABELS, {"label_smoothing": 1.5}),
    "ignore_index with soft labels": (SCORES, torch.full((4, 3), 1 / 3), {"ignore_index": 0}),
}
