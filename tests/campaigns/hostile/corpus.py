"""Hand-made malicious files: each is written into a folder of its own and must be refused by the reader it names."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from campaigns.hostile.pickles import CANARY, Evil, batches, programs


@dataclass(frozen=True)
class Case:
    """A folder with one malicious file in it, and what is asked to read it."""

    name: str
    reader: str  # see probe.py
    folder: str


def _batch(count: int = 4) -> dict:
    return {"data": np.zeros((count, 3072), np.uint8), "labels": [0] * count}


def good_cifar(folder: Path, count: int = 4) -> Path:
    """A small sound CIFAR-10, to be spoilt in one place."""
    home = folder / "cifar-10-batches-py"
    home.mkdir(parents=True, exist_ok=True)
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        (home / name).write_bytes(pickle.dumps(_batch(count), protocol=2))
    (home / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}, protocol=2))
    return home


def torch_file(path: Path, program: bytes, names: Sequence[str] = ("archive/data.pkl",), packing: int = 0) -> None:
    """A `.pt` file around a pickle."""
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name in names:
            archive.writestr(name, program)
        archive.writestr("archive/version", "3\n")


def _tar_member(name: str, content: bytes = b"", **changes: object) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in changes.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512)


def tars() -> Iterator[tuple[str, bytes]]:
    """CIFAR archives."""
    home = "cifar-10-batches-py"
    batch = pickle.dumps(_batch(), 2)
    meta = pickle.dumps({"label_names": list("abcdefghij")}, 2)
    sound = b"".join(_tar_member(f"{home}/data_batch_{i}", batch) for i in range(2, 6))
    sound += _tar_member(f"{home}/test_batch", batch) + _tar_member(f"{home}/batches.meta", meta)
    first = f"{home}/data_batch_1"
    end = bytes(1024)
    yield "a symbolic link", _tar_member(first, type=tarfile.SYMTYPE, linkname="/etc/passwd") + sound + end
    yield "a hard link", _tar_member(first, type=tarfile.LNKTYPE, linkname="/etc/passwd") + sound + end
    yield "a device", _tar_member(first, type=tarfile.CHRTYPE, devmajor=1, devminor=5) + sound + end
    yield "a pipe", _tar_member(first, type=tarfile.FIFOTYPE) + sound + end
    yield "a way out", _tar_member(f"{home}/../../{CANARY}", batch) + sound + end
    yield "an absolute name", _tar_member(f"/tmp/{CANARY}", batch) + sound + end
    yield "a member twice", _tar_member(first, batch) * 2 + sound + end
    yield "a pickle that runs", _tar_member(first, pickle.dumps(Evil(), 2)) + sound + end
    yield "no end", _tar_member(first, batch) + sound[:-700]
    wrong = bytearray(_tar_member(first, batch) + sound + end)
    wrong[124:136] = b"77777777777\0"
    wrong[148:156] = b"%06o\0 " % (sum(wrong[:148]) + 8 * 32 + sum(wrong[156:512]))
    yield "a size of 8 GiB", bytes(wrong)
    wrong[124:136] = b"-0000000001\0"
    wrong[148:156] = b"%06o\0 " % (sum(wrong[:148]) + 8 * 32 + sum(wrong[156:512]))
    yield "a negative size", bytes(wrong)
    wrong[150] ^= 1
    yield "a wrong checksum", bytes(wrong)
    yield "another archive", _tar_member("readme.txt", b"hello") + end
    yield "no archive", b"<!DOCTYPE html><html>" + b" " * 2000


def gzip_bomb(start: bytes, zeros: int) -> bytes:
    """Zeros by the gigabyte in a file of a few MiB: after a full flush the same MiB packs to the same bytes."""
    packer = zlib.compressobj(9, wbits=31)
    head = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + (packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)) * (zeros >> 20)


def npy(header: str, content: bytes = b"") -> bytes:
    """An .npy file with this header."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + content


def _npy_header(descr: str, shape: str) -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n"


def arrays() -> Iterator[tuple[str, bytes]]:
    """Arrays for an .npz of the user's own."""
    yield "objects", npy(_npy_header("'|O'", "(1,)"), pickle.dumps([Evil()]))
    yield "a shape of 2^60", npy(_npy_header("'<f4'", f"({1 << 60}, 4)"))
    yield "a shape that overflows", npy(_npy_header("'<f4'", f"({1 << 32}, {1 << 32})"))
    yield "a header that computes", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (10**9**9,), }\n")
    yield "a header that calls", npy(f"__import__('os').system('touch {CANARY}')\n")
    yield "a header that nests", npy("(" * 9000)
    yield "records", npy(_npy_header("[('a', '<f4')]", "(4,)"), bytes(16))
    yield "dates", npy(_npy_header("'<M8[s]'", "(4, 1)"), bytes(32))
    yield "elements of 2 GiB", npy(_npy_header("'|V2147483647'", "(0,)"))
    yield "elements of no bytes", npy(_npy_header("'<U0'", "(99999999, 9)"))
    yield "a header of 4 GiB", b"\x93NUMPY\x02\x00\xff\xff\xff\xff"
    yield "nothing", b""
    yield (
        "numbers that are none",
        npy(_npy_header("'<f4'", "(4, 1)"), np.array([1, np.nan, np.inf, 1], "<f4").tobytes()),
    )


def tables() -> Iterator[tuple[str, bytes]]:
    """CSV files."""
    rows = "".join(f"{i},{i % 2}\n" for i in range(20))
    yield "a NUL", f"a,label\n{rows}1,\0\n".encode()
    yield "no UTF-8", f"a,label\n{rows}1,".encode() + b"\xff\xfe\n"
    yield "an open quote", f'a,label\n{rows}1,"0\n'.encode()
    yield "a field of a megabyte", f"a,label\n{rows}{'1' * (1 << 20)},0\n".encode()
    yield "a row too short", f"a,label\n{rows}1\n".encode()
    yield "a row too long", f"a,label\n{rows}1,0,0\n".encode()
    yield "two label columns", f"a,class,label\n{rows.replace(',', ',1,')}1,0,0\n".encode()
    yield "an endless number", f"a,label\n{rows}{'9' * 4000},0\n".encode()
    yield "two delimiters", b"a,label;b\n" + b"1,0;2\n2,1;3\n" * 9
    yield "no header", rows.encode()
    yield "no label at all", b"a,label\n" + b"1,\n" * 20
    yield "no label column", b"a,b\n" + "".join(f"{i / 7},{i / 3}\n" for i in range(20)).encode()
    yield "a formula", f"a,label\n{rows}=cmd(),0\n".encode()
    for text in ("inf", "-inf", "1e999", "1_000", "1\u0661", "0x10", "1;5", "1,5,5"):
        cell = f'"{text}"' if "," in text else text
        yield f"the number {text!r}", f"a,label\n{rows}{cell},0\n".encode()
    for text in ("\u202ecat", "c\x07t", "c\x1bt", "\u2028cat", "c\x7ft"):
        yield f"the label {text!r}", f"a,label\n{rows}1,{text}\n".encode()
    yield "the split 'north'", b"a,label,split\n1,0,train\n2,1,north\n"
    yield "no training part", b"a,label,split\n1,0,test\n2,1,val\n"
    for text in (
        "../secret.png",
        "/etc/passwd",
        "a/../../secret.png",
        "..\\secret.png",
        "x" * 300 + ".png",
        "missing.png",
    ):
        yield f"the path {text[:20]}", f"path,label\n{text},0\n{text},1\n".encode()
    yield "no rows", b"a,label\n"
    yield "nothing", b""


def png(width: int, height: int, *, content: bytes | None = None) -> bytes:
    """A PNG whose header says this size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    pixels = zlib.compress(bytes(1000)) if content is None else content
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def pictures() -> Iterator[tuple[str, bytes]]:
    """Files that end in .png or .jpg."""
    from PIL import Image

    sound = io.BytesIO()
    Image.new("RGB", (64, 64), (10, 200, 30)).save(sound, "JPEG")
    yield "50,000 x 50,000 pixels", png(50_000, 50_000)
    yield "2^31 pixels wide", png((1 << 31) - 1, 1)
    yield "no pixels", png(0, 0)
    yield "a flate bomb", png(7000, 7000, content=gzip_bomb(b"", 64 << 20)[10:])
    yield "half a JPEG", sound.getvalue()[:200]
    yield "a script for another program", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(canary) run\n"
    yield "a vector image", b'<svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>'
    yield "a TIFF", b"II*\0\x08\0\0\0\0\0"
    yield "a pickle", pickle.dumps(Evil(), 2)
    yield "nothing", b""
    yield "a web page", b"<!DOCTYPE html><html></html>"


def idx_files() -> Iterator[tuple[str, bytes]]:
    """Fashion-MNIST training images."""
    start = bytes([0, 0, 8, 3])
    yield "4 billion images", start + struct.pack(">III", (1 << 32) - 1, 28, 28) + bytes(784)
    yield "dimensions that overflow", start + struct.pack(">III", 1 << 31, 1 << 31, 1 << 31)
    yield "one byte too few", start + struct.pack(">III", 1, 28, 28) + bytes(783)
    yield "one byte too many", start + struct.pack(">III", 1, 28, 28) + bytes(785)
    yield "no images", start + struct.pack(">III", 0, 28, 28)
    yield "images of 1 x 784", start + struct.pack(">III", 4, 1, 784) + bytes(4 * 784)
    yield "floats", bytes([0, 0, 13, 3]) + struct.pack(">III", 1, 28, 28) + bytes(784 * 4)
    yield "half a header", start + b"\0\0"
    yield "a bomb", gzip_bomb(start + struct.pack(">III", 60_000, 28, 28), 4 << 30)
    yield "half a gzip", gzip.compress(start + struct.pack(">III", 1, 28, 28) + bytes(range(256)) * 3)[:60]


def label_texts() -> Iterator[tuple[str, bytes]]:
    """Instance-dependent labels as JSON."""
    yield "deep JSON", b"[" * 200_000
    yield "a number of a million digits", b"[" + b"9" * 1_000_000 + b"]"
    yield "NaN", json.dumps([float("nan")] * 50_000).encode()
    yield "texts", json.dumps(["1"] * 50_000).encode()
    yield "true", json.dumps([True] * 50_000).encode()
    yield "too few", json.dumps([1] * 49_999).encode()
    yield "the label 10", json.dumps([10] * 50_000).encode()
    yield "the label -100", json.dumps([-100] * 50_000).encode()
    yield "one-hot", json.dumps([[0, 1]] * 50_000).encode()
    yield "a dict", b'{"a": 1}'
    yield "a word", b"null"
    yield "a page", b"<html>404</html>"


def write_corpus(root: Path) -> list[Case]:
    """Write all of it; returns what to read with what."""
    cases: list[Case] = []

    def case(name: str, reader: str, fill: Callable[[Path], object]) -> None:
        folder = root / f"{len(cases):03}"
        folder.mkdir(parents=True)
        fill(folder)
        cases.append(Case(f"{reader}: {name}", reader, str(folder)))

    for name, program in programs():
        case(name, "cifar10", lambda f, p=program: (good_cifar(f) / "data_batch_1").write_bytes(p))
        case(name, "human", lambda f, p=program: torch_file(f / "CIFAR-10_human.pt", p))
    for name, program in batches():
        case(name, "cifar10", lambda f, p=program: (good_cifar(f) / "data_batch_1").write_bytes(p))
    for name, content in tars():
        case(name, "cifar10", lambda f, c=content: (f / "cifar-10-python.tar.gz").write_bytes(gzip.compress(c, 1)))
    bomb = gzip_bomb(_tar_member("bomb", size=1 << 32), 4 << 30)
    case("a tar bomb", "cifar10", lambda f: (f / "cifar-10-python.tar.gz").write_bytes(bomb))
    names = pickle.dumps({"label_names": [1] * 10}, 2)
    case("names that are numbers", "cifar10", lambda f: (good_cifar(f) / "batches.meta").write_bytes(names))
    case("a pipe for a batch", "cifar10", lambda f: os.mkfifo(_without_batch(f)))
    case("a device for a batch", "cifar10", lambda f: _without_batch(f).symlink_to("/dev/zero"))
    case("a batch without an end", "cifar10", lambda f: os.truncate(good_cifar(f) / "data_batch_1", 1 << 36))

    human, pickled = "CIFAR-10_human.pt", pickle.dumps({"clean_label": [0]}, 2)
    case("a zip bomb", "human", lambda f: torch_file(f / human, bytes(80 << 20), packing=zipfile.ZIP_DEFLATED))
    case("two pickles", "human", lambda f: torch_file(f / human, pickled, ["a/data.pkl", "b/data.pkl"]))
    case("no pickle", "human", lambda f: torch_file(f / human, pickled, ["a/other"]))
    case("half a zip", "human", lambda f: (torch_file(f / human, pickled), os.truncate(f / human, 150)))
    case("a web page", "human", lambda f: (f / human).write_bytes(b"<!DOCTYPE html>"))
    objects = np.array({"a": Evil()}, dtype=object)
    case("objects in a .npy", "human", lambda f: np.save(f / "CIFAR-10_human.npy", objects))
    keys = ("clean_label", "aggre_label", "random_label1", "random_label2", "random_label3", "worse_label")
    zeros = dict.fromkeys(keys, np.zeros(50_000, np.uint8))
    case("labels that are not the data's", "human", lambda f: np.savez(f / "cifar10n_labels.npz", **zeros))
    for name, content in label_texts():
        case(name, "dependent", lambda f, c=content: (f / "cifar10_dependent_0.2.json").write_bytes(c))
    case("a bomb", "dependent", lambda f: (f / "cifar10_dependent_0.2.json.gz").write_bytes(gzip_bomb(b"[", 4 << 30)))
    for name, content in idx_files():
        case(name, "fashion-mnist", lambda f, c=content: _idx(f, c))
    for name, content in arrays():
        case(name, "own.npz", lambda f, c=content: _npz(f / "own.npz", {"x.npy": c}))
    case("a bomb", "own.npz", lambda f: _npz(f / "own.npz", {"x.npy": bytes(128 << 20)}))
    case("a name that leads out", "own.npz", lambda f: _npz(f / "own.npz", {f"../{CANARY}": b"x"}))
    case("a file twice", "own.npz", _twice)
    for name, content in tables():
        case(name, "own.csv", lambda f, c=content: (f / "own.csv").write_bytes(c))
    for name, content in pictures():
        case(name, "folder", lambda f, c=content: _class_folder(f, c))
    case("a link out of the root", "folder", lambda f: (_class_folder(f) / "x.png").symlink_to("/etc/passwd"))
    case("a class that leads to all of the disk", "folder", lambda f: (_class_folder(f) / ".." / "c").symlink_to("/"))
    case("a class with a line feed", "folder", lambda f: (_class_folder(f) / ".." / "b\nc").mkdir())
    case("a class that turns the text", "folder", lambda f: (_class_folder(f) / ".." / "b\u202ec").mkdir())
    lines = {
        "a way out": "../x.jpg 0",
        "an absolute path": "/etc/passwd 0",
        "no label": "google/x.jpg",
        "a label of letters": "google/x.jpg zero",
        "a missing image": "google/x.jpg 0",
        "a name of a kilobyte": "x" * 1000 + ".jpg 0",
        "a negative label": "google/x.jpg -1",
        "nothing": "",
    }
    for name, line in lines.items():
        case(name, "webvision", lambda f, t=line: (f / "webvision_mini_train.txt").write_text(t + "\n"))
        case(name, "clothing1m", lambda f, t=line: _clothing(f, t))
    return cases


def _without_batch(folder: Path) -> Path:
    batch = good_cifar(folder) / "data_batch_1"
    batch.unlink()
    return batch


def _idx(folder: Path, content: bytes) -> None:
    packed = content[:2] == b"\x1f\x8b"
    (folder / ("train-images-idx3-ubyte" + (".gz" if packed else ""))).write_bytes(content)
    for name in ("train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"):
        (folder / name).write_bytes(bytes([0, 0, 8, 1]) + struct.pack(">I", 1) + b"\0")
    (folder / "t10k-images-idx3-ubyte").write_bytes(bytes([0, 0, 8, 3]) + struct.pack(">III", 1, 28, 28) + bytes(784))


def _npz(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {"y.npy": npy(_npy_header("'<i8'", "(4,)"), bytes(32)), **members}.items():
            archive.writestr(name, content)


def _twice(folder: Path) -> None:
    import warnings

    with warnings.catch_warnings(), zipfile.ZipFile(folder / "own.npz", "w") as archive:
        warnings.simplefilter("ignore")
        for _ in range(2):
            archive.writestr("x.npy", npy(_npy_header("'<f4'", "(4, 1)"), bytes(16)))


def _class_folder(folder: Path, content: bytes | None = None) -> Path:
    from PIL import Image

    for name in "ab":
        (folder / name).mkdir()
        for i in range(6):
            Image.new("RGB", (8, 8), (i, 0, 0)).save(folder / name / f"{i}.png")
    if content is not None:
        (folder / "a" / "evil.jpg").write_bytes(content)
    return folder / "a"


def _clothing(folder: Path, line: str) -> None:
    name = line.rpartition(" ")[0] or line
    for part in ("noisy_train", "clean_test"):
        (folder / f"{part}_key_list.txt").write_text(name + "\n")
    for kind in ("noisy", "clean"):
        (folder / f"{kind}_label_kv.txt").write_text(line + "\n")
