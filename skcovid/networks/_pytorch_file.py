"""Arrays of a PyTorch file, read without PyTorch and without running its code.

The format of ``torch.save`` before version 1.6: five pickles (a magic number, the
format's version, properties of the machine, the tensors, the names of the storages),
then each storage, a count of numbers and the numbers.
"""

import pickle
from collections import OrderedDict
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

# torch/serialization.py: MAGIC_NUMBER, PROTOCOL_VERSION.
_BEGINNING = [0x1950A86A20F9469CFC6C, 1001]


class _Tensor(NamedTuple):
    """Arguments of ``torch._utils._rebuild_tensor_v2``; strides count numbers."""

    storage: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    requires_grad: bool
    hooks: Any


class _Unpickler(pickle.Unpickler):
    """Make tensors and ordered dictionaries, and refuse everything else."""

    admitted = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
        ("torch", "FloatStorage"): "<f4",
        ("torch", "LongStorage"): "<i8",
    }

    def __init__(self, file: BytesIO) -> None:
        super().__init__(file)
        self.storages: dict[str, tuple[str, int]] = {}  # dtype, numbers

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.admitted:
            raise ValueError(f"it refers to {module}.{name}, which no tensor needs")
        return self.admitted[module, name]

    def persistent_load(self, pid: Any) -> str:
        _, dtype, key, _, size, _ = pid
        self.storages[key] = dtype, size
        return str(key)


def read_tensors(content: bytes) -> dict[str, NDArray[Any]]:
    """Return the tensors of a file by name; errors of damaged files are of any kind."""
    file = BytesIO(content)
    if [_Unpickler(file).load() for _ in _BEGINNING] != _BEGINNING:
        raise ValueError("it is not in PyTorch's format of before version 1.6")
    if not _Unpickler(file).load()["little_endian"]:
        raise ValueError("its numbers are big-endian")
    unpickler = _Unpickler(file)
    tensors: dict[str, _Tensor] = unpickler.load()
    storages: dict[str, NDArray[Any]] = {}
    keys, position = _Unpickler(file).load(), file.tell()
    for key in keys:
        dtype, size = unpickler.storages[key]
        stored = int.from_bytes(content[position : position + 8], "little")
        if stored != size:
            raise ValueError(f"storage {key} has {stored} numbers in place of {size}")
        storages[key] = np.frombuffer(content, dtype, size, position + 8)
        position += 8 + storages[key].nbytes
    if position != len(content):
        raise ValueError(f"{len(content) - position} bytes follow the last storage")
    return {name: _view(name, tensor, storages) for name, tensor in tensors.items()}


def _view(
    name: str, tensor: _Tensor, storages: dict[str, NDArray[Any]]
) -> NDArray[Any]:
    """Return a view of a storage, all of which must lie inside it."""
    numbers = storages[tensor.storage][tensor.offset :]
    steps = list(zip(tensor.shape, tensor.strides, strict=True))
    reach = sum((length - 1) * stride for length, stride in steps)
    lowest = min([tensor.offset, *(length - 1 for length, _ in steps), *tensor.strides])
    if lowest < 0 or reach >= len(numbers):
        raise ValueError(f"{name!r} reaches beyond its storage")
    strides = [stride * numbers.itemsize for stride in tensor.strides]
    return as_strided(numbers, tensor.shape, strides, writeable=False)
