"""Which images form a batch, the same in an interrupted run and in a whole one."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skcovid._base._atomic_files import atomic_write
from skcovid._base._digests import image_key


class BatchPlan:
    """The batches of some images, on disk until all of them are computed.

    The last digits of a feature depend on the image's place in its batch: with
    InceptionV3 and batches split over threads, a twelfth of the features differ in
    another place. A run that continues after an interruption therefore repeats the
    planned batches instead of forming batches of the images that are still missing.
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
        """Delete the plan, as nothing is missing any more."""
        self._path.unlink(missing_ok=True)
