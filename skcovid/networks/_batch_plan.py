"""Which images form a batch, the same in an interrupted run and in a whole one."""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skcovid._base._atomic_files import atomic_write
from skcovid._base._digests import image_key


@contextmanager
def planned_batches(
    folder: Path, keys: NDArray[np.str_], missing: NDArray[np.intp], batch_size: int
) -> Iterator[tuple[NDArray[np.intp], int]]:
    """Yield the rows to compute and the batch size; keep the plan until they are done.

    The last digits of a feature depend on the image's place in its batch: with
    InceptionV3 and batches split over threads, a twelfth of the features change with
    the place. A run after an interruption therefore repeats the planned batches
    instead of forming batches of the images that are still missing.
    """
    path = folder / f"{image_key(batch_size, *keys)}.json"
    planned = np.empty(0, dtype=np.intp)
    if path.exists():
        try:
            planned = np.array(json.loads(path.read_bytes()), dtype=np.intp)
            if planned.ndim != 1 or not np.isin(planned, np.arange(len(keys))).all():
                raise ValueError("it names other rows")
        except (ValueError, TypeError, OverflowError) as error:
            warnings.warn(
                f"{path} is damaged ({error}); the batches are planned again.",
                stacklevel=2,
            )
            planned = np.empty(0, dtype=np.intp)
    if not np.isin(missing, planned).all():
        planned = missing
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(json.dumps(missing.tolist()).encode())
    batches = np.arange(len(planned)) // batch_size
    unfinished = batches[np.isin(planned, missing)]
    yield planned[np.isin(batches, unfinished)], min(batch_size, len(planned))
    path.unlink(missing_ok=True)
