"""Pickles read without unpickling: a small machine on which nothing can be called.

A pickle is a program. Python's own reader runs it, and whatever it asks for is imported and called. This machine knows
the 40 instructions that lists, dicts, texts, numbers and numpy arrays are written with, in protocol 2 and later. Where
a program asks for a call, it notes the name and the arguments (`Made`); only the five names that numpy arrays need
are let through, and even these are never imported. `array` turns such a note into an array, from bytes that it has
measured itself.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from noiseproof.errors import DataError

__all__ = ["Made", "array", "read"]

_MOST_STEPS = 600_000  # the largest official file, the training half of CIFAR-100, takes 250,000

_ARRAY, _KIND, _TYPE, _ENCODE = "_reconstruct", "numpy.ndarray", "numpy.dtype", "_codecs.encode"
_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): _ARRAY,
    ("numpy._core.multiarray", "_reconstruct"): _ARRAY,
    ("numpy", "ndarray"): _KIND,
    ("numpy", "dtype"): _TYPE,
    ("_codecs", "encode"): _ENCODE,
}
_TYPES: dict[str, np.dtype[Any]] = {"u1": np.dtype("u1"), "i4": np.dtype("<i4"), "i8": np.dtype("<i8")}


class _Name(str):
    """A name that a program asked for and may have."""

    __slots__ = ()


@dataclass(eq=False, slots=True)
class Made:
    """Stand-in for the object that a call in the pickle would have made."""

    maker: str
    args: tuple[object, ...]
    state: object = None


def read(blob: bytes, where: str) -> object:
    """The lists, dicts, texts, bytes, numbers and `Made` notes that a pickle describes.

    Args:
        blob: the pickle.
        where: what it came from, for messages.

    Raises:
        DataError: it is damaged, too large, or asks for anything else.

    Example:
        >>> read(b"\\x80\\x02]q\\x00(K\\x01K\\x02e.", "here")
        [1, 2]
        >>> read(b"cposix\\nsystem\\n.", "here")
        Traceback (most recent call last):
        noiseproof.errors.DataError: here: refused, the file asks for posix.system; a data file has no use for that
    """
    return _Machine(blob, where).run()


def array(thing: object, where: str) -> npt.NDArray[Any]:
    """The numpy array that a note describes: uint8, int32 or int64, little-endian.

    Raises:
        DataError: the note describes something else, or its sizes do not fit together.
    """
    state = thing.state if isinstance(thing, Made) and thing.maker == _ARRAY else None
    if not isinstance(state, tuple) or len(state) not in (4, 5):
        raise DataError(f"{where}: a numpy array is expected, found {_kind(thing)}")
    shape, dtype, fortran, raw = state[-4:]
    if not (isinstance(shape, tuple) and len(shape) <= 8 and all(type(n) is int and n >= 0 for n in shape)):
        raise DataError(f"{where}: the array has no valid shape")
    element = _element(dtype)
    if element is None:
        raise DataError(f"{where}: an array must hold uint8, int32 or int64 numbers, little-endian")
    content = _content(raw)
    if content is None or prod(shape) * element.itemsize != len(content):
        raise DataError(f"{where}: the array of shape {shape} and its bytes do not fit together")
    return np.frombuffer(content, element).reshape(shape, order="F" if fortran is True else "C")


def _element(dtype: object) -> np.dtype[Any] | None:
    if not (isinstance(dtype, Made) and dtype.maker == _TYPE and dtype.args and isinstance(dtype.state, tuple)):
        return None
    name = _text(dtype.args[0])
    order = _text(dtype.state[1]) if len(dtype.state) > 1 else None
    fits = (order == "|") if name == "u1" else (order == "<")
    return _TYPES.get(name or "") if fits else None


def _content(raw: object) -> bytes | None:
    """Bytes as they are, or as Python 3 writes them for old readers: a text to be encoded as Latin-1."""
    if isinstance(raw, Made) and raw.maker == _ENCODE and len(raw.args) == 2 and _text(raw.args[1]) == "latin1":
        text = raw.args[0]
        try:
            return text.encode("latin-1") if isinstance(text, str) else None
        except UnicodeEncodeError:
            return None
    return raw if isinstance(raw, bytes) else None


def _text(thing: object) -> str | None:
    if isinstance(thing, bytes):
        return thing.decode("latin-1")
    return thing if isinstance(thing, str) else None


def _kind(thing: object) -> str:
    if isinstance(thing, Made):
        return f"a {thing.maker}"
    return f"the name {thing}" if type(thing) is _Name else f"a value of type {type(thing).__name__}"


class _Machine:
    """A stack, its marks and a memo; memo indices are keys of a dict, so a huge one costs nothing."""

    def __init__(self, blob: bytes, where: str) -> None:
        self.blob, self.where, self.at = blob, where, 0
        self.stack: list[object] = []
        self.marks: list[int] = []
        self.memo: dict[int, object] = {}

    def run(self) -> object:
        for _ in range(_MOST_STEPS):
            code = self.take(1)
            if code == b".":
                if len(self.stack) != 1 or self.marks:
                    raise self.damaged("it does not end with one value")
                return self.stack[0]
            step = _STEPS.get(code)
            if step is None:
                known = pickletools.code2op.get(code.decode("latin-1"))  # type: ignore[attr-defined]
                raise self.refused(f"uses {known.name}" if known else f"uses the unknown instruction {code!r}")
            step(self)
        raise self.refused(f"takes more than {_MOST_STEPS:,} steps")

    def refused(self, what: str) -> DataError:
        return DataError(f"{self.where}: refused, the file {what}; a data file has no use for that")

    def damaged(self, what: str) -> DataError:
        return DataError(f"{self.where}: damaged near byte {self.at:,}, {what}")

    # Reading the program

    def take(self, count: int) -> bytes:
        piece = self.blob[self.at : self.at + count]
        if count < 0 or len(piece) != count:
            raise self.damaged("it ends too early")
        self.at += count
        return piece

    def number(self, form: str) -> int:
        value: int = struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))[0]
        return value

    def sized(self, form: str) -> bytes:
        return self.take(self.number(form))

    def text(self, form: str) -> str:
        try:
            return self.sized(form).decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise self.damaged("a text is not UTF-8") from None

    def line(self) -> str:
        end = self.blob.find(b"\n", self.at, self.at + 256)
        if end < 0:
            raise self.damaged("a name does not end")
        return self.take(end + 1 - self.at)[:-1].decode("latin-1")

    # The stack

    def push(self, thing: object) -> None:
        self.stack.append(thing)

    def pop(self) -> object:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise self.damaged("its stack is empty")
        return self.stack.pop()

    def top(self, kind: type) -> object:
        thing = self.pop()
        self.push(thing)
        if type(thing) is not kind:
            expected = "an object" if kind is Made else f"a {kind.__name__}"
            raise self.damaged(f"{expected} is expected, found {_kind(thing)}")
        return thing

    def mark(self) -> None:
        self.marks.append(len(self.stack))

    def since_mark(self) -> list[object]:
        if not self.marks:
            raise self.damaged("a mark is missing")
        start = self.marks.pop()
        things = self.stack[start:]
        del self.stack[start:]
        return things

    def tie(self, count: int) -> None:
        things = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(things)))

    # Lists, dicts, memo

    def extend(self, things: list[object]) -> None:
        found = self.top(list)
        assert isinstance(found, list)
        found.extend(things)

    def fill(self, things: list[object]) -> None:
        found = self.top(dict)
        assert isinstance(found, dict)
        if len(things) % 2:
            raise self.damaged("a key has no value")
        for key, value in zip(things[::2], things[1::2], strict=True):
            if type(key) not in (str, bytes, int):
                raise self.damaged(f"a key must be a text or a number, found {_kind(key)}")
            found[key] = value

    def new(self, kind: type, things: list[object]) -> None:
        self.push(kind())
        if kind is list:
            self.extend(things)
        else:
            self.fill(things)

    def put(self, index: int) -> None:
        thing = self.pop()
        self.push(thing)
        self.memo[index] = thing

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise self.damaged("it looks up what it never stored")
        self.push(self.memo[index])

    # What Python would import and call

    def name(self, module: object, name: object) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise self.refused("asks for a name that is no text")
        known = _NAMES.get((module, name))
        if known is None:
            raise self.refused(f"asks for {f'{module}.{name}'[:120]}")
        self.push(_Name(known))

    def name_from_stack(self) -> None:
        name, module = self.pop(), self.pop()
        self.name(module, name)

    def call(self) -> None:
        args, maker = self.pop(), self.pop()
        if type(maker) is not _Name or type(args) is not tuple:
            raise self.refused(f"calls {_kind(maker)}")
        made = Made(str(maker), args)
        short = maker == _ENCODE and len(args) == 2 and isinstance(args[0], str) and len(args[0]) <= 64
        self.push((_content(made) if short else None) or made)  # how Python 3 writes a key of bytes for Python 2

    def build(self) -> None:
        state = self.pop()
        thing = self.top(Made)
        assert isinstance(thing, Made)
        if thing.state is not None:
            raise self.damaged("an object gets its state twice")
        thing.state = state


_STEPS: dict[bytes, Callable[[_Machine], object]] = {
    b"\x80": lambda m: m.take(1),  # PROTO
    b"\x95": lambda m: m.take(8),  # FRAME
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"K": lambda m: m.push(m.number("B")),  # BININT1
    b"M": lambda m: m.push(m.number("H")),  # BININT2
    b"J": lambda m: m.push(m.number("i")),  # BININT
    b"\x8a": lambda m: m.push(int.from_bytes(m.sized("B"), "little", signed=True)),  # LONG1
    b"G": lambda m: m.push(struct.unpack(">d", m.take(8))[0]),  # BINFLOAT
    b"U": lambda m: m.push(m.sized("B")),  # SHORT_BINSTRING, of Python 2
    b"T": lambda m: m.push(m.sized("i")),  # BINSTRING
    b"C": lambda m: m.push(m.sized("B")),  # SHORT_BINBYTES
    b"B": lambda m: m.push(m.sized("I")),  # BINBYTES
    b"\x8e": lambda m: m.push(m.sized("Q")),  # BINBYTES8
    b"X": lambda m: m.push(m.text("I")),  # BINUNICODE
    b"\x8c": lambda m: m.push(m.text("B")),  # SHORT_BINUNICODE
    b"\x8d": lambda m: m.push(m.text("Q")),  # BINUNICODE8
    b"(": _Machine.mark,
    b")": lambda m: m.push(()),
    b"t": lambda m: m.push(tuple(m.since_mark())),
    b"\x85": lambda m: m.tie(1),
    b"\x86": lambda m: m.tie(2),
    b"\x87": lambda m: m.tie(3),
    b"]": lambda m: m.push([]),
    b"l": lambda m: m.new(list, m.since_mark()),
    b"a": lambda m: m.extend([m.pop()]),
    b"e": lambda m: m.extend(m.since_mark()),
    b"}": lambda m: m.push({}),
    b"d": lambda m: m.new(dict, m.since_mark()),
    b"s": lambda m: m.fill([m.pop(), m.pop()][::-1]),
    b"u": lambda m: m.fill(m.since_mark()),
    b"q": lambda m: m.put(m.number("B")),  # BINPUT
    b"r": lambda m: m.put(m.number("I")),  # LONG_BINPUT
    b"\x94": lambda m: m.put(len(m.memo)),  # MEMOIZE
    b"h": lambda m: m.get(m.number("B")),  # BINGET
    b"j": lambda m: m.get(m.number("I")),  # LONG_BINGET
    b"c": lambda m: m.name(m.line(), m.line()),  # GLOBAL
    b"\x93": _Machine.name_from_stack,  # STACK_GLOBAL
    b"R": _Machine.call,  # REDUCE
    b"b": _Machine.build,  # BUILD
}
