"""Names as harmless text: each form of output has characters that are more than text in it.

Names come from users and from files. Characters that a reader cannot see, or that turn the direction of the line
around, are written as their code everywhere but in CSV: `\\u202e`.
"""

from __future__ import annotations

import base64
import hashlib
import html as _html
import re
import unicodedata
from collections.abc import Iterable

__all__ = ["LONGEST", "csv", "html", "latex", "markdown", "page_policy", "visible"]

LONGEST = 80  # characters of a name that a table shows

_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def visible(text: object, longest: int | None = LONGEST) -> str:
    """The text on one line, without unseen characters, and not endless.

    Example:
        >>> visible("safe\\u202eexe.txt"), visible("x" * 100, longest=5)
        ('safe\\\\u202eexe.txt', 'xxxx…')
    """
    plain = str(text) if longest is None else str(text)[: longest + 1]
    if not (plain.isascii() and plain.isprintable()):
        plain = "".join(
            _code(character) if unicodedata.category(character) in _UNSEEN else character for character in plain
        )
    return plain if longest is None or len(plain) <= longest else plain[: longest - 1] + "…"


def _code(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def markdown(text: object, longest: int | None = LONGEST) -> str:
    """Text in a Markdown table; nothing in it becomes emphasis, a link, code, HTML or a cell's end.

    Example:
        >>> markdown("a|b <script> [x](y) q_1")
        'a\\\\|b &lt;script&gt; \\\\[x\\\\](y) q\\\\_1'
    """
    escaped = re.sub(r"([\\`*_\[\]|~$])", r"\\\1", visible(text, longest))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def html(text: object, longest: int | None = LONGEST) -> str:
    """Text between tags or inside a quoted attribute.

    Example:
        >>> html("<script>")
        '&lt;script&gt;'
    """
    return _html.escape(visible(text, longest), quote=True)


def page_policy(styles: Iterable[str] = (), scripts: Iterable[str] = (), *, images: str = "data:") -> str:
    """Content-Security-Policy of a self-contained page: its own styles and scripts by hash, and nothing else.

    Args:
        styles: the text of each `<style>`.
        scripts: the text of each `<script>`.
        images: sources of pictures.
    """

    def hashes(texts: Iterable[str]) -> str:
        digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts)
        return " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"

    return (
        f"default-src 'none'; img-src {images}; base-uri 'none'; form-action 'none'; "
        f"style-src {hashes(styles)}; script-src {hashes(scripts)}"
    )


def csv(text: object) -> str:
    """A field that no spreadsheet takes for a formula: a quote goes before = + - @ and control characters.

    Every end of a line is written as a line feed; the other ones would end the record to most readers.

    Example:
        >>> csv("=cmd()"), csv("jal-ce")
        ("'=cmd()", 'jal-ce')
    """
    plain = str(text).replace("\r\n", "\n").replace("\r", "\n")
    return f"'{plain}" if plain.startswith(("=", "+", "-", "@", "\t", "\n", "＝", "＋", "－", "＠")) else plain


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "[": "{[}",  # after the end of a line, [ and * would belong to it
    "]": "{]}",
    "*": "{*}",
    "±": r"$\pm$",
    "−": "$-$",
    "—": r"\textemdash{}",
    "–": r"\textendash{}",
    "…": r"\ldots{}",
    "≤": r"$\leq$",
    "√": r"$\surd$",
    "²": r"\textsuperscript{2}",
    "·": r"$\cdot$",
} | {character: f"\\{character}" for character in "{}$&#_%"}


def latex(text: object, longest: int | None = LONGEST) -> str:
    """Text that pdfLaTeX prints as it stands; characters its fonts lack are printed as `[U+4E01]`.

    Example:
        >>> latex("50% of a_b & {c}")
        '50\\\\% of a\\\\_b \\\\& \\\\{c\\\\}'
    """
    plain = "".join(_LATEX.get(c, c if c.isascii() else f"{{[}}U+{ord(c):04X}{{]}}") for c in visible(text, longest))
    return plain.replace("--", "-{}-").replace(",,", ",{},")  # would become one sign
