"""From scikit-learn's ``random_state`` to a seed, without touching global state."""

import numpy as np
from numpy.random import Generator, Philox
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

    It is ``Generator(Philox(key=int))`` without the time that NumPy takes to collect
    entropy it has no use for then. Philox is made for this: keys that differ in any
    bit give independent streams.

    Parameters
    ----------
    digest : str
        32 hexadecimal digits.

    Returns
    -------
    numpy.random.Generator

    Examples
    --------
    >>> import numpy as np
    >>> from skcovid._random import generator_of
    >>> digest = "000102030405060708090a0b0c0d0e0f"
    >>> key = int.from_bytes(bytes.fromhex(digest), "little")
    >>> usual = np.random.Generator(np.random.Philox(key=key))
    >>> generator_of(digest).random() == usual.random()
    True
    """
    return Generator(Philox(_Key(digest)))


class _Key(ISeedSequence):
    def __init__(self, digest: str) -> None:
        self.words = np.frombuffer(bytes.fromhex(digest), dtype="<u8")

    def generate_state(
        self, n_words: int, dtype: DTypeLike = np.uint32
    ) -> NDArray[np.uint64]:
        return self.words
