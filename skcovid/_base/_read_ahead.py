"""Batches computed in threads, some of them ahead of the caller."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any


def read_ahead(
    load: Callable[[slice], Any],
    n_samples: int,
    *,
    batch_size: int,
    n_jobs: int,
    n_ahead: int | None = None,
) -> Iterator[tuple[slice, Any]]:
    """Load batches in order, some of them ahead of the caller, in threads.

    Parameters
    ----------
    load : callable
        ``load(rows)`` for a slice of rows.
    n_samples : int
        Number of rows.
    batch_size : int
        Rows in a batch; the last may hold fewer.
    n_jobs : int
        Threads.
    n_ahead : int, default=None
        Batches that are under way at once; twice as many as threads by default.

    Yields
    ------
    rows : slice
        Where the batch lies.
    batch : object
        What `load` returned.
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
        # Whoever closes this may be Python's garbage collector, and that while a lock
        # of `threading` is held, under which waiting for a thread never ends.
        wait = False
        raise
    finally:
        executor.shutdown(wait=wait, cancel_futures=True)
