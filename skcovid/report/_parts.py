"""What a section of the report is made of."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, ClassVar

__all__ = [
    "Details",
    "Image",
    "Markdown",
    "Paragraph",
    "Part",
    "Section",
    "Subheading",
    "Table",
    "draw",
]

_DPI = 130
# CSS has 96 pixels to the inch; below 60, text of 10 points in a figure can't be read,
# and the figure scrolls instead.
_PIXELS_PER_INCH = 96
_LEAST_PIXELS_PER_INCH = 60


@dataclass(frozen=True)
class Paragraph:
    """Plain text, set apart where it matters."""

    kind: ClassVar[str] = "paragraph"
    text: str
    emphasised: bool = False


@dataclass(frozen=True)
class Markdown:
    """Text of the package's own in Markdown; HTML in it is shown as text."""

    kind: ClassVar[str] = "markdown"
    text: str


@dataclass(frozen=True)
class Subheading:
    """A heading within a section, with the outcome of a check."""

    kind: ClassVar[str] = "subheading"
    text: str
    status: str = ""


@dataclass(frozen=True)
class Table:
    """Cells, written out; the first of each row names it."""

    kind: ClassVar[str] = "table"
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True)
class Image:
    """A PNG inside the page; widths are in CSS pixels."""

    kind: ClassVar[str] = "image"
    uri: str
    alt: str
    width: int
    least_width: int


@dataclass(frozen=True)
class Details:
    """Parts that are shown on request."""

    kind: ClassVar[str] = "details"
    summary: str
    parts: "Sequence[Part]"


Part = Paragraph | Markdown | Subheading | Table | Image | Details


@dataclass(frozen=True)
class Section:
    """A heading, the anchor that leads to it, and what stands below."""

    anchor: str
    title: str
    parts: Sequence[Part]


def draw(figure: Any, alt: str) -> Image:
    """Turn a figure into an image, and close it."""
    import matplotlib.pyplot as plt

    file = BytesIO()
    figure.savefig(file, format="png", dpi=_DPI)
    plt.close(figure)
    width_in_inches = figure.get_figwidth()
    return Image(
        f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}",
        alt,
        round(_PIXELS_PER_INCH * width_in_inches),
        round(_LEAST_PIXELS_PER_INCH * width_in_inches),
    )
