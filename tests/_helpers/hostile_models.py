"""Hostile model files, made by changing small good ones, and what loading them costs.

Run as a script, it writes each file and loads it: one line of JSON for each, with
processor time, memory and the error. A file that ends the process is the last begun.
"""

import copy
import importlib
import inspect
import io
import itertools
import json
import random
import re
import resource
import struct
import sys
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np

from _helpers.hostile_files import write_model, write_zip

MUTATIONS = {}
EXTREMES = [-1, 0, 625, 2**20, 2**30, 2**31, 2**63, 10**30, 0.5, 1e300, True, None, "x"]


def mutation(name, base="table"):
    """Register a function that changes a `Draft` of a good file."""

    def register(change):
        assert name not in MUTATIONS
        MUTATIONS[name] = base, change
        return change

    return register


class Draft:
    """A model file in parts: members, the schema and arrays of its pipeline."""

    def __init__(self, path):
        with zipfile.ZipFile(path) as archive:
            self.members = {name: archive.read(name) for name in archive.namelist()}
        pipeline = self.members.pop("pipeline.skops")
        with zipfile.ZipFile(io.BytesIO(pipeline)) as archive:
            self.arrays = {name: archive.read(name) for name in archive.namelist()}
        self.schema = json.loads(self.arrays.pop("schema.json"))
        # Other versions: the test predictions are compared.
        versions = json.loads(self.members["manifest.json"])["versions"]
        self.manifest = {"versions": {**versions, "numpy": "0"}}
        self.ids = itertools.count(10**6)
        self.text = None  # in place of the schema
        self.content = None  # in place of the file

    def write(self, path):
        if self.content is not None:
            path.write_bytes(self.content)
            return
        pipeline = io.BytesIO()
        text = self.text or json.dumps(self.schema).encode()
        write_zip(pipeline, {**self.arrays, "schema.json": text})
        members = {**self.members, "pipeline.skops": pipeline.getvalue()}
        write_model(path, members, **self.manifest)

    # ---- nodes

    def node(self, loader, kind, **parts):
        module, _, name = kind.rpartition(".")
        parts.setdefault("__id__", next(self.ids))
        return {"__loader__": loader, "__module__": module, "__class__": name, **parts}

    def value(self, value):
        if isinstance(value, np.ndarray | np.generic):
            content = io.BytesIO()
            np.save(content, value)
            return self.npy(content.getvalue(), type(value).__name__)
        if isinstance(value, dict):
            return self.dict({name: self.value(item) for name, item in value.items()})
        if isinstance(value, list | tuple):
            return self.sequence([self.value(item) for item in value], type(value))
        return self.node("JsonNode", "builtins.str", content=json.dumps(value))

    def npy(self, content, kind="ndarray"):
        node = self.node("NdArrayNode", f"numpy.{kind}", type="numpy")
        node["file"] = f"{node['__id__']}.npy"
        self.arrays[node["file"]] = content
        return node

    def header(self, descr, shape, content=b""):
        """An array by its header, which may lie."""
        stream = io.BytesIO()
        header = {"descr": descr, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, header)
        return self.npy(stream.getvalue() + content)

    def sequence(self, nodes, kind=list):
        loader = f"{kind.__name__.capitalize()}Node"
        return self.node(loader, f"builtins.{kind.__name__}", content=list(nodes))

    def dict(self, nodes, key="builtins.str"):
        types = self.sequence([self.node("TypeNode", key) for _ in nodes])
        return self.node("DictNode", "builtins.dict", content=nodes, key_types=types)

    def object(self, kind, attributes):
        """An object with the default parameters of its class, others and attributes."""
        module, _, name = kind.rpartition(".")
        signature = inspect.signature(getattr(importlib.import_module(module), name))
        defaults = {
            name: None
            if parameter.default in (parameter.empty, np.float64)
            else parameter.default
            for name, parameter in signature.parameters.items()
        }
        nodes = {
            name: item
            if isinstance(item, dict) and "__id__" in item
            else self.value(item)
            for name, item in {**defaults, **attributes}.items()
        }
        return self.node("ObjectNode", kind, content=self.dict(nodes))

    # ---- the good file's nodes

    def nodes(self):
        """All nodes, those that hold others first."""
        pending = [self.schema]
        while pending:
            part = pending.pop()
            if isinstance(part, dict) and "__loader__" in part:
                yield part
            if isinstance(part, dict | list):
                pending += part.values() if isinstance(part, dict) else part

    def set(self, kind, name, node):
        """Set an attribute of all objects of a kind."""
        key = self.node("TypeNode", "builtins.str")
        for owner in [node for node in self.nodes() if node["__class__"] == kind]:
            attributes = owner["content"]
            if name not in attributes["content"]:
                attributes["key_types"]["content"].append(key)
            attributes["content"][name] = node

    def replace_root(self, node):
        kept = {name: self.schema[name] for name in ("protocol", "_skops_version")}
        self.schema = {**node, **kept}

    def note(self, node):
        """Put a node where nothing reads it: an attribute of the first estimator."""
        self.set("StandardScaler", "note_", node)


# ---- ids and sharing


@mutation("lists that share a node 24 deep")
def _(draft):
    node = draft.value([])
    for _ in range(24):
        stub = {name: node[name] for name in node if name != "content"}
        node = draft.sequence([node, {**stub, "content": []}])
    draft.note(node)


@mutation("lists written twice 16 deep")
def _(draft):
    node = draft.value([])
    for _ in range(16):
        node = draft.sequence([node, node])
    draft.note(node)


@mutation("two arrays with one id")
def _(draft):
    small, large = draft.value(np.zeros(3)), draft.value(np.zeros(10**6))
    large["__id__"] = small["__id__"]
    draft.note(draft.sequence([small, large]))


for identity in [0, -5, True, 1.0, "7", [1], None, 2**61, 10**40, {}]:

    @mutation(f"an id that is {identity!r}")
    def _(draft, identity=identity):
        draft.note({**draft.value(1), "__id__": identity})


@mutation("ids with one hash")
def _(draft):
    prime = 2**61 - 1
    items = [{**draft.value(i), "__id__": prime * (i + 1)} for i in range(40_000)]
    draft.note(draft.sequence(items))


@mutation("a list that holds itself")
def _(draft):
    node = draft.value([1])
    node["content"] = [{**node, "content": []}]
    draft.note(node)


@mutation("a list that holds the pipeline")
def _(draft):
    draft.note({**draft.value([1]), "__id__": draft.schema["__id__"]})


@mutation("a node without an id")
def _(draft):
    node = draft.value(1)
    del node["__id__"]
    draft.note(node)


@mutation("a cached node")
def _(draft):
    draft.note(draft.node("CachedNode", "builtins.list", __id__=draft.schema["__id__"]))


# ---- counts, widths and depths


@mutation("60,000 arrays")
def _(draft):
    draft.arrays |= {f"{number}.npy": b"" for number in range(60_000)}


@mutation("60,000 networks")
def _(draft):
    draft.members |= {f"network-{number}.safetensors": b"" for number in range(60_000)}


@mutation("999 empty networks")
def _(draft):
    draft.members |= {f"network-{number}.safetensors": b"" for number in range(999)}
    draft.manifest["networks"] = [[]] * 999


for name, content in {
    "wide lists": b"[" + b"[]," * 1_000_000 + b"[]]",
    "wide dicts": b"[" + b"{}," * 1_000_000 + b"{}]",
    "a wide dict": b"{" + b",".join(b'"%d":1' % i for i in range(900_000)) + b"}",
    "wide numbers": b"[" + b"1," * 2_000_000 + b"1]",
    "a deep list": b"[" * 400_000,
    "a list 200 deep": b"[" * 200 + b"]" * 200,
    "a list 201 deep": b"[" * 201 + b"]" * 201,
    "a long text": b'"' + b"x" * 15_000_000 + b'"',
    "a long number": b"9" * 15_000_000,
    "too long a text": b'"' + b"x" * 17_000_000 + b'"',
}.items():

    @mutation(f"{name} as the schema")
    def _(draft, content=content):
        draft.text = content

    @mutation(f"{name} in a value")
    def _(draft, content=content):
        draft.note({**draft.value(1), "content": content.decode()})

    @mutation(f"{name} as the manifest")
    def _(draft, content=content):
        members = {"manifest.json": content, "pipeline.skops": b""}
        stream = io.BytesIO()
        write_zip(stream, members)
        draft.content = stream.getvalue()


@mutation("20,000 estimators")
def _(draft):
    kind = "sklearn.preprocessing._data.StandardScaler"
    draft.note(draft.sequence(draft.node("ObjectNode", kind) for _ in range(20_000)))


@mutation("estimators 40 deep")
def _(draft):
    node = draft.value(None)
    for _ in range(40):
        node = draft.object(
            "sklearn.frozen._frozen.FrozenEstimator", {"estimator": node}
        )
    draft.note(node)


@mutation("a set of numbers with one hash")
def _(draft):
    numbers = [draft.value((2**61 - 1) * i) for i in range(60_000)]
    draft.note(draft.sequence(numbers, set))


@mutation("a dict of numbers with one hash")
def _(draft):
    keys = [str((2**61 - 1) * i) for i in range(50_000)]
    draft.note(draft.dict({key: draft.value(0) for key in keys}, "builtins.int"))


@mutation("a dict without the types of its keys")
def _(draft):
    node = draft.value({"a": 1})
    node["key_types"]["content"] = []
    draft.note(node)


@mutation("a dict of numbers that are no numbers")
def _(draft):
    draft.note(draft.dict({"9" * 10_000: draft.value(0)}, "builtins.int"))


@mutation("a set of lists")
def _(draft):
    draft.note(draft.sequence([draft.value([])], set))


@mutation("a list of a text")
def _(draft):
    draft.note({**draft.value([]), "content": "x" * 10**6})


@mutation("a slice of lists")
def _(draft):
    content = {"start": [[]] * 1000, "stop": None, "step": None}
    draft.note(draft.node("SliceNode", "builtins.slice", content=content))


@mutation("wide test predictions")
def _(draft):
    draft.manifest["probe"] = [[0.5] * 1000] * 400


@mutation("test predictions of texts")
def _(draft):
    draft.manifest["probe"] = [["9" * 10**6], ["x"]]


@mutation("a version that is a long list")
def _(draft):
    draft.manifest["versions"]["numpy"] = ["0"] * 100_000


# ---- arrays

HEADERS = {
    "V0": ("|V0", (3 * 10**8,)),
    "V0 of 0 values": ("|V0", (0,)),
    "V8": ("|V8", (0,)),
    "S0": ("|S0", (3 * 10**8,)),
    "U0": ("<U0", (3 * 10**8,)),
    "a record": ([("a", "<f8"), ("b", "<i8")], (0,)),
    "an array in each value": (("<f8", (1000, 1000)), (0,)),
    "objects": ("|O", (10**8,)),
    "int8 with 3e8 values": ("|i1", (3 * 10**8,)),
    "10**9 empty rows": ("<f8", (10**9, 0)),
    "10**18 empty columns": ("<f8", (0, 10**18)),
    "negative sides": ("<f8", (-1, 0)),
    "70 sides": ("<f8", (1,) * 70 + (0,)),
    "10**40 values": ("<f8", (10**20, 10**20)),
    "a side that is no number": ("<f8", (1.5,)),
    "a text of 10**9 letters": (f"<U{10**9}", (1,)),
    "dates": ("<M8[10000000000ns]", (10**9,)),
}
for name, (descr, shape) in HEADERS.items():
    for attribute in ("mean_", "classes_"):
        kind = {"mean_": "StandardScaler", "classes_": "LogisticRegression"}[attribute]

        @mutation(f"{attribute} of {name}")
        def _(draft, kind=kind, attribute=attribute, descr=descr, shape=shape):
            draft.set(kind, attribute, draft.header(descr, shape))


@mutation("classes_ of 2e7 numbers")
def _(draft):
    draft.set("LogisticRegression", "classes_", draft.value(np.zeros(2 * 10**7, "i1")))


@mutation("mean_ of three dimensions")
def _(draft):
    draft.set("StandardScaler", "mean_", draft.value(np.zeros((10**6, 1, 1))))


@mutation("coef_ of three dimensions")
def _(draft):
    draft.set("LogisticRegression", "intercept_", draft.value(np.zeros((10**6, 1, 1))))


@mutation("one file for 60,000 arrays")
def _(draft):
    array = draft.value(np.zeros(2 * 10**6, "i1"))
    arrays = [{**array, "__id__": next(draft.ids)} for _ in range(60_000)]
    draft.note(draft.sequence(arrays))


@mutation("an array of objects that holds an array 2000 times")
def _(draft):
    array = draft.value(np.zeros(10**6, "i1"))
    node = draft.node("NdArrayNode", "numpy.ndarray", type="json")
    draft.note({**node, "shape": draft.value((2000, 1)), "content": [array] * 2000})


@mutation("a masked array of a list that holds an array 2000 times")
def _(draft):
    array = draft.value(np.zeros(10**6, "i1"))
    content = {"data": draft.sequence([array] * 2000), "mask": draft.value(np.False_)}
    draft.note(draft.node("MaskedArrayNode", "numpy.ma.MaskedArray", content=content))


for kind in ("void", "object_", "bytes_", "str_", "float64", "datetime64"):

    @mutation(f"a number as {kind}")
    def _(draft, kind=kind):
        content = io.BytesIO()
        np.save(content, np.array(4 * 10**9))
        draft.note(draft.npy(content.getvalue(), kind))


@mutation("an array as float64")
def _(draft):
    draft.note({**draft.value(np.zeros(10**6)), "__class__": "float64"})


@mutation("an array in another file")
def _(draft):
    draft.note({**draft.value(np.zeros(3)), "file": "schema.json"})


@mutation("an array in no file")
def _(draft):
    node = draft.value(np.zeros(3))
    del draft.arrays[node["file"]]
    draft.note(node)


@mutation("an array of an unknown type")
def _(draft):
    draft.note({**draft.value(np.zeros(3)), "type": "pickle"})


@mutation("a sparse array")
def _(draft):
    draft.arrays["5.npz"] = b""
    node = draft.node("SparseMatrixNode", "scipy.sparse._csr.csr_matrix", file="5.npz")
    draft.note({**node, "type": "scipy"})


# ---- random generators


def random_state(draft, **changes):
    """A RandomState with parts of its state changed."""
    state = {"key": np.zeros(624, np.uint32), "pos": 624, **changes}
    parts = {"bit_generator": "MT19937", "state": state, "has_gauss": 0, "gauss": 0.0}
    return draft.node(
        "RandomStateNode",
        "numpy.random.mtrand.RandomState",
        content=draft.value(parts),
    )


for position in [v for v in EXTREMES if v != 0] + ["0", [1]]:

    @mutation(f"a RandomState at word {position!r}")
    def _(draft, position=position):
        node = random_state(draft, pos=position)
        draft.set("LogisticRegression", "random_state", node)


for name, key in {
    "623 words": np.zeros(623, np.uint32),
    "625 words": np.zeros(625, np.uint32),
    "two rows of words": np.zeros((2, 624), np.uint32),
    "no array": 5,
    "fractions": np.zeros(624),
}.items():

    @mutation(f"a RandomState of {name}")
    def _(draft, key=key):
        draft.set("LogisticRegression", "random_state", random_state(draft, key=key))


@mutation("a RandomState with the state of another")
def _(draft):
    content = draft.value(("MT19937", np.zeros(624, np.uint32), 2**30, 0, 0.0))
    kind = "numpy.random.mtrand.RandomState"
    draft.note(draft.node("RandomStateNode", kind, content=content))


# ---- sizes that estimators state: none may cost anything, wherever it is

ONE = np.zeros(1)
STEPS = {
    "sklearn.kernel_approximation.AdditiveChi2Sampler": {
        "sample_steps": 10**9,
        "sample_interval": 0.5,
    },
    "sklearn.kernel_approximation.PolynomialCountSketch": {
        **{"degree": 1, "gamma": 1.0, "coef0": 0, "n_components": 10**10},
        **{"indexHash_": np.zeros((1, 4), int), "bitHash_": np.zeros((1, 4))},
    },
    "sklearn.preprocessing._polynomial.PolynomialFeatures": {
        **{"degree": 60, "interaction_only": False, "include_bias": True},
        **{"order": "C", "_min_degree": 0, "_max_degree": 60, "_n_out_full": 635_376},
        "n_output_features_": 635_376,
    },
    "sklearn.preprocessing._discretization.KBinsDiscretizer": {
        **{"n_bins": 5, "encode": "onehot-dense", "strategy": "uniform"},
        **{"n_bins_": np.full(4, 10**9), "dtype": None},
    },
    "sklearn.preprocessing._data.QuantileTransformer": {
        **{"n_quantiles": 10**9, "quantiles_": np.zeros((1, 4))},
        "output_distribution": "normal",
    },
    "sklearn.decomposition._lda.LatentDirichletAllocation": {
        **{"n_components": 10**9, "max_doc_update_iter": 10**9, "n_jobs": 10**6},
        **{"components_": np.ones((2, 4)), "mean_change_tol": 0.0},
        **{"exp_dirichlet_component_": np.ones((2, 4)), "doc_topic_prior_": 0.5},
    },
    "sklearn.decomposition._nmf.NMF": {
        **{"components_": np.ones((2, 4)), "max_iter": 10**9, "tol": 0.0},
        **{"n_components": 10**9, "_n_components": 10**9},
    },
    "sklearn.decomposition._factor_analysis.FactorAnalysis": {
        **{"components_": np.zeros((60_000, 4)), "mean_": ONE},
        "noise_variance_": np.ones(4),
    },
    "sklearn.decomposition._dict_learning.SparseCoder": {
        **{"dictionary": np.ones((2, 4)), "transform_max_iter": 10**9},
        **{"transform_algorithm": "lasso_cd", "n_jobs": 10**6},
    },
    "sklearn.impute._knn.KNNImputer": {
        **{"n_neighbors": 10**9, "_fit_X": np.zeros((10**6, 4))},
        "_mask_fit_X": np.ones((10**6, 4), bool),
    },
    "sklearn.preprocessing._encoders.OneHotEncoder": {
        **{"categories_": [np.arange(10**6)] * 4, "sparse_output": False},
        **{"drop_idx_": None, "_infrequent_enabled": False, "dtype": None},
    },
    "sklearn.pipeline.FeatureUnion": {
        "transformer_list": [("a", "passthrough")] * 3_000,
        **{"n_jobs": None, "transformer_weights": None, "verbose": False},
    },
    "sklearn.compose._column_transformer.ColumnTransformer": {
        "transformers": [("a", "passthrough", [0, 1])] * 1_000,
        "transformers_": [("a", "passthrough", [0, 1])] * 1_000,
        **{"remainder": "drop", "n_jobs": 10**6},
    },
    "sklearn.random_projection.GaussianRandomProjection": {
        **{"n_components": 10**9, "n_components_": 10**9},
        "components_": np.zeros((10**6, 4)),
    },
}
for kind, attributes in STEPS.items():

    @mutation(f"a step {kind.rpartition('.')[2]} of a huge size")
    def _(draft, kind=kind, attributes=attributes):
        step = draft.object(kind, {**attributes, "n_features_in_": 4})
        steps = draft.schema["content"]["content"]["steps"]["content"]
        steps[0] = draft.sequence([draft.value("huge"), step], tuple)


CLASSIFIERS = {
    "sklearn.ensemble._bagging.BaggingClassifier": {
        **{"n_classes_": 10**10, "n_estimators": 10**9, "n_jobs": 10**6},
        **{"estimators_": [], "estimators_features_": [], "classes_": np.arange(3)},
    },
    "sklearn.dummy.DummyClassifier": {
        **{"n_classes_": 10**10, "n_outputs_": 10**9, "strategy": "uniform"},
        **{"classes_": np.arange(3), "class_prior_": ONE, "_strategy": "uniform"},
    },
    "sklearn.neural_network._multilayer_perceptron.MLPClassifier": {
        **{"n_layers_": 10**9, "coefs_": [], "intercepts_": [], "n_outputs_": 10**9},
        **{"activation": "relu", "out_activation_": "softmax"},
    },
    "sklearn.ensemble._hist_gradient_boosting.gradient_boosting."
    "HistGradientBoostingClassifier": {
        **{"n_trees_per_iteration_": 10**10, "_predictors": [], "classes_": [0, 1]},
        "_baseline_prediction": ONE,
    },
    "sklearn.ensemble._weight_boosting.AdaBoostClassifier": {
        **{"n_classes_": 10**10, "estimators_": [], "classes_": np.arange(10**6)},
    },
}
for kind, attributes in CLASSIFIERS.items():

    @mutation(f"a {kind.rpartition('.')[2]} of a huge size")
    def _(draft, kind=kind, attributes=attributes):
        draft.replace_root(draft.object(kind, {**attributes, "n_features_in_": 4}))


for value in (4 * 10**8, 10**20, -1, 0, 4.5, float("nan"), "4", None, True):

    @mutation(f"n_features_in_ of {value!r}")
    def _(draft, value=value):
        draft.set("StandardScaler", "n_features_in_", draft.value(value))
        draft.set("LogisticRegression", "n_features_in_", draft.value(value))


@mutation("n_features_in_ of an array")
def _(draft):
    draft.set("StandardScaler", "n_features_in_", draft.value(np.int64(4 * 10**8)))


# ---- networks


@mutation("150,000 dense units", "network")
def _(draft):
    draft.set("TransferLearningClassifier", "dense_units", draft.value(150_000))


@mutation("as many dense units as weights", "network")
def _(draft):
    n_weights = len(draft.members["network-0.safetensors"]) // 4 // 4
    draft.set("TransferLearningClassifier", "dense_units", draft.value(n_weights))


for name in ("densenet121", "vgg19"):

    @mutation(f"weights of tiny for {name}", "network")
    def _(draft, name=name):
        draft.set("TransferLearningClassifier", "backbone", draft.value(name))


@mutation("one layer pooled 5,000 times", "linear")
def _(draft):
    draft.set("BackboneFeatures", "layers", draft.value([1] * 5_000))
    draft.set("BackboneFeatures", "layer_names_", draft.value(["x"] * 5_000))


@mutation("a layer pooled in 5,000 ways", "linear")
def _(draft):
    draft.set("BackboneFeatures", "pooling", draft.value(["avg", "max"] * 2_500))


def side(draft, kind, height, width):
    draft.set(kind, "image_size_", draft.value((height, width)))


for height, width in [(4096, 4096), (8192, 8192), (1, 8192), (10**9, 1), (0, 32)]:

    @mutation(f"images of {height} x {width}", "linear")
    def _(draft, height=height, width=width):
        side(draft, "RadiographReader", height, width)
        side(draft, "BackbonePreprocessor", height, width)
        draft.set("NetworkReference", "image_size", draft.value((height, width)))


@mutation("a network of 4096 x 4096", "network")
def _(draft):
    size = draft.value((4096, 4096))
    draft.set("NetworkReference", "image_size", size)
    shape = draft.value((1, 4096, 4096, 3))
    draft.set("TransferLearningClassifier", "X_shape_", shape)


@mutation("one network in 60 estimators", "linear")
def _(draft):
    node = next(n for n in draft.nodes() if n["__class__"] == "BackboneFeatures")
    text = json.dumps(node)

    def other(number):
        # Other estimators: other ids.
        def renumber(match):
            return f'"__id__": {int(match[1]) + number * 2**50}'

        found = json.loads(re.sub(r'"__id__": (\d+)', renumber, text))
        for part in [n for n in walk(found) if n.get("type") == "numpy"]:
            content = draft.arrays[part["file"]]
            part["file"] = f"{part['__id__']}.npy"
            draft.arrays[part["file"]] = content
        return found

    draft.set("LogisticRegression", "note_", draft.sequence(map(other, range(1, 60))))


def walk(part):
    """All nodes below a part of a schema."""
    if isinstance(part, dict) and "__loader__" in part:
        yield part
    if isinstance(part, dict | list):
        for child in part.values() if isinstance(part, dict) else part:
            yield from walk(child)


@mutation("one network 60 times in a list", "linear")
def _(draft):
    node = next(n for n in draft.nodes() if n["__class__"] == "BackboneFeatures")
    draft.set("LogisticRegression", "note_", draft.sequence([node] * 60))


@mutation("one pipeline 40 times in a vote", "linear")
def _(draft):
    root = copy.deepcopy(draft.schema)
    vote = {
        **{"estimators_": draft.sequence([root] * 40), "voting": "soft"},
        **{"classes_": np.arange(3), "estimators": [], "weights": None},
        **{"n_jobs": 10**6, "flatten_transform": True, "verbose": False},
    }
    draft.replace_root(draft.object("sklearn.ensemble._voting.VotingClassifier", vote))


for name, content in {
    "a header of 100 MB": struct.pack("<Q", 10**8) + b" " * 10**8,
    "a header of 30,000 arrays": b"arrays",
    "a header longer than the file": struct.pack("<Q", 10**6) + b"{}",
    "no header": b"",
    "half a length": b"\0\0\0",
    "a deep header": struct.pack("<Q", 10**6) + b"[" * 10**6,
    "a header of a wide list": struct.pack("<Q", 10**6 + 1)
    + b"["
    + b"1," * (5 * 10**5 - 1)
    + b"1]",
}.items():

    @mutation(f"weights with {name}", "network")
    def _(draft, content=content):
        if content == b"arrays":
            entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
            text = json.dumps({str(i): entry for i in range(30_000)}).encode()
            content = struct.pack("<Q", len(text)) + text
        draft.members["network-0.safetensors"] = content


# ---- the zip


def packed(draft):
    """The bytes of the file that a draft makes."""
    stream = io.BytesIO()
    pipeline = io.BytesIO()
    write_zip(pipeline, {**draft.arrays, "schema.json": json.dumps(draft.schema)})
    write_model(stream, {**draft.members, "pipeline.skops": pipeline.getvalue()})
    return bytearray(stream.getvalue())


for name, (start, stop, content) in {
    "a directory of 4 GB": (-10, -6, b"\xff" * 4),
    "a directory that begins later": (-6, -2, b"\xff" * 4),
    "a comment that is missing": (-2, None, b"\xff\xff"),
    "no members": (-14, -10, bytes(4)),
    "more members than it has": (-14, -10, b"\xfe\xff" * 2),
}.items():

    @mutation(name)
    def _(draft, start=start, stop=stop, content=content):
        file = packed(draft)
        file[start:stop] = content
        draft.content = bytes(file)


@mutation("a directory of 2**62 bytes")
def _(draft):
    file = packed(draft)
    locator = b"PK\6\7" + struct.pack("<LQL", 0, len(file) - 22, 1)
    sizes = struct.pack("<QHHLLQQQQ", 44, 45, 45, 0, 0, 3, 3, 2**62, 0)
    draft.content = bytes(file[:-22]) + b"PK\6\6" + sizes + locator + bytes(file[-22:])


@mutation("a comment of 60,000 bytes")
def _(draft):
    file = packed(draft)
    file[-2:] = struct.pack("<H", 60_000)
    draft.content = bytes(file) + b"PK\5\6" * 15_000


# ---- changes by chance, each from its seed: they may leave a good file


def by_chance(seed):
    def change(draft):
        rng = random.Random(seed)
        nodes = list(draft.nodes())
        for _ in range(rng.randint(1, 3)):
            node = rng.choice(nodes)
            part = rng.choice([key for key in node if key != "__module__"])
            node[part] = rng.choice(
                [
                    *EXTREMES,
                    json.dumps(rng.choice(EXTREMES)),
                    copy.deepcopy(rng.choice(nodes)),
                    [copy.deepcopy(rng.choice(nodes)) for _ in range(3)],
                    copy.deepcopy(rng.choice(nodes).get(part)),
                ]
            )

    return change


def damaged(seed):
    def change(draft):
        rng, file = random.Random(seed), packed(draft)
        for _ in range(rng.randint(1, 4)):
            file[rng.randrange(len(file))] = rng.randrange(256)
        draft.content = bytes(file[: rng.choice([len(file), rng.randrange(len(file))])])

    return change


BY_CHANCE = []
# What costs nothing is no error: the file is loaded.
HARMLESS = {
    *("999 empty networks", "a long text in a value", "classes_ of 2e7 numbers"),
    *("a version that is a long list", "estimators 40 deep"),
    *("mean_ of three dimensions", "coef_ of three dimensions"),
    *("a comment that is missing", "no members", "more members than it has"),
    *("images of 4096 x 4096", "images of 8192 x 8192", "a network of 4096 x 4096"),
    *("one network 60 times in a list", "one pipeline 40 times in a vote"),
    *(name for name in MUTATIONS if "of a huge size" in name),
    *("n_features_in_ of 400000000", f"n_features_in_ of {10**20}"),
    "n_features_in_ of an array",
}
for base, count in {"table": 60, "linear": 12, "network": 8}.items():
    for seed in range(count):
        BY_CHANCE.append(f"{base} changed by chance, seed {seed}")
        MUTATIONS[BY_CHANCE[-1]] = base, by_chance(seed)
for seed in range(20):
    BY_CHANCE.append(f"table damaged by chance, seed {seed}")
    MUTATIONS[BY_CHANCE[-1]] = "table", damaged(seed)


# ---- measuring


def make_good_files(folder):
    """Save the small models that are changed; return their paths."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    import skcovid
    from _helpers import tiny_backbone

    X, y = tiny_backbone.make_images(12)
    quick = {"weights": None, "verbose": 0, "random_state": 0}
    tuned = {"dense_units": 8, "epochs": 1, "factor": 1, "validation_fraction": 0.34}
    table = make_pipeline(StandardScaler(), LogisticRegression(random_state=0))
    pipeline = skcovid.make_transfer_pipeline
    models = {
        "table": table.fit(X[:, ::8, 8].astype(float), y),
        "linear": pipeline("tiny", recipe="linear", **quick).fit(X, y),
        "network": pipeline("tiny", recipe="fast", **quick, **tuned).fit(X, y),
    }
    for name, model in models.items():
        skcovid.save(model, folder / f"{name}.skcovid")
    return {name: folder / f"{name}.skcovid" for name in models}


def peak_memory():
    """Largest resident memory since the last call, in bytes; Linux only."""
    status = Path("/proc/self/status").read_text()
    Path("/proc/self/clear_refs").write_text("5")
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024


def measure(folder):
    """Load every file; print what it took. More than 20 s or 4 GB end the process."""
    import skcovid
    from _helpers import tiny_backbone

    tiny_backbone.register()
    warnings.simplefilter("ignore")
    with tiny_backbone.eagerly(), np.errstate(all="ignore"):
        good = make_good_files(folder)
        held = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
        resource.setrlimit(resource.RLIMIT_AS, (held + 4 * 2**30,) * 2)
        for name, (base, change) in MUTATIONS.items():
            print(json.dumps({"begun": name}), flush=True)
            draft, path = Draft(good[base]), folder / "hostile.skcovid"
            change(draft)
            draft.write(path)
            del draft
            hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
            limit = int(time.process_time()) + 20
            resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))
            peak_memory()
            before, start = peak_memory(), time.process_time()
            try:
                skcovid.load(path)
                error = None
            except Exception as caught:
                error = f"{type(caught).__name__}: {caught}"
            seconds = time.process_time() - start
            found = {"name": name, "error": error and error[:500], "seconds": seconds}
            print(json.dumps({**found, "bytes": peak_memory() - before}), flush=True)


if __name__ == "__main__":
    measure(Path(sys.argv[1]))
