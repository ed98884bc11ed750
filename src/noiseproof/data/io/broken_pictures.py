"""Test of a picture's bytes without decoding them: JPEG by its segments, PNG by its checksums.

What the test lets pass, decoders take; what it does not, a decoder has to look at.
"""

from __future__ import annotations

import re
import struct
import zlib

__all__ = ["MOST_PIXELS", "looks_whole"]

MOST_PIXELS = 64_000_000  # more are not decoded
_MARKER = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")  # in the data of a scan only these end it
_FRAMES = frozenset([0xC0, 0xC1, 0xC2])  # baseline, extended and progressive, Huffman-coded
_QUANTISATION, _HUFFMAN, _SCAN, _END = 0xDB, 0xC4, 0xDA, 0xD9
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}  # by colour type


def looks_whole(content: bytes) -> bool:
    """Test for a whole JPEG or PNG file; False is no verdict.

    Example:
        >>> looks_whole(b"no picture"), looks_whole(b"")
        (False, False)
    """
    if content.startswith(b"\xff\xd8\xff"):
        return _whole_jpeg(content)
    return content.startswith(b"\x89PNG\r\n\x1a\n") and _whole_png(content)


def _whole_png(content: bytes) -> bool:
    """Every chunk has its checksum, and the header announces what decoders take."""
    at, data, header, palette = 8, [], b"", False
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        end = at + 12 + length
        if end > len(content):
            return False
        kind, body = content[at + 4 : at + 8], content[at + 8 : end - 4]
        if zlib.crc32(body, zlib.crc32(kind)) != int.from_bytes(content[end - 4 : end], "big"):
            return False
        if kind == b"IHDR":
            header = body
        elif kind == b"PLTE":
            palette = True
        elif kind == b"IDAT":
            data.append(body)
        elif kind == b"IEND":
            return _possible_header(header, data, palette)
        elif kind in (b"acTL", b"CgBI"):  # animated, or Apple's own form
            return False
        at = end
    return False


def _possible_header(header: bytes, data: list[bytes], palette: bool) -> bool:
    if len(header) != 13 or not data:
        return False
    width, height, depth, colour, packing, filters, interlaced = struct.unpack(">IIBBBBB", header)
    if not 0 < width * height <= MOST_PIXELS or depth not in _DEPTHS.get(colour, ()) or (packing, filters) != (0, 0):
        return False
    if interlaced or (colour == 3 and not palette):
        return False
    first = data[0][:2]
    return len(first) == 2 and first[0] & 0x0F == 8 and int.from_bytes(first, "big") % 31 == 0


def _whole_jpeg(content: bytes) -> bool:
    """Segments follow one another, tables are there and possible, and the last scan ends with the picture."""
    at, frame, progressive, scanned = 2, b"", False, False
    tables: set[int] = set()
    while True:
        while content[at : at + 2] == b"\xff\xff":
            at += 1
        marker = content[at : at + 2]
        if len(marker) < 2 or marker[0] != 0xFF:
            return False
        kind = marker[1]
        if kind == _END:
            return scanned and at + 2 == len(content)
        length = int.from_bytes(content[at + 2 : at + 4], "big")
        body = content[at + 4 : at + 2 + length]
        if length < 2 or len(body) != length - 2:
            return False
        at += 2 + length
        if kind in _FRAMES:
            if frame or not _possible_frame(body):
                return False
            frame, progressive = body, kind == 0xC2
        elif kind in (_HUFFMAN, _QUANTISATION):
            found = _huffman_tables(body) if kind == _HUFFMAN else _quantisation_tables(body)
            if not found:
                return False
            tables |= found
        elif kind == _SCAN:
            ended = _MARKER.search(content, at)
            if not frame or ended is None or not _possible_scan(body, frame, tables, progressive):
                return False
            scanned, at = True, ended.start()
        elif kind not in (0xDD, 0xFE) and not 0xE0 <= kind <= 0xEF:  # comments and the like
            return False


def _possible_frame(frame: bytes) -> bool:
    """The header of a frame that decoders take."""
    if len(frame) < 6:
        return False
    depth, height, width, count = struct.unpack_from(">BHHB", frame)
    sound = depth == 8 and 0 < width * height <= MOST_PIXELS and count in (1, 3) and len(frame) == 6 + 3 * count
    ids, factors, quantised = frame[6::3], frame[7::3], frame[8::3]
    return (
        sound
        and len(set(ids)) == count
        and all(factor in (0x11, 0x12, 0x21, 0x22) for factor in factors)
        and all(factor == 0x11 for factor in factors[1:])
        and max(quantised) < 4
    )


def _possible_scan(scan: bytes, frame: bytes, tables: set[int], progressive: bool) -> bool:
    """The header of a scan whose components are in the frame and whose tables are there."""
    count = scan[0] if scan else 0
    if not 1 <= count <= 3 or len(scan) != 4 + 2 * count:
        return False
    quantised = dict(zip(frame[6::3], frame[8::3], strict=True))
    ids, chosen = scan[1 : 1 + 2 * count : 2], scan[2 : 2 + 2 * count : 2]
    first, last, steps = scan[-3:]
    if len(set(ids)) < count or any(each not in quantised or 0x100 + quantised[each] not in tables for each in ids):
        return False
    if not progressive:
        return (first, last, steps) == (0, 63, 0) and all(
            c >> 4 in tables and 0x10 + (c & 15) in tables for c in chosen
        )
    if not first <= last <= 63 or steps >> 4 > 13 or steps & 15 > 13 or (steps >> 4 and steps >> 4 != (steps & 15) + 1):
        return False
    if not first:
        return last == 0 and (steps >> 4 > 0 or all(c >> 4 in tables for c in chosen))
    return count == 1 and 0x10 + (chosen[0] & 15) in tables


def _huffman_tables(body: bytes) -> set[int]:
    """Numbers of the tables of a segment, from 0x00 for differences and 0x10 for the rest; none if impossible."""
    found: set[int] = set()
    at = 0
    while at < len(body):
        counts = body[at + 1 : at + 17]
        room = 1
        for count in counts:  # codes of this length that are left
            room = 2 * room - count
            if room < 0:
                return set()
        symbols = body[at + 17 : at + 17 + sum(counts)]
        if body[at] & ~0x13 or len(counts) < 16 or not 0 < len(symbols) == sum(counts) <= 256:
            return set()
        if not body[at] >> 4 and max(symbols) > 15:  # of differences, whose symbols are numbers of bits
            return set()
        found.add(body[at])
        at += 17 + len(symbols)
    return found


def _quantisation_tables(body: bytes) -> set[int]:
    """Numbers of the tables of a segment, from 0x100; none if impossible."""
    found: set[int] = set()
    at = 0
    while at < len(body):
        if body[at] >> 4 > 1 or body[at] & 15 > 3:
            return set()
        found.add(0x100 + (body[at] & 15))
        at += 1 + 64 * (1 + (body[at] >> 4))
    return found if at == len(body) else set()
