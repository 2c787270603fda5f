"""A small document model: what reports are made of, and its Markdown.

HTML is made from the same parts by `skcovid.report`. Text comes from users: names of
classes, patients and files. It is escaped here and nowhere else.
"""

import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

# What CommonMark and GitHub read as markup, as far as one line can hold it.
_MARKUP = re.compile(
    r"""
    ((?<=[^\W_])_+(?=[^\W_]))  # no markup within a word
    | [*_`~|$]
    | <(?=[A-Za-z/!?])
    | &(?=\#?\w+;)
    | \](?=[(\[:])
    | \\(?=[!-/:-@\[-`{-~]|$)
    | ^(?:[#>]|[-+=](?=\s|$|[-+=]))
    """,
    re.VERBOSE,
)
# Of the `repr` of a result.
_WIDTH, _MOST_ROWS = 79, 11


def one_line(text: object) -> str:
    """Write text on one line of printable characters, others as in Python."""
    line = re.sub(r"[\t\n\v\f\r]+", " ", str(text))
    if line.isprintable():
        return line
    return "".join(
        char if char.isprintable() or char == "\N{NO-BREAK SPACE}" else repr(char)[1:-1]
        for char in line
    )


def _escape(text: str) -> str:
    """Write text in Markdown so that none of it is markup."""
    return _MARKUP.sub(lambda found: found[1] or rf"\{found[0]}", one_line(text))


@dataclass(frozen=True)
class Paragraph:
    """Plain text, set apart where it is emphasised."""

    text: str
    emphasised: bool = False


@dataclass(frozen=True)
class Markdown:
    """Text that is Markdown already."""

    text: str


@dataclass(frozen=True)
class Heading:
    """A heading within a section, with the outcome of a check."""

    text: str
    status: str = ""


@dataclass(frozen=True)
class List:
    """Items, one below the other."""

    items: Sequence[str]


@dataclass(frozen=True)
class Table:
    """Cells as text; the first of each row names it."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    note: str = ""


@dataclass(frozen=True)
class Image:
    """A picture as a data URI, with its widths in CSS pixels."""

    uri: str
    alt: str
    width: int
    least_width: int


@dataclass(frozen=True)
class Details:
    """Parts that a reader opens."""

    summary: str
    parts: "Sequence[Part]"


Part = Paragraph | Markdown | Heading | List | Table | Image | Details


@dataclass(frozen=True)
class Section:
    """A titled part of a document, and the anchor that links lead to."""

    anchor: str
    title: str
    parts: Sequence[Part]


def render_markdown(sections: Iterable[Section], *, level: int = 2) -> str:
    """Write sections in Markdown, without their images."""
    return "\n\n".join(
        f"{'#' * level} {_escape(section.title)}\n\n"
        + render_parts(section.parts, level=level + 1)
        for section in sections
    )


def render_parts(parts: Iterable[Part], *, level: int = 3) -> str:
    """Write the parts of a section in Markdown, without their images."""
    blocks = [_render(part, level) for part in parts]
    return "\n\n".join(block for block in blocks if block)


def _render(part: Part, level: int) -> str:
    """Write one part."""
    match part:
        case Paragraph():
            text = _escape(part.text)
            return f"**{text}**" if part.emphasised else text
        case Markdown():
            return part.text
        case Heading():
            text = _escape(part.text)
            return f"{'#' * level} {text}{part.status and f': {part.status}'}"
        case List():
            return "\n".join(f"- {_escape(item)}" for item in part.items)
        case Table():
            caption = part.caption and f"{_escape(part.caption)}:"
            table = render_table(part.header, part.rows)
            return "\n\n".join(filter(None, [caption, table, _escape(part.note)]))
        case Details():
            parts = [_render(inner, level) for inner in part.parts]
            return "\n\n".join([f"{_escape(part.summary)}:", *parts])
        case Image():
            return ""


def render_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, aligned: bool = True
) -> str:
    """Write a table in Markdown, its first column flush left, the others right.

    Cells of long text are better not aligned: all are flush left, and not padded.
    """
    cells = [[*map(_escape, line)] for line in (header, *rows)]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    rule = [":" + "-" * (widths[0] - 1)] + ["-" * (w - 1) + ":" for w in widths[1:]]
    if not aligned:
        widths, rule = [0] * len(widths), ["---"] * len(widths)
    return "\n".join(
        "| "
        + " | ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in (cells[0], rule, *cells[1:])
    )


class Overview:
    """Gives a result a short `repr`, and a table for notebooks."""

    def _overview(self) -> tuple[str, Table]:
        """Return what stands first, in a sentence or two, and a table."""
        raise NotImplementedError

    def __repr__(self) -> str:
        text, table = self._overview()
        lines = textwrap.wrap(f"{type(self).__name__}: {one_line(text)}", _WIDTH)
        more = len(table.rows) - _MOST_ROWS
        shown = table.rows if more <= 0 else table.rows[: _MOST_ROWS - 1]
        cells = [[*map(one_line, row)] for row in (table.header, *shown)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        while sum(widths) + 2 * (len(widths) - 1) > _WIDTH:
            widths[widths.index(max(widths))] -= 1
        for row in cells:
            pairs = zip(row, widths, strict=True)
            lines.append("  ".join(_clip(cell, n).ljust(n) for cell, n in pairs))
        if more > 0:
            lines.append(f"… and {more + 1} more")
        return "\n".join(line.rstrip() for line in lines)

    def _repr_html_(self) -> str:
        text, table = self._overview()
        head, *body = (
            "".join(f"<{tag}>{escape(one_line(cell))}</{tag}>" for cell in row)
            for tag, row in [("th", table.header), *(("td", r) for r in table.rows)]
        )
        rows = "".join(f"<tr>{row}</tr>" for row in body)
        return (
            f"<p><b>{type(self).__name__}</b>: {escape(one_line(text))}</p>\n"
            f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        )


def _clip(text: str, width: int) -> str:
    """Cut a text to a width."""
    return text if len(text) <= width else f"{text[: width - 1]}…"
