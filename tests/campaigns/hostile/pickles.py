"""Pickles that run, ask, count or nest more than a data file does, and batches that are data and still wrong."""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Iterator

import numpy as np

CANARY = "hostile-canary"


class Evil:
    """Unpickled by Python, this makes a file."""

    def __reduce__(self):
        return os.system, (f"touch {CANARY}",)


def programs() -> Iterator[tuple[str, bytes]]:
    """Pickles that do, or ask for, what a data file has no use for."""
    for protocol in range(6):
        yield f"reduce os.system, protocol {protocol}", pickle.dumps({"data": Evil()}, protocol)
    yield "global eval", b"\x80\x02cbuiltins\neval\nX\x05\0\0\0print\x85R."
    yield "global exec by python 2's name", b"\x80\x02c__builtin__\nexecfile\nX\x01\0\0\0x\x85R."
    yield "stack_global out of the memo", (b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94h\x00h\x01\x93\x8c\x04true\x85R.")
    yield "stack_global of no texts", b"\x80\x04K\x01K\x02\x93."
    yield "inst", b"(S'true'\nios\nsystem\n."
    yield "obj", b"(cos\nsystem\nS'true'\no."
    yield "newobj", b"\x80\x02csubprocess\nPopen\nX\x04\0\0\0true\x85\x81."
    yield "newobj_ex", b"\x80\x04csubprocess\nPopen\nX\x04\0\0\0true\x85}\x92."
    yield "newobj of an allowed name", b"\x80\x02cnumpy\nndarray\nK\x05\x85\x81."
    for code, size in ((b"\x82", 1), (b"\x83", 2), (b"\x84", 4)):
        yield f"ext{size}", b"\x80\x02" + code + b"\x01" * size + b"."
    yield "persid", b"Pstorage\n."
    yield "binpersid", b"\x80\x02X\x07\0\0\0storageQ."
    yield "build on a type", b"\x80\x02cnumpy\nndarray\n}X\x08\0\0\0__init__cnumpy\ndtype\nsb."
    yield "build on a dict", b"\x80\x02}}X\x01\0\0\0aK\x01sb."
    yield "call of a text", b"\x80\x02X\x02\0\0\0os)R."
    yield "call of what a call made", b"\x80\x02cnumpy\ndtype\nX\x02\0\0\0u1\x85R)R."
    yield "getattr", b"\x80\x02cbuiltins\ngetattr\ncnumpy\nndarray\nX\x05\0\0\0dumps\x86R."
    yield "a dotted name", b"\x80\x04\x8c\x05numpy\x8c\x12ndarray.__reduce__\x93."
    yield "a pickle in a pickle", b"\x80\x02c_pickle\nloads\n" + pickle.dumps(pickle.dumps(Evil()), 2)[2:-1] + b"\x85R."
    yield (
        "numpy's unsafe scalar",
        b"\x80\x02cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nX\x02\0\0\0O8\x85RU\x01x\x86R.",
    )
    yield "an array of objects", pickle.dumps({"data": np.array([Evil()], dtype=object), "labels": [0]}, 2)
    yield "bytearray8", b"\x80\x05\x96\x01\0\0\0\0\0\0\0x."
    yield "next_buffer", b"\x80\x05\x97."
    yield "a memo index of 4 billion, alone", b"\x80\x02Nr\xff\xff\xff\xff0."
    yield (
        "a memo of a billion by long_binput",
        b"\x80\x02" + b"".join(b"Nr" + struct.pack("<I", 1 << 30 | i) + b"0" for i in range(1000)),
    )
    yield "deep nesting", b"\x80\x02" + b"]" * 250_000 + b"a" * 249_999 + b"."
    yield "deep nesting of tuples", b"\x80\x02N" + b"\x85" * 500_000 + b"."
    yield "a million lists", b"\x80\x02" + b"]" * 1_000_000 + b"."
    yield "a text of 2^63 bytes", b"\x80\x04\x8e" + struct.pack("<Q", 1 << 63) + b"x."
    yield "a text of a negative length", b"\x80\x02T\xff\xff\xff\xffx."
    yield "a number of 2 billion bytes", b"\x80\x02\x8b\xff\xff\xff\x7f1."
    yield "an unhashable key", b"\x80\x02}]K\x01s."
    yield "a key that is a deep tuple", b"\x80\x02}N" + b"\x85" * 100_000 + b"K\x01s."
    yield "an end without a value", b"\x80\x02."
    yield "two values", b"\x80\x02NN."
    yield "no end", b"\x80\x02]q\x00"
    yield "pop from nothing", b"\x80\x02ta."
    yield "an unknown instruction", b"\x80\x02\xfe."


def _array(
    *, shape: bytes = b"K\x04M\x00\x0c\x86", kind: bytes = b"u1", order: bytes = b"|", raw: int = 4 * 3072
) -> bytes:
    """The program of a numpy array, with any of its parts spoilt."""
    return (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
        + shape
        + b"cnumpy\ndtype\nU"
        + bytes([len(kind)])
        + kind
        + b"K\x00K\x01\x87R(K\x03U\x01"
        + order
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + struct.pack("<i", raw)
        + bytes(raw)
        + b"tb"
    )


def batches() -> Iterator[tuple[str, bytes]]:
    """CIFAR batches that are plain data and still must not be taken."""

    def batch(data: bytes, labels: bytes = b"](K\x00K\x00K\x00K\x00e") -> bytes:
        return b"\x80\x02}(U\x04data" + data + b"U\x06labels" + labels + b"u."

    yield "rows that are not there", batch(_array(raw=3072))
    yield "a shape of 2^62", batch(_array(shape=b"\x8a\x08\0\0\0\0\0\0\0\x40M\x00\x0c\x86"))
    yield "a negative shape", batch(_array(shape=b"J\xff\xff\xff\xffM\x00\x0c\x86"))
    yield "a shape that is a list", batch(_array(shape=b"](K\x04M\x00\x0ce"))
    yield "an array of records", batch(_array(kind=b"V9"))
    yield "an array of objects without any", batch(_array(kind=b"O8"))
    yield "big-endian numbers", batch(_array(kind=b"i4", order=b">", raw=4 * 3072 * 4))
    yield "wide numbers", batch(_array(kind=b"i4", order=b"<", raw=4 * 3072 * 4))
    yield "labels that are a name", batch(_array(), b"cnumpy\ndtype\n")
    yield "labels that hold themselves", batch(_array(), b"]q\x05(h\x05h\x05h\x05h\x05e")
    laughs = b"]q\x00" + b"".join(b"](h%ch%ceq%c" % (i, i, i + 1) for i in range(60))
    yield "labels that double sixty times", batch(_array(), laughs)
    for text, label in {"minus one": b"J\xff\xff\xff\xff", "minus 100": b"J\x9c\xff\xff\xff", "ten": b"K\x0a"}.items():
        yield f"the label {text}", batch(_array(), b"](K\x00K\x00K\x00" + label + b"e")
    yield "the label 2^80", batch(_array(), b"](K\x00K\x00K\x00\x8a\x0b" + bytes(10) + b"\x01e")
    yield "the label NaN", batch(_array(), b"](K\x00K\x00K\x00G" + struct.pack(">d", float("nan")) + b"e")
    yield "the label 3.0", batch(_array(), b"](K\x00K\x00K\x00G" + struct.pack(">d", 3.0) + b"e")
    yield "the label True", batch(_array(), b"](K\x00K\x00K\x00\x88e")
    yield "one label too few", batch(_array(), b"](K\x00K\x00K\x00e")
    yield "no labels", b"\x80\x02}(U\x04data" + _array() + b"u."
