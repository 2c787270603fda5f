"""Check what a skops file states before anything is built from it.

skops stores a pipeline as a tree of nodes in JSON: each names a loader, a class and an
id, and holds its content in full each time it occurs. A file that keeps to this costs
no more than its own size: `read_schema` visits every node once, and refuses any other.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from skcovid.persistence._zip_container import (
    ModelFileError,
    check_npy,
    parse_json,
)

# Checking the parameters of an object takes scikit-learn up to a millisecond.
_MAX_OBJECTS = 5_000
# Numbers can be chosen so that all of them have the same hash.
_MAX_HASHED = 5_000
# 32-bit words in the state of the Mersenne twister, the generator of a RandomState.
_N_WORDS = 624
# Python's hash of a larger number is that of a smaller one.
_MAX_ID = 2**60
_SEEDS = {"random_state", "_random_state", "seed"}


class Contents(NamedTuple):
    """What the pipeline in a file is made of; a part counts each time it occurs."""

    objects: list[str]
    arrays: list[tuple[str, tuple[int, ...]]]  # name of the attribute, shape
    integers: list[tuple[str, int]]  # name of the attribute, magnitude; not of seeds


def read_schema(
    schema: Any,
    members: Mapping[str, bytes],
    trusted: Mapping[str, Collection[str]],
) -> Contents:
    """Check a skops schema and list what it is made of."""
    reader = _Reader(members, trusted)
    try:
        reader.read(schema, "", "")
    except ModelFileError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelFileError(
            f"its schema.json is not valid ({type(error).__name__}: {error})"
        ) from error
    return Contents(reader.objects, reader.arrays, reader.integers)


class _Reader:
    """Visits every node of a schema."""

    def __init__(
        self,
        members: Mapping[str, bytes],
        trusted: Mapping[str, Collection[str]],
    ) -> None:
        self.members = members
        self.trusted = trusted
        self.objects: list[str] = []
        self.arrays: list[tuple[str, tuple[int, ...]]] = []
        self.integers: list[tuple[str, int]] = []
        # Nodes of one form have the same content, ids apart.
        self._forms: dict[Any, int] = {}
        self._form_of_id: dict[int, int] = {}

    def read(self, node: Any, owner: str, name: str) -> int:
        """Check a node and those below it, and return the number of its form."""
        loader, kind = str(node["__loader__"]), _kind(node)
        if kind not in self.trusted.get(loader, ()):
            place = f" as {name!r} of {owner}" if name else ""
            raise ModelFileError(
                f"it holds {kind} ({loader}){place}, which models may not hold"
            )
        content = self._read_content(loader, node, owner, name)
        form = self._forms.setdefault((loader, kind, content), len(self._forms))
        identity = node["__id__"]
        if type(identity) is not int or not 0 < identity < _MAX_ID:
            raise ModelFileError(f"its {kind} has the id {identity!r}")
        # skops would take the first part again, however large, for the second.
        if self._form_of_id.setdefault(identity, form) != form:
            raise ModelFileError(f"two parts have one id in it, the second is {kind}")
        return form

    def _read_content(self, loader: str, node: Any, owner: str, name: str) -> Any:
        if loader in ("TypeNode", "FunctionNode"):
            return None
        if loader == "NdArrayNode":
            return self._read_array(node, owner, name)
        content = node.get("content")
        match loader:
            case "JsonNode":
                self._read_value(content, name)
                return content
            case "ObjectNode":
                self.objects.append(_kind(node))
                if len(self.objects) > _MAX_OBJECTS:
                    raise ModelFileError(f"it holds more than {_MAX_OBJECTS:,} objects")
                owner, name = str(node["__class__"]), ""
                return None if content is None else self.read(content, owner, name)
            case "DictNode":
                return self._read_dict(node, content, owner, name)
            case "SetNode":
                _check_hashed(content)
            case "SliceNode":
                content = content["start"], content["stop"], content["step"]
                if not all(isinstance(end, int | str | None) for end in content):
                    raise ModelFileError(f"it holds a slice of {content}")
                return content
            case "DTypeNode" | "RandomStateNode":
                if loader == "RandomStateNode":
                    self._check_random_state(content["content"]["state"]["content"])
                content = [content]
            case "LossNode":
                if content["content"]:
                    raise ModelFileError(f"its {_kind(node)} has a state")
                content = [content, node["__reduce__"]["args"]]
            case "MaskedArrayNode":
                content = [content["data"], content["mask"]]
                if any(part["__loader__"] != "NdArrayNode" for part in content):
                    raise ModelFileError("it holds a masked array made of no arrays")
        return self._read_all(content, owner, name)

    def _read_all(self, nodes: Iterable[Any], owner: str, name: str) -> Any:
        return tuple([self.read(node, owner, name) for node in nodes])

    def _read_dict(self, node: Any, content: Any, owner: str, name: str) -> Any:
        types = node["key_types"]
        self.read(types, owner, name)
        if len(types["content"]) != len(content):
            raise ModelFileError("it holds a dict without types of keys")
        if any(kind["__class__"] != "str" for kind in types["content"]):
            _check_hashed(content)
        return tuple(
            [
                (key, self.read(value, owner, name or key))
                for key, value in content.items()
            ]
        )

    def _read_value(self, content: str, name: str) -> Any:
        value = parse_json(content.encode(), "schema.json")
        if isinstance(value, dict | list):
            raise ModelFileError("it holds a list or dict in place of a single value")
        self._count_integer(value, name)
        return value

    def _count_integer(self, value: Any, name: str) -> None:
        if type(value) is int and name not in _SEEDS:
            self.integers.append((name, abs(value)))

    def _read_array(self, node: Any, owner: str, name: str) -> Any:
        kind, identity = node["__class__"], node["__id__"]
        if node["type"] == "numpy":
            # skops reads the file once for each id.
            if node["file"] != f"{identity}.npy":
                raise ModelFileError(f"its array {identity!r} is in {node['file']!r}")
            shape, dtype, value = check_npy(self.members[node["file"]], node["file"])
            if kind != "ndarray" and (shape or dtype.type.__name__ != kind):
                raise ModelFileError(
                    f"its {node['file']} has shape {shape} and {dtype}, not {kind}"
                )
            self.arrays.append((name, shape))
            self._count_integer(value, name)
            return shape, dtype.str
        if kind != "ndarray":
            raise ModelFileError(f"it holds a {kind} of objects")
        if len(node["shape"]["content"]) != 1:
            _check_nested(node["content"])
        return self._read_all([node["shape"], *node["content"]], owner, name)

    def _check_random_state(self, state: Any) -> None:
        file = state["key"]["file"]
        shape, dtype, _ = check_npy(self.members[file], file)
        position = self._read_value(state["pos"]["content"], "random_state")
        # NumPy reads the word at this position without a check.
        if (
            type(position) is not int
            or not 0 <= position <= _N_WORDS
            or shape != (_N_WORDS,)
            or dtype != np.uint32
        ):
            raise ModelFileError(
                f"its RandomState is at word {position!r} of {shape}, not at one of 0 "
                f"to {_N_WORDS}"
            )


def _kind(node: Any) -> str:
    return f"{node['__module__']}.{node['__class__']}"


def _check_hashed(values: Any) -> None:
    if len(values) > _MAX_HASHED:
        raise ModelFileError(f"it holds a set or dict of {len(values):,} numbers")


def _check_nested(nodes: Any) -> None:
    """Refuse sequences that NumPy would unpack value by value into an array."""
    for node in nodes:
        if node["__loader__"] == "ListNode":
            _check_nested(node["content"])
        elif node["__loader__"] != "JsonNode":
            raise ModelFileError(
                f"it holds an array of objects that holds {_kind(node)}"
            )


# What predictions for test images may cost: a few hundred MB and a few seconds.
_MAX_VALUES = 2**24
_MAX_OBJECTS_RUN = 1_000
_MAX_NETWORKS_RUN = 16
_MAX_SIDE = 512
_MAX_INTEGER = 2**20
# Attributes that predictions do not use.
_SCORES = {"coefs_paths_", "n_iter_", "scores_"}


def is_quick(contents: Contents, types: Collection[str]) -> bool:
    """Tell whether predictions cost little, where objects of `types` alone do."""
    networks = sum(name.endswith(".NetworkReference") for name in contents.objects)
    return (
        set(contents.objects) <= set(types)
        and len(contents.objects) <= _MAX_OBJECTS_RUN
        and networks <= _MAX_NETWORKS_RUN
        and all(
            value <= (_MAX_SIDE if name.startswith("image_size") else _MAX_INTEGER)
            for name, value in contents.integers
        )
        and sum(math.prod(shape) for _, shape in contents.arrays) <= _MAX_VALUES
        # Arrays of two dimensions or less do not grow what they are combined with.
        and all(
            len(shape) < 3 for name, shape in contents.arrays if name not in _SCORES
        )
    )
