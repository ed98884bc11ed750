"""Data sets by name: what is read is what is in the files, in whichever form they lie there."""

from __future__ import annotations

import gzip
import pickle
import re
import shutil
import tarfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from campaigns.hostile.corpus import good_cifar
from noiseproof import data
from noiseproof.data.dataset import Data, Split, fingerprint, stratified
from noiseproof.errors import DataError, DataMissingError, InputError, UnknownNameError

FASHION = Path("/usr/share/datasets/fashion-mnist")

# Splits


def test_the_digits_are_scikit_learns_split_once_and_for_all():
    from sklearn.datasets import load_digits

    first, again = data.load("digits"), data.load("digits()")
    assert first.fingerprint == again.fingerprint
    assert (len(first.train), len(first.test), first.num_classes) == (1438, 359, 10)
    assert first.classes == tuple("0123456789")
    assert first.train.inputs.min() == 0
    assert first.train.inputs.max() == 1
    whole = load_digits().data / 16
    held = torch.cat([first.train.inputs, first.test.inputs]).numpy()
    assert sorted(map(bytes, held)) == sorted(map(bytes, whole.astype(np.float32)))
    per_class = np.bincount(load_digits().target)
    assert first.test.given.bincount().tolist() == [round(0.2 * n) for n in per_class.tolist()]


def test_a_held_out_part_has_its_share_of_every_class_and_touches_nothing_else():
    labels = np.repeat(np.arange(7), [10, 20, 30, 40, 5, 1, 100])
    stay, out = stratified(labels, 0.2)
    assert sorted([*stay, *out]) == list(range(len(labels)))
    assert np.bincount(labels[out], minlength=7).tolist() == [2, 4, 6, 8, 1, 0, 20]
    assert list(stay) == sorted(stay)


ZEROS = torch.zeros(3, dtype=torch.int64)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((torch.zeros(3, 2), ZEROS.int(), None, ("a", "b")), "given labels must be int64 (3,), got int32 (3,)"),
        ((torch.zeros(3, 2), ZEROS[:2], None, ("a", "b")), "given labels must be int64 (3,), got int64 (2,)"),
        (
            (torch.zeros(3, 2), ZEROS + 2, None, ("a", "b")),
            "must lie in 0..1; row 0: 2, row 1: 2, row 2: 2",
        ),
        ((torch.zeros(3, 2), ZEROS, ZEROS - 1, ("a", "b")), "clean labels must lie in 0..1; row 0: -1"),
        ((torch.zeros(3, 2).double(), ZEROS, None, ("a", "b")), "got float64 (3, 2)"),
        ((torch.zeros(3, 1, 2, 2), ZEROS, None, ("a", "b")), "got float32 (3, 1, 2, 2)"),
        ((torch.zeros(3, 2), ZEROS, None, ()), "a split needs at least one class"),
    ],
)
def test_a_split_whose_parts_do_not_fit_is_refused(parts, words):
    with pytest.raises(DataError, match=re.escape(words)):
        Split(*parts)


def test_a_fingerprint_sees_every_part_of_a_split():
    base = Split(torch.arange(6.0).reshape(3, 2), ZEROS, ZEROS, ("a", "b"))
    others = [
        Split(base.inputs + 1, ZEROS, ZEROS, base.classes),
        Split(base.inputs, ZEROS + 1, ZEROS, base.classes),
        Split(base.inputs, ZEROS, ZEROS + 1, base.classes),
        Split(base.inputs, ZEROS, None, base.classes),
        Split(base.inputs, ZEROS, ZEROS, ("a", "c")),
        Split(base.inputs.reshape(3, 2).flip(0), ZEROS, ZEROS, base.classes),
    ]
    assert len({fingerprint(split) for split in [base, *others]}) == 7
    assert fingerprint(base) == fingerprint(base.take([0, 1, 2]))


# Names


def test_an_unknown_name_says_the_nearest_and_a_missing_path_says_so(tmp_path):
    with pytest.raises(UnknownNameError, match="no data set named 'cifar01'; did you mean 'cifar10'"):
        data.load("cifar01")
    with pytest.raises(DataMissingError, match=r"no file or folder 'none\.csv'"):
        data.load('file("none.csv", label=breed)')
    with pytest.raises(DataMissingError, match="no file or folder"):
        data.load("./nothing.csv")
    with pytest.raises(DataMissingError, match="noiseproof data fetch cifar10 --root"):
        data.load("cifar10", root=tmp_path)
    with pytest.raises(InputError, match="cifar10 has no parameter"):
        data.load("cifar10(size=3)", root=tmp_path)
    (tmp_path / "odd.xyz").write_text("x")
    with pytest.raises(DataError, match=r"own data is a folder of class folders, a table"):
        data.load(tmp_path / "odd.xyz")


def test_every_registered_data_set_says_its_size_and_where_it_comes_from():
    for entry in data.DATASETS:
        assert {"classes", "train", "test", "source"} <= entry.claims.keys()
        assert len(entry.summary) > 20


# CIFAR


BATCHES = [f"data_batch_{i}" for i in range(1, 6)]


def unsafe(path: Path) -> dict[str, object]:
    """What Python's own reader makes of a trusted file."""
    with path.open("rb") as file:
        return pickle.load(file, encoding="latin1")


@pytest.mark.parametrize(
    ("name", "folder", "train", "test", "labels", "names"),
    [
        (
            "cifar10",
            "cifar-10-batches-py",
            BATCHES,
            "test_batch",
            "labels",
            "label_names",
        ),
        ("cifar100", "cifar-100-python", ["train"], "test", "fine_labels", "fine_label_names"),
    ],
)
def test_real_cifar_reads_as_pickle_reads_it(cifar_root, name, folder, train, test, labels, names):
    started = time.process_time()
    found = data.load(name, root=cifar_root)
    print(f"{name}: {time.process_time() - started:.2f} s")
    for split, files in ((found.train, train), (found.test, [test])):
        batches = [unsafe(cifar_root / folder / file) for file in files]
        pixels = np.concatenate([batch["data"] for batch in batches])
        assert torch.equal(split.inputs, torch.from_numpy(pixels.reshape(-1, 3, 32, 32)))
        assert split.given.tolist() == [label for batch in batches for label in batch[labels]]
        assert torch.equal(split.given, split.clean)
    assert list(found.classes) == unsafe(cifar_root / folder / ("batches.meta" if name == "cifar10" else "meta"))[names]
    assert (len(found.train), len(found.test)) == (50_000, 10_000)


def test_cifar_is_found_as_folder_inside_or_itself_and_as_archive_plain_or_packed(tmp_path):
    home = good_cifar(tmp_path, 5)
    first = data.load("cifar10", root=tmp_path)
    assert data.load("cifar10", root=home).fingerprint == first.fingerprint
    for mode, format in (("w:gz", tarfile.GNU_FORMAT), ("w", tarfile.PAX_FORMAT), ("w:gz", tarfile.USTAR_FORMAT)):
        folder = tmp_path / f"{mode}{format}".replace(":", "")
        folder.mkdir()
        archive = folder / "cifar-10-python.tar.gz"
        with tarfile.open(archive, mode, format=format) as tar:
            tar.add(home, "cifar-10-batches-py")
        assert data.load("cifar10", root=folder).fingerprint == first.fingerprint
        assert data.load("cifar10", root=archive).fingerprint == first.fingerprint
    assert "not the official cifar10 files" in first.notes[0]
    assert "25 training images, the official number is 50,000" in first.notes[1]


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("key", [str, str.encode])
def test_cifar_written_again_by_newer_pythons_is_the_same(tmp_path, protocol, key):
    home = good_cifar(tmp_path)
    before = data.load("cifar10", root=tmp_path)
    for path in home.iterdir():
        if path.name != "batches.meta":
            batch = {key(name): value for name, value in pickle.loads(path.read_bytes()).items()}
            batch[key("labels")] = np.array(batch[key("labels")])
            batch[key("data")] = np.asfortranarray(batch[key("data")])
            path.write_bytes(pickle.dumps(batch, protocol))
    assert data.load("cifar10", root=tmp_path).fingerprint == before.fingerprint


def test_a_missing_batch_is_named(tmp_path):
    (good_cifar(tmp_path) / "data_batch_3").unlink()
    with pytest.raises(DataMissingError, match="data_batch_3: no such file"):
        data.load("cifar10", root=tmp_path)


# Published labels


def test_published_labels_read_as_torch_reads_them(real_data):
    for name, file in (("cifar10", "CIFAR-10_human.pt"), ("cifar100", "CIFAR-100_human.pt")):
        started = time.process_time()
        found = data.published_labels(name, root=real_data)
        print(f"{file}: {time.process_time() - started:.2f} s")
        trusted = torch.load(real_data / "cifar-n" / file, weights_only=False)
        for key in found.keys() & trusted.keys():
            assert np.array_equal(found[key], trusted[key])
            assert found[key].dtype == np.int64


def test_published_labels_have_the_published_noise(real_data):
    ten = data.published_labels("cifar10", root=real_data)
    hundred = data.published_labels("cifar100", root=real_data)
    flipped = {key: int((labels != ten["clean_label"]).sum()) for key, labels in ten.items()}
    # counted by the authors of CIFAR-N: 9.01, 17.23, 18.12, 17.64 and 40.21 %
    assert [flipped[key] for key in ("aggre", "rand1", "rand2", "rand3", "worst")] == [4505, 8617, 9061, 8820, 20104]
    assert [flipped[f"instance-{rate}"] for rate in ("0.2", "0.4", "0.6")] == [10_000, 20_000, 30_000]
    assert int((hundred["noisy"] != hundred["clean_label"]).sum()) == 20_100


def test_published_labels_are_the_same_in_every_form(real_data, tmp_path):
    best = data.published_labels("cifar10", root=real_data)
    trusted = torch.load(real_data / "cifar-n" / "CIFAR-10_human.pt", weights_only=False)

    for form in ("npz", "npy", "json"):
        folder = tmp_path / form
        folder.mkdir()
        if form == "npz":
            shutil.copy(real_data / "cifar-n" / "cifar10n_labels.npz", folder)
            shutil.copy(real_data / "instance-dependent" / "jal_dependent.npz", folder)
        elif form == "npy":
            np.save(folder / "CIFAR-10_human.npy", np.array(trusted, dtype=object), allow_pickle=True)
        else:
            for rate in ("0.2", "0.4", "0.6"):
                packed = (real_data / "instance-dependent" / f"cifar10_dependent_{rate}.json.gz").read_bytes()
                (folder / f"cifar10_dependent_{rate}.json").write_bytes(gzip.decompress(packed))
        found = data.published_labels("cifar10", root=folder)
        assert found
        assert all(np.array_equal(found[key], best[key]) for key in found)
    with pytest.raises(DataMissingError, match="noiseproof data fetch cifar100n"):
        data.published_labels("cifar100", root=tmp_path / "npz" / "nowhere")
    with pytest.raises(InputError, match="published labels exist for cifar10 and cifar100, not for digits"):
        data.published_labels("digits")


def test_labels_in_another_order_than_the_data_are_refused(real_data, tmp_path):
    trusted = torch.load(real_data / "cifar-n" / "CIFAR-10_human.pt", weights_only=False)
    order = np.random.default_rng(0).permutation(50_000)
    shuffled = {key: value[order] for key, value in trusted.items()}
    np.save(tmp_path / "CIFAR-10_human_ordered.npy", np.array(shuffled, dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"not the training labels of cifar10 in their official order; .* TensorFlow"):
        data.published_labels("cifar10", root=tmp_path)


# MNIST's format


def read_idx(path: Path, header: int) -> np.ndarray:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return np.frombuffer(content, np.uint8, offset=header)


def test_fashion_mnist_is_found_by_itself_and_reads_byte_for_byte(tmp_path):
    if not FASHION.is_dir():
        pytest.skip("Debian's dataset-fashion-mnist is not installed")
    found = data.load("fashion-mnist", root=tmp_path)
    assert found.notes == ()
    for split, part, count in ((found.train, "train", 60_000), (found.test, "t10k", 10_000)):
        pixels = read_idx(FASHION / f"{part}-images-idx3-ubyte.gz", 16).reshape(count, 1, 28, 28)
        assert np.array_equal(split.inputs.numpy(), pixels)
        assert np.array_equal(split.given.numpy(), read_idx(FASHION / f"{part}-labels-idx1-ubyte.gz", 8))
        assert split.given.bincount().tolist() == [count // 10] * 10
    assert found.classes[9] == "Ankle boot"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("folder", ["mnist", "MNIST/raw", "."])
def test_mnist_files_lie_plain_or_packed_in_any_of_the_usual_places(tmp_path, packed, folder):
    home = tmp_path / folder
    home.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)
    for part in ("train", "t10k"):
        images = bytes([0, 0, 8, 3]) + np.array([6, 28, 28], ">u4").tobytes() + pixels.tobytes()
        labels = bytes([0, 0, 8, 1]) + np.array([6], ">u4").tobytes() + bytes([3, 1, 4, 1, 5, 9])
        for name, content in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            (home / (name + ".gz" * packed)).write_bytes(gzip.compress(content) if packed else content)
    found = data.load("mnist", root=tmp_path)
    assert np.array_equal(found.test.inputs[:, 0].numpy(), pixels)
    assert found.train.given.tolist() == [3, 1, 4, 1, 5, 9]
    assert "6 train images, the official number is 60,000" in found.notes


# Lists of images


def picture(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def names(split: Split, root: Path) -> list[str]:
    assert isinstance(split.inputs, tuple)
    return [path.relative_to(root).as_posix() for path in split.inputs]


def test_webvision_reads_its_own_lists_and_keeps_the_first_classes(tmp_path):
    train = [f"google/q{label:04}/{i}.jpg {label}" for i, label in enumerate([0, 0, 49, 50, 999])]
    for line in train:
        picture(tmp_path / line.split()[0])
    for i in range(4):
        picture(tmp_path / "val_images_256" / f"val00000{i}.jpg")
    (tmp_path / "info").mkdir()
    (tmp_path / "info" / "train_filelist_google.txt").write_text("\n".join(train) + "\n")
    (tmp_path / "info" / "val_filelist.txt").write_text("".join(f"val00000{i}.jpg {i * 20}\n" for i in range(4)))
    (tmp_path / "info" / "synsets.txt").write_text("".join(f"n{i:08} thing {i}, of a kind\n" for i in range(1000)))
    found = data.load("webvision", root=tmp_path)
    assert found.train.given.tolist() == [0, 0, 49]
    assert names(found.test, tmp_path) == [f"val_images_256/val00000{i}.jpg" for i in range(3)]
    assert found.test.given.tolist() == [0, 20, 40]
    assert found.classes[:2] == ("thing 0", "thing 1")
    assert found.num_classes == 50
    assert found.notes == ("3 training images, mini-WebVision has 65,944",)
    assert data.load("webvision(classes=1000)", root=tmp_path).train.given.tolist() == [0, 0, 49, 50, 999]
    assert found.train.clean is None


@pytest.mark.parametrize("flat", [True, False])
def test_imagenets_validation_images_make_a_second_test_split(tmp_path, flat):
    (tmp_path / "webvision_mini_train.txt").write_text("google/a.jpg 0\ngoogle/b.jpg 1\n")
    with gzip.open(tmp_path / "webvision_mini_val.txt.gz", "wt") as file:
        file.write("webvision_val/val1.jpg 1\n")
    for name in ("google/a.jpg", "google/b.jpg", "webvision_val/val1.jpg"):
        picture(tmp_path / name)
    if flat:
        (tmp_path / "imagenet_val.txt").write_text("ILSVRC2012_val_00000018.JPEG 1\nILSVRC2012_val_00000025.JPEG 0\n")
        for name in ("18", "25"):
            picture(tmp_path / "imagenet" / f"ILSVRC2012_val_000000{name}.JPEG")
    else:
        for number, name in (("n02", "18"), ("n01", "25")):
            picture(tmp_path / "val" / number / f"ILSVRC2012_val_000000{name}.JPEG")
    found = data.load("webvision(classes=2)", root=tmp_path)
    second = found.also["ilsvrc12"]
    labels = {path.name[-7:-5]: label for path, label in zip(second.inputs, second.given.tolist(), strict=True)}
    assert labels == {"18": 1, "25": 0}


def test_the_real_webvision_lists_have_the_published_counts(real_data, tmp_path):
    from noiseproof.data.io.archives import read_text
    from noiseproof.data.readers.image_files import pictures

    for file, count in (("webvision_mini_train", 65_944), ("webvision_mini_val", 2_500), ("imagenet_val", 2_500)):
        found, labels = pictures(read_text(real_data / "webvision" / f"{file}.txt.gz", 1 << 26), file)
        assert (len(found), len(set(found)), sorted(set(labels))) == (count, count, list(range(50)))


def test_clothing1m_joins_its_key_lists_with_its_labels(tmp_path):
    notes = tmp_path / "annotations"
    notes.mkdir()
    for i in range(6):
        picture(tmp_path / "images" / "0" / f"{i}.jpg")
    (notes / "noisy_train_key_list.txt").write_text("images/0/2.jpg\nimages/0/0.jpg\n")
    (notes / "noisy_label_kv.txt").write_text("".join(f"images/0/{i}.jpg {13 - i}\n" for i in range(6)))
    (notes / "clean_test_key_list.txt").write_text("images/0/5.jpg\n")
    (notes / "clean_label_kv.txt").write_text("images/0/5.jpg 0\n")
    found = data.load("clothing1m", root=tmp_path)
    assert names(found.train, tmp_path) == ["images/0/2.jpg", "images/0/0.jpg"]
    assert found.train.given.tolist() == [11, 13]
    assert (found.num_classes, found.test.given.tolist()) == (14, [0])
    assert "2 images in noisy_train, the official number is 1,000,000" in found.notes
    (notes / "clean_label_kv.txt").write_text("images/0/4.jpg 0\n")
    with pytest.raises(DataError, match=r"no label for 1 images, such as images/0/5.jpg"):
        data.load("clothing1m", root=tmp_path)


def test_links_are_followed_and_those_that_lead_out_are_said(tmp_path):
    root, other = tmp_path / "root", tmp_path / "other"
    for i in range(5):
        picture(root / "store" / f"{i}.jpg", i)
        picture(other / f"{i}.jpg", i)
    for name in "ab":
        (root / "set" / name).mkdir(parents=True)
    for i in range(5):
        (root / "set" / "a" / f"{i}.jpg").symlink_to(other / f"{i}.jpg")
        picture(root / "set" / "b" / f"{i}.jpg")
    assert any("links that lead out of the folder are followed" in note for note in data.load(root / "set").notes)
    (root / "one.csv").write_text("path,label\n" + "".join(f"set/a/{i}.jpg,0\nset/b/{i}.jpg,1\n" for i in range(5)))
    assert len(data.load(root / "one.csv").everything()) == 10
    for i in range(5):
        (root / "set" / "a" / f"{i}.jpg").unlink()
        (root / "set" / "a" / f"{i}.jpg").symlink_to(root / "store" / f"{i}.jpg")
    assert isinstance(data.load(root / "one.csv"), Data)


def test_a_zip_that_hides_its_size_is_not_believed(tmp_path):
    with zipfile.ZipFile(tmp_path / "CIFAR-10_human.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1 << 20))
    content = bytearray((tmp_path / "CIFAR-10_human.pt").read_bytes())
    at = content.rindex(b"PK\1\2") + 24
    content[at : at + 4] = (100).to_bytes(4, "little")
    (tmp_path / "CIFAR-10_human.pt").write_bytes(content)
    with pytest.raises(DataError, match="not a sound zip archive"):
        data.published_labels("cifar10", root=tmp_path)
