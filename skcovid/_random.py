"""From scikit-learn's ``random_state`` to a seed, without touching global state."""

import numpy as np
from numpy.random import SFC64, Generator
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import DTypeLike, NDArray

__all__ = ["draw_seed", "generator_of"]


def draw_seed(random_state: int | np.random.RandomState | None) -> int:
    """Return an integer as it is, or draw one.

    Parameters
    ----------
    random_state : int, RandomState instance or None
        An instance is advanced by the draw; None draws from fresh entropy, never from
        NumPy's global state.

    Returns
    -------
    int
        At least 0.

    Examples
    --------
    >>> from skcovid._random import draw_seed
    >>> draw_seed(7)
    7
    """
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    if random_state is None:
        return int(np.random.default_rng().integers(2**31 - 1))
    return int(random_state.randint(2**31 - 1))


def generator_of(digest: str) -> Generator:
    """Return the generator that a digest of 128 bits is the key of.

    The state is the digest, whose bits are as good as random already. NumPy's own
    seeding takes ten times as long to make a state out of any integer.

    Parameters
    ----------
    digest : str
        32 hexadecimal digits.

    Returns
    -------
    numpy.random.Generator

    Examples
    --------
    >>> from skcovid._random import generator_of
    >>> digest = "000102030405060708090a0b0c0d0e0f"
    >>> generator_of(digest).random() == generator_of(digest).random()
    True
    """
    return Generator(SFC64(_State(digest)))


class _State(ISeedSequence):
    def __init__(self, digest: str) -> None:
        self.digest = digest

    def generate_state(
        self, n_words: int, dtype: DTypeLike = np.uint32
    ) -> NDArray[np.uint64]:
        # SFC64 takes three words; it mixes them before the first number is drawn.
        return np.frombuffer(bytes.fromhex(self.digest + 16 * "0"), dtype="<u8")
