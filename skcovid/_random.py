"""From scikit-learn's ``random_state`` to a seed, without touching global state."""

import numpy as np

__all__ = ["draw_seed"]


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
