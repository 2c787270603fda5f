"""Which images go through a network together, the same after a stop as without one."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skcovid._base._atomic_files import atomic_write
from skcovid._base._digests import image_key

__all__ = ["BatchPlan"]


class BatchPlan:
    """The batches of a list of images, on disk until all of them are computed.

    The last digits of a feature depend on where in its batch the image is: of
    InceptionV3's, a batch split over threads, a twelfth were others in another place.
    Whoever goes on after a stop must therefore not compose batches of what is still
    missing, but repeat those that were planned.
    """

    def __init__(
        self,
        folder: Path,
        keys: NDArray[np.str_],
        missing: NDArray[np.intp],
        batch_size: int,
    ) -> None:
        self._path = folder / f"{image_key(batch_size, *keys)}.json"
        planned = self._read()
        if not np.isin(missing, planned).all():
            planned = missing
            self._write(missing)
        batches = np.arange(len(planned)) // batch_size
        unfinished = batches[np.isin(planned, missing)]
        self.rows = planned[np.isin(batches, unfinished)]
        self.batch_size = min(batch_size, len(planned))

    def _read(self) -> NDArray[np.intp]:
        try:
            return np.array(json.loads(self._path.read_bytes()), dtype=np.intp)
        except FileNotFoundError:
            return np.empty(0, dtype=np.intp)

    def _write(self, rows: NDArray[np.intp]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(self._path) as file:
            file.write(json.dumps(rows.tolist()).encode())

    def finish(self) -> None:
        """Forget the plan, now that nothing is missing."""
        self._path.unlink(missing_ok=True)
