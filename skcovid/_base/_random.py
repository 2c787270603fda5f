"""From scikit-learn's ``random_state`` to a seed, without touching global state."""

import sys
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


def draw_seed(random_state: int | np.random.RandomState | None) -> int:
    """Return an integer as it is, or draw one."""
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    if random_state is None:
        return int(np.random.default_rng().integers(2**31 - 1))
    return int(random_state.randint(2**31 - 1))


def split_mix(seeds: NDArray[np.uint64], size: int) -> NDArray[np.uint64]:
    """Draw from SplitMix64 with each of the seeds, all in a few calls of NumPy.

    The generator is that of Steele, Lea and Flood, "Fast splittable pseudorandom number
    generators" (OOPSLA 2014). A `numpy.random.Generator` has one seed and needs a call
    for each.
    """
    steps = np.arange(1, size + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = seeds[:, np.newaxis] + steps
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def hashed_noise(seeds: NDArray[np.uint32], size: int) -> NDArray[np.uint8]:
    """Make white noise of each of the seeds, all in two calls of NumPy.

    Fixed random words are multiplied by the seed made odd, and the upper half of the
    product is two numbers. To multiply by an odd number takes the words one to one onto
    themselves, so with every seed the noise is as random as the words are; between
    seeds it is as independent as a multiplicative hash is.
    """
    products = np.multiply.outer(seeds | np.uint32(1), _random_words(size))
    halves = products.view(np.uint16).reshape(len(seeds), size, 2)
    upper = np.ascontiguousarray(halves[..., _UPPER_HALF])
    return upper.view(np.uint8).reshape(len(seeds), size, 2)


_UPPER_HALF = 1 if sys.byteorder == "little" else 0


@lru_cache(maxsize=4)
def _random_words(size: int) -> NDArray[np.uint32]:
    words: NDArray[np.uint64] = split_mix(np.zeros(1, dtype=np.uint64), size)[0]
    return (words >> np.uint64(32)).astype(np.uint32)
