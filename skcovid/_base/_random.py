"""Seeds and random numbers that leave NumPy's global state as it is."""

import sys
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


def draw_seed(random_state: int | np.random.RandomState | None) -> int:
    """Return a `random_state` that is an integer, or draw an integer from it."""
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    if random_state is None:
        return int(np.random.default_rng().integers(2**31 - 1))
    return int(random_state.randint(2**31 - 1))


def split_mix(seeds: NDArray[np.uint64], size: int) -> NDArray[np.uint64]:
    """Draw `size` numbers for each seed from SplitMix64, vectorised over seeds."""
    # Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (OOPSLA
    # 2014). `numpy.random.Generator` has one seed and needs a call for each.
    steps = np.arange(1, size + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = seeds[:, np.newaxis] + steps
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def hashed_noise(seeds: NDArray[np.uint32], size: int) -> NDArray[np.uint8]:
    """Make white noise of shape ``(len(seeds), size, 2)``, vectorised over seeds."""
    # Fixed random words are multiplied by the seed made odd, and the upper half of each
    # product gives two numbers. Multiplying by an odd number permutes the words, so the
    # noise is as random as they are; between seeds it is a multiplicative hash.
    products = np.multiply.outer(seeds | np.uint32(1), _random_words(size))
    halves = products.view(np.uint16).reshape(len(seeds), size, 2)
    upper = np.ascontiguousarray(halves[..., _UPPER_HALF])
    return upper.view(np.uint8).reshape(len(seeds), size, 2)


_UPPER_HALF = 1 if sys.byteorder == "little" else 0


@lru_cache(maxsize=4)
def _random_words(size: int) -> NDArray[np.uint32]:
    words: NDArray[np.uint64] = split_mix(np.zeros(1, dtype=np.uint64), size)[0]
    return (words >> np.uint64(32)).astype(np.uint32)
