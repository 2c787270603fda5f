"""What the displays share: matplotlib on demand, colours, the fitting of labels."""

import textwrap
from collections.abc import Hashable, Iterable

__all__ = ["COLOURS", "check_matplotlib_support", "wrap_labels"]

# Okabe and Ito's palette, told apart with every common colour vision deficiency:
# blue, vermilion, bluish green, reddish purple, orange, sky blue.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def check_matplotlib_support(caller: str) -> None:
    """Raise an ImportError that says what to install if matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
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
