"""From scikit-learn's ``random_state`` to a seed, without touching global state."""

from typing import Any

import numpy as np
from numpy.random import SFC64, Generator
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import DTypeLike, NDArray

__all__ = ["draw_seed", "generator_of", "split_mix"]


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
    state: Any = _State(digest)  # NumPy takes it; its type stubs do not
    return Generator(SFC64(state))


class _State(ISeedSequence):
    def __init__(self, digest: str) -> None:
        self.digest = digest

    def generate_state(
        self, n_words: int, dtype: DTypeLike = np.uint32
    ) -> NDArray[np.uint64]:
        # SFC64 takes three words; it mixes them before the first number is drawn.
        return np.frombuffer(bytes.fromhex(self.digest + 16 * "0"), dtype="<u8")


def split_mix(seeds: NDArray[np.uint64], size: int) -> NDArray[np.uint64]:
    """Draw from SplitMix64 with each of the seeds, all in a few calls of NumPy.

    The generator is that of Steele, Lea and Flood, "Fast splittable pseudorandom number
    generators" (OOPSLA 2014). A `numpy.random.Generator` has one seed and needs a call
    for each.

    Parameters
    ----------
    seeds : ndarray of shape (n,), uint64
        One of each sequence.
    size : int
        Numbers of each.

    Returns
    -------
    ndarray of shape (n, size), uint64

    Examples
    --------
    >>> import numpy as np
    >>> from skcovid._random import split_mix
    >>> split_mix(np.array([1234567], dtype=np.uint64), 2)
    array([[6457827717110365317, 3203168211198807973]], dtype=uint64)
    """
    steps = np.arange(1, size + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = seeds[:, np.newaxis] + steps
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed
