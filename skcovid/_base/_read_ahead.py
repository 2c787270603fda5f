"""Load batches in threads, some of them ahead of the caller."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def read_ahead(
    load: Callable[[slice], T],
    n_samples: int,
    *,
    batch_size: int,
    n_jobs: int,
    n_ahead: int | None = None,
) -> Iterator[tuple[slice, T]]:
    """Load batches in threads and yield them in order.

    Parameters
    ----------
    load : callable
        ``load(rows)`` for a slice of rows.
    n_samples : int
        Number of rows.
    batch_size : int
        Rows in a batch; the last may have fewer.
    n_jobs : int
        Number of threads.
    n_ahead : int, default=None
        Batches that are loaded at once; by default, twice the number of threads.

    Yields
    ------
    rows : slice
        Rows of the batch.
    batch : object
        What `load` returned.

    Examples
    --------
    >>> from skcovid.images import read_ahead
    >>> batches = read_ahead(lambda rows: rows.stop, 5, batch_size=2, n_jobs=2)
    >>> [batch for rows, batch in batches]
    [2, 4, 5]
    """
    rows = (
        slice(start, min(start + batch_size, n_samples))
        for start in range(0, n_samples, batch_size)
    )
    executor = ThreadPoolExecutor(n_jobs)
    wait = True
    try:
        pending = deque(
            (part, executor.submit(load, part))
            for part in islice(rows, n_ahead or 2 * n_jobs)
        )
        while pending:
            part, future = pending.popleft()
            batch = future.result()
            for following in islice(rows, 1):
                pending.append((following, executor.submit(load, following)))
            yield part, batch
    except GeneratorExit:
        # Python's garbage collector may close this while a lock of `threading` is held,
        # and then waiting for a thread would never end.
        wait = False
        raise
    finally:
        executor.shutdown(wait=wait, cancel_futures=True)
