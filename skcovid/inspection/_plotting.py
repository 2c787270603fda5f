"""What the displays share: matplotlib on demand, colours, the fitting of labels."""

import textwrap
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

__all__ = [
    "COLOURS",
    "check_matplotlib_support",
    "make_grid",
    "show_radiograph",
    "wrap_labels",
]

# Okabe and Ito's palette, told apart with every common colour vision deficiency:
# blue, vermilion, bluish green, reddish purple, orange, sky blue.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def check_matplotlib_support(caller: str) -> None:
    """Raise an ImportError that says what to install if matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401 (is it installed?)
    except ImportError as error:
        raise ImportError(
            f"{caller} requires matplotlib. Install it with `pip install skcovid[plot]`"
            " or `pip install matplotlib`."
        ) from error


def wrap_labels(labels: Iterable[Hashable], width: int) -> list[str]:
    """Break labels between words into lines of at most `width` characters."""
    return [
        textwrap.fill(str(label), width, break_long_words=False) for label in labels
    ]


def make_grid(
    ax: Any, n_rows: int, n_columns: int, *, margin: float = 0.6
) -> NDArray[np.object_]:
    """Return axes for rows and columns of images: those given, or a new figure's.

    `margin` is the width in inches left for what stands beside the images.
    """
    import matplotlib.pyplot as plt

    if ax is None:
        _, axes = plt.subplots(
            n_rows,
            n_columns,
            figsize=(margin + 2.1 * n_columns, 0.5 + 2.1 * n_rows),
            layout="constrained",
            squeeze=False,
        )
        return axes
    axes = np.array(ax, dtype=object)
    if axes.size != n_rows * n_columns:
        raise ValueError(
            f"ax must hold {n_rows * n_columns} axes, for {n_rows} rows of "
            f"{n_columns} images, got {axes.size}."
        )
    return axes.reshape(n_rows, n_columns)


def show_radiograph(ax: "Axes", image: NDArray) -> "AxesImage":
    """Draw an image without ticks: uint8 from 0 to 255, others over their own range."""
    if image.dtype != np.uint8:
        low, high = image.min(), image.max()
        image = (image - low) / ((high - low) or 1)
    ax.set(xticks=[], yticks=[])
    high = 255 if image.dtype == np.uint8 else 1
    return ax.imshow(image, cmap="gray", vmin=0, vmax=high)
