"""Hostile and damaged model files: each is an error and runs no code."""

import functools
import io
import json
import operator
import os
import pickle
import re
import shutil
import stat
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import joblib
import keras
import numpy as np
import pytest
import safetensors.numpy
import skops.io
from sklearn.preprocessing import StandardScaler

import skcovid
from _helpers import hostile_models, tiny_backbone
from _helpers.hostile_files import read_members, repacked, write_model, write_zip
from skcovid import make_transfer_pipeline
from skcovid.persistence import ModelFileError, _networks, describe

tiny_backbone.register()
pytestmark = [
    pytest.mark.usefixtures("eager"),
    # TensorFlow warns where its functions run eagerly.
    pytest.mark.filterwarnings("ignore:Even though the .tf.config"),
]

X, Y = tiny_backbone.make_images(12)
# Memory that any file may use, including the network of the valid one.
MAX_BYTES = 40_000_000
HONEST, NETWORK = "model.skcovid", "network-0.safetensors"


class Touch:
    """Runs a command when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


class Attempt:
    """Makes hostile files from a valid one; run, they would create `canary`.

    Every method below writes a file to `path`.
    """

    def __init__(self, folder, honest, detached):
        self.path = folder / "hostile.skcovid"
        self.canary = folder / "canary"
        self.honest = honest.read_bytes()
        self.members = read_members(honest)
        self.detached = detached

    def write(self, content):
        self.path.write_bytes(content)

    def with_member(self, name, content):
        write_model(self.path, {**self.members, name: content})

    def with_unlisted(self, *extra):
        """Write the valid members followed by others."""
        write_zip(self.path, [*self.members.items(), *extra])

    def with_manifest(self, **changes):
        write_model(self.path, self.members, **changes)

    def with_pipeline_member(self, name, change):
        skops_file = repacked(self.members["pipeline.skops"], {name: change})
        self.with_member("pipeline.skops", skops_file)

    def with_schema(self, change):
        def changed(text):
            schema = json.loads(text)
            return json.dumps(change(schema) or schema).encode()

        self.with_pipeline_member("schema.json", changed)

    def with_attribute(self, step, name, value):
        """Dump the pipeline like `save`, with an attribute of a step changed."""
        estimator = self.detached.named_steps[step]
        before = dict(vars(estimator))
        setattr(estimator, name, value)
        try:
            content = skops.io.dumps(self.detached)
        finally:
            vars(estimator).clear()
            vars(estimator).update(before)
        self.with_member("pipeline.skops", content)

    def with_weights(self, change):
        arrays = safetensors.numpy.load(self.members[NETWORK])
        change(arrays)
        self.with_member(NETWORK, safetensors.numpy.save(arrays))

    def with_first_array(self, content):
        with zipfile.ZipFile(io.BytesIO(self.members["pipeline.skops"])) as archive:
            name = next(n for n in archive.namelist() if n.endswith(".npy"))
        self.with_pipeline_member(name, lambda _: content)


@pytest.fixture(scope="module")
def fitted():
    return make_transfer_pipeline(
        "tiny",
        recipe="fast",
        weights=None,
        dense_units=8,
        epochs=1,
        factor=1,
        validation_fraction=0.34,
        verbose=0,
        random_state=0,
    ).fit(X, Y)


@pytest.fixture(scope="module")
def honest(fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp("honest") / HONEST
    skcovid.save(fitted, path)
    return path


@pytest.fixture
def attempt(honest, fitted, tmp_path):
    return Attempt(tmp_path, honest, _networks.extract_networks(fitted)[0])


# ---- files that are something else


def empty(attempt):
    attempt.write(b"")


def text(attempt):
    attempt.write(b"x,y\n1,2\n")


def a_pickle(attempt):
    attempt.write(pickle.dumps(Touch(attempt.canary)))


def a_joblib_file(attempt):
    joblib.dump(Touch(attempt.canary), attempt.path)


def a_foreign_zip(attempt):
    write_zip(attempt.path, {"word/document.xml": b"<xml/>"})


def an_empty_zip(attempt):
    write_zip(attempt.path, {})


def a_skops_file(attempt):
    skops.io.dump({"a": 1}, attempt.path)


def a_keras_file_with_a_lambda(attempt):
    inputs = keras.Input((4,))
    canary = str(attempt.canary)

    def run(tensor):
        from pathlib import Path

        Path(canary).touch()
        return tensor

    model = keras.Model(inputs, keras.layers.Lambda(run, output_shape=(4,))(inputs))
    attempt.canary.unlink(missing_ok=True)
    model.save(attempt.path.with_suffix(".keras"))
    attempt.path.with_suffix(".keras").rename(attempt.path)
    attempt.canary.unlink(missing_ok=True)


def another_manifest(attempt):
    attempt.with_manifest(format="sklearn-model")


# ---- damage


def cut_in_the_first_header(attempt):
    attempt.write(attempt.honest[:10])


def cut_at_a_quarter(attempt):
    attempt.write(attempt.honest[: len(attempt.honest) // 4])


def cut_at_half(attempt):
    attempt.write(attempt.honest[: len(attempt.honest) // 2])


def cut_in_the_directory(attempt):
    attempt.write(attempt.honest[:-40])


def cut_by_a_byte(attempt):
    attempt.write(attempt.honest[:-1])


def without_its_beginning(attempt):
    attempt.write(attempt.honest[100:])


def a_flipped_byte_in_the_weights(attempt):
    content = bytearray(attempt.honest)
    content[content.find(attempt.members[NETWORK]) + 5000] ^= 1
    attempt.write(content)


def a_flipped_byte_in_the_manifest(attempt):
    content = bytearray(attempt.honest)
    content[content.find(b'"sha256": "') + 12] ^= 1
    attempt.write(content)


def changed_weights_under_the_old_checksum(attempt):
    weights = bytearray(attempt.members[NETWORK])
    weights[-100] ^= 1
    write_zip(attempt.path, {**attempt.members, NETWORK: bytes(weights)})


# ---- the zip


def a_member_above_the_folder(attempt):
    attempt.with_unlisted(("../canary", b"here"))


def a_member_at_an_absolute_path(attempt):
    attempt.with_unlisted((str(attempt.canary), b"here"))


def a_member_above_the_folder_in_windows(attempt):
    attempt.with_unlisted(("..\\canary", b"here"))


def a_symbolic_link(attempt):
    link = zipfile.ZipInfo("network-1.safetensors")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    attempt.with_unlisted((link, b"/etc/passwd"))


def the_same_member_twice(attempt):
    attempt.with_unlisted(("pipeline.skops", attempt.members["pipeline.skops"]))


def a_bomb(attempt):
    members = {**attempt.members, NETWORK: bytes(100_000_000)}
    write_zip(attempt.path, members, zipfile.ZIP_DEFLATED)


def a_bomb_that_hides_its_size(attempt):
    """In the directory the member is uncompressed and as long as when compressed."""
    write_zip(attempt.path, {NETWORK: bytes(100_000_000)}, zipfile.ZIP_DEFLATED)
    content = bytearray(attempt.path.read_bytes())
    entry = content.find(b"PK\x01\x02")
    content[entry + 10 : entry + 12] = bytes(2)
    content[entry + 24 : entry + 28] = content[entry + 20 : entry + 24]
    content[8:10] = bytes(2)
    attempt.write(content)


def members_that_claim_to_be_huge(attempt):
    content = bytearray(attempt.honest)
    entry = content.rfind(b"PK\x01\x02")
    content[entry + 20 : entry + 28] = struct.pack("<II", 2**31, 2**31)
    attempt.write(content)


def an_encrypted_member(attempt):
    content = bytearray(attempt.honest)
    content[content.rfind(b"PK\x01\x02") + 8] |= 1
    attempt.write(content)


def a_bomb_inside_the_pipeline(attempt):
    bomb = io.BytesIO()
    write_zip(bomb, {"schema.json": bytes(100_000_000)}, zipfile.ZIP_DEFLATED)
    attempt.with_member("pipeline.skops", bomb.getvalue())


def a_member_above_the_folder_inside_the_pipeline(attempt):
    attempt.with_pipeline_member("../canary", lambda _: b"here")


def an_unknown_member(attempt):
    attempt.with_member("setup.py", b"import os")


def an_unlisted_network(attempt):
    attempt.with_unlisted(("network-1.safetensors", attempt.members[NETWORK]))


def without_the_network(attempt):
    members = {n: part for n, part in attempt.members.items() if n != NETWORK}
    write_zip(attempt.path, members)


def without_the_network_and_any_mention(attempt):
    members = {n: part for n, part in attempt.members.items() if n != NETWORK}
    write_model(attempt.path, members, networks=[])


def without_the_pipeline_and_any_mention(attempt):
    members = {n: part for n, part in attempt.members.items() if "pipeline" not in n}
    write_model(attempt.path, members)


def a_pickle_in_place_of_the_pipeline(attempt):
    attempt.with_member("pipeline.skops", pickle.dumps(Touch(attempt.canary)))


def a_pickle_in_place_of_the_weights(attempt):
    attempt.with_member(NETWORK, pickle.dumps(Touch(attempt.canary)))


def a_keras_configuration_with_a_lambda(attempt):
    layer = {"class_name": "Lambda", "config": {"function": ["4wEAAA==", None, None]}}
    attempt.with_member("config.json", json.dumps(layer).encode())


# ---- the manifest


def a_newer_format(attempt):
    attempt.with_manifest(format_version=2)


def no_format_version(attempt):
    attempt.with_manifest(format_version=float("nan"))


def another_major_version(attempt):
    attempt.with_manifest(versions={"skcovid": "3.0.0"})


def a_huge_manifest(attempt):
    attempt.with_manifest(note="x" * 17_000_000)


def a_deep_manifest(attempt):
    write_zip(attempt.path, {**attempt.members, "manifest.json": b"[" * 1_000_000})


def a_rather_deep_manifest(attempt):
    deep = b"[" * 500 + b"]" * 500
    write_zip(attempt.path, {**attempt.members, "manifest.json": deep})


def a_manifest_of_a_list(attempt):
    write_zip(attempt.path, {**attempt.members, "manifest.json": b"[1]"})


def a_manifest_of_other_types(attempt):
    attempt.with_manifest(networks={"0": "Lambda"})


def a_lambda_layer_in_the_manifest(attempt):
    (layers,) = json.loads(attempt.members["manifest.json"])["networks"]
    attempt.with_manifest(networks=[[*layers[:-1], "Lambda"]])


# ---- the pipeline


def a_call_of_the_system(attempt):
    attempt.with_attribute("read", "lazy", os.system)


def eval_as_a_parameter(attempt):
    attempt.with_attribute("balance", "sampling_strategy", eval)


def a_partial_call(attempt):
    call = functools.partial(os.system, f"touch {attempt.canary}")
    attempt.with_attribute("balance", "sampling_strategy", call)


def a_method_caller(attempt):
    attempt.with_attribute("read", "lazy", operator.methodcaller("__reduce__"))


def a_bound_method(attempt):
    attempt.with_attribute("read", "lazy", StandardScaler().fit)


def a_random_generator(attempt):
    attempt.with_attribute("balance", "random_state", np.random.default_rng(0))


def a_cache_folder(attempt):
    attempt.with_attribute("read", "lazy", joblib.Memory(attempt.canary))
    shutil.rmtree(attempt.canary)


def another_class_name(attempt):
    def change(schema):
        schema["__module__"], schema["__class__"] = "os", "system"

    attempt.with_schema(change)


def another_loader(attempt):
    def change(schema):
        schema["__loader__"] = "ConstructorFromReduceNode"

    attempt.with_schema(change)


def a_loader_that_is_no_name(attempt):
    def change(schema):
        schema["__loader__"] = {"a": 1}

    attempt.with_schema(change)


def a_reference_to_itself(attempt):
    def change(schema):
        schema["content"] = {
            "__loader__": "ListNode",
            "__class__": "list",
            "__module__": "builtins",
            "__id__": schema["__id__"],
        }

    attempt.with_schema(change)


def a_deep_schema(attempt):
    attempt.with_pipeline_member("schema.json", lambda _: b'{"a":' * 200_000)


def a_rather_deep_schema(attempt):
    def change(schema):
        node = schema["content"]
        for number in range(400):
            node = {
                "__loader__": "ListNode",
                "__class__": "list",
                "__module__": "builtins",
                "__id__": number,
                "content": [node],
            }
        schema["content"] = node

    attempt.with_schema(change)


def a_huge_schema(attempt):
    attempt.with_pipeline_member("schema.json", lambda _: b"[" + b"[]," * 6_000_000)


def no_schema(attempt):
    attempt.with_pipeline_member("schema.json", lambda _: None)


def an_array_of_pickles(attempt):
    content = io.BytesIO()
    np.save(content, np.array([Touch(attempt.canary)], dtype=object))
    attempt.with_first_array(content.getvalue())


def an_array_that_claims_to_be_huge(attempt):
    content = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**7, 10**6)}
    np.lib.format.write_array_header_1_0(content, header)
    attempt.with_first_array(content.getvalue() + bytes(80))


def an_array_of_negative_size(attempt):
    content = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (-2, -5)}
    np.lib.format.write_array_header_1_0(content, header)
    attempt.with_first_array(content.getvalue() + bytes(80))


def an_array_with_code_in_its_header(attempt):
    header = f"__import__('os').system('touch {attempt.canary}')".encode()
    length = struct.pack("<H", len(header))
    attempt.with_first_array(b"\x93NUMPY\x01\x00" + length + header)


def no_array(attempt):
    attempt.with_first_array(b"not an array")


def a_parameter_of_another_type(attempt):
    attempt.with_attribute("classify", "dropout", "much")


def a_transform_of_another_type(attempt):
    zoom = skcovid.augmentation.Zoom()
    object.__setattr__(zoom, "low", "near")
    attempt.with_attribute("balance", "transforms", [zoom])


def data_in_place_of_a_method(attempt):
    attempt.with_attribute("classify", "predict_proba", [1, 2])


def no_constraints_on_parameters(attempt):
    attempt.with_attribute("classify", "_parameter_constraints", {})


def another_network_attribute(attempt):
    attempt.with_attribute("classify", "_network_attribute", "history_")


def a_network_in_place_of_another_attribute(attempt):
    reference = _networks.NetworkReference(0, (32, 32), ())
    attempt.with_attribute("classify", "history_", reference)


def a_size_that_is_no_number(attempt):
    attempt.with_attribute("read", "image_size_", (float("nan"), 32))


def a_negative_size(attempt):
    attempt.with_attribute("preprocess", "image_size_", (-32, 32))


def a_huge_size(attempt):
    attempt.with_attribute("read", "image_size_", (8193, 32))


def a_head_of_huge_size(attempt):
    attempt.with_attribute("classify", "dense_units", 10**10)


def a_network_of_huge_images(attempt):
    reference = _networks.NetworkReference(0, (10**6, 10**6), ())
    attempt.with_attribute("classify", "model_", reference)


def a_network_of_other_images(attempt):
    reference = _networks.NetworkReference(0, (64, 64), ())
    attempt.with_attribute("classify", "model_", reference)


def a_network_of_too_few_layers(attempt):
    reference = _networks.NetworkReference(0, (32, 32), ())
    attempt.with_attribute("classify", "model_", reference)


def a_network_that_is_not_there(attempt):
    reference = _networks.NetworkReference(7, (32, 32), ())
    attempt.with_attribute("classify", "model_", reference)


def a_network_behind_another_estimator(attempt):
    reference = _networks.NetworkReference(0, (32, 32), ())
    attempt.with_attribute("read", "model_", reference)


def another_number_of_classes(attempt):
    attempt.with_attribute("classify", "n_classes_", 10**9)


def another_first_layer(attempt):
    attempt.with_attribute("classify", "fine_tune_from_", -1)


def no_classes(attempt):
    attempt.with_attribute("classify", "classes_", "all")


def an_unknown_backbone(attempt):
    reference = _networks.BackboneReference("unheard of", "tf")
    attempt.with_attribute("classify", "backbone_", reference)


# ---- the weights


def weights_of_another_shape(attempt):
    def change(arrays):
        name = next(name for name in arrays if "kernel" in name)
        arrays[name] = arrays[name][..., :-1].copy()

    attempt.with_weights(change)


def weights_of_another_type(attempt):
    def change(arrays):
        name = next(name for name in arrays if "kernel" in name)
        arrays[name] = arrays[name].astype(np.float64)

    attempt.with_weights(change)


def weights_missing(attempt):
    attempt.with_weights(lambda arrays: arrays.popitem())


def weights_too_many(attempt):
    attempt.with_weights(lambda arrays: arrays.update({"more": np.zeros(3)}))


def weights_with_a_huge_header(attempt):
    attempt.with_member(NETWORK, struct.pack("<Q", 2**62) + b"{}")


def weights_that_claim_to_be_huge(attempt):
    header = json.dumps(
        {"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}
    ).encode()
    attempt.with_member(NETWORK, struct.pack("<Q", len(header)) + header + bytes(64))


CASES = {
    empty: "is empty",
    text: "not a zip file",
    a_pickle: "not a zip file",
    a_joblib_file: "not a zip file",
    a_foreign_zip: "holds 'word/document.xml'",
    an_empty_zip: "not a zip file",
    a_skops_file: "holds 'schema.json'",
    a_keras_file_with_a_lambda: "holds 'metadata.json'",
    another_manifest: "not that of a skcovid model",
    cut_in_the_first_header: "truncated",
    cut_at_a_quarter: "truncated",
    cut_at_half: "truncated",
    cut_in_the_directory: "truncated",
    cut_by_a_byte: "truncated",
    without_its_beginning: "not a zip file",
    a_flipped_byte_in_the_weights: "damaged",
    a_flipped_byte_in_the_manifest: "damaged",
    changed_weights_under_the_old_checksum: "was changed after it was saved",
    a_member_above_the_folder: "holds '../canary'",
    a_member_at_an_absolute_path: "holds '.*/canary'",
    a_member_above_the_folder_in_windows: r"holds '\.\.",
    a_symbolic_link: "'network-1.safetensors' is not in its manifest",
    the_same_member_twice: "twice",
    a_bomb: "compressed",
    a_bomb_that_hides_its_size: "damaged|truncated",
    members_that_claim_to_be_huge: "larger than the whole file",
    an_encrypted_member: "encrypted",
    a_bomb_inside_the_pipeline: "compressed",
    a_member_above_the_folder_inside_the_pipeline: "holds '../canary'",
    an_unknown_member: "holds 'setup.py'",
    an_unlisted_network: "'network-1.safetensors' is not in its manifest",
    without_the_network: "'network-0.safetensors' is missing",
    without_the_network_and_any_mention: "network of its TransferLearning.* missing",
    without_the_pipeline_and_any_mention: "'pipeline.skops' is missing",
    a_pickle_in_place_of_the_pipeline: "not a zip file",
    a_pickle_in_place_of_the_weights: "Safetensor",
    a_keras_configuration_with_a_lambda: "holds 'config.json'",
    a_newer_format: "format version 2.*newer skcovid",
    no_format_version: "format version",
    another_major_version: "saved with skcovid 3.0.0",
    a_huge_manifest: "manifest.json has 17,",
    a_deep_manifest: "manifest.json has 1,000,000 values",
    a_rather_deep_manifest: "manifest.json is too deeply nested",
    a_manifest_of_a_list: "not that of a skcovid model",
    a_manifest_of_other_types: "no valid 'networks'",
    a_lambda_layer_in_the_manifest: "layers does not match the parameters",
    a_call_of_the_system: "posix.system",
    eval_as_a_parameter: "builtins.eval",
    a_partial_call: "functools.partial|posix.system",
    a_method_caller: "operator.methodcaller",
    a_bound_method: "MethodNode",
    a_random_generator: "numpy.random._generator.Generator",
    a_cache_folder: "joblib.memory.Memory",
    another_class_name: "os.system",
    another_loader: "ConstructorFromReduceNode",
    a_loader_that_is_no_name: "HoldoutPipeline",
    a_reference_to_itself: "hostile.skcovid",
    a_deep_schema: "schema.json is too deeply nested",
    a_rather_deep_schema: "schema.json is too deeply nested",
    a_huge_schema: "schema.json has 18,",
    no_schema: "no schema.json",
    an_array_of_pickles: "a pickle",
    an_array_that_claims_to_be_huge: "announces an array",
    an_array_of_negative_size: "announces an array",
    an_array_with_code_in_its_header: "not an array",
    no_array: "not an array",
    a_parameter_of_another_type: "'dropout' parameter",
    a_transform_of_another_type: "Zoom is not valid",
    data_in_place_of_a_method: "in place of .* 'predict_proba'",
    no_constraints_on_parameters: "in place of .* '_parameter_constraints'",
    another_network_attribute: "in place of .* '_network_attribute'",
    a_network_in_place_of_another_attribute: "belongs to two estimators",
    a_size_that_is_no_number: r"image_size_ .*\(nan, 32\)",
    a_negative_size: r"image_size_ .*\(-32, 32\)",
    a_huge_size: "image_size_",
    a_head_of_huge_size: "dense_units=10000000000 .* head",
    a_network_of_huge_images: "image size of its TransferLearningClassifier",
    a_network_of_other_images: "X_shape_ is",
    a_network_of_too_few_layers: "shorter",
    a_network_that_is_not_there: "network of its TransferLearningClassifier",
    a_network_behind_another_estimator: "RadiographReader",
    another_number_of_classes: "n_classes_ is 1000000000",
    another_first_layer: "fine_tune_from_ is -1",
    no_classes: "classes_ must be an array",
    an_unknown_backbone: "'unheard of' is not registered",
    weights_of_another_shape: "weights .*kernel.* its parameters need",
    weights_of_another_type: "float64",
    weights_missing: "weights .* its parameters need",
    weights_too_many: "weights .* its parameters need",
    weights_with_a_huge_header: "Safetensor",
    weights_that_claim_to_be_huge: "Safetensor",
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_error_names_the_reason_and_nothing_is_run(case, attempt, monkeypatch):
    with np.errstate(all="ignore"):
        case(attempt)
    folder = attempt.path.parent
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    monkeypatch.chdir(folder)
    tracemalloc.start()
    with pytest.raises(ModelFileError, match=CASES[case]) as refusal:
        skcovid.load(attempt.path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(refusal.value).startswith(f"{attempt.path} can't be loaded: ")
    assert not attempt.canary.exists()
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert not (folder.parent / "canary").exists()
    assert peak < len(attempt.path.read_bytes()) + MAX_BYTES


def test_the_canary_works(attempt):
    """The code in the hostile files does create `canary` when it is run."""
    pickle.loads(pickle.dumps(Touch(attempt.canary)))
    assert attempt.canary.exists()


def test_the_honest_file_is_read(honest, fitted):
    np.testing.assert_array_equal(
        skcovid.load(honest).predict_proba(X), fitted.predict_proba(X)
    )


@pytest.mark.parametrize("case", [text, cut_at_half, a_newer_format, a_deep_manifest])
def test_describe_refuses_it_too(case, attempt):
    case(attempt)
    with pytest.raises(ModelFileError, match=r"hostile\.skcovid.*loaded"):
        describe(attempt.path)


# What the message of some of the changed files says.
REASONS = {
    "lists that share a node 24 deep": "two parts have one id",
    "ids with one hash": "has the id 2305843009213693951",
    "60,000 arrays": "too many members",
    "wide lists in a value": "values, more than 500,000",
    "wide dicts as the manifest": "values, more than 500,000",
    "a list 200 deep as the manifest": "not that of a skcovid model",
    "a list 201 deep as the manifest": "too deeply nested",
    "20,000 estimators": "more than 5,000 objects",
    "a set of numbers with one hash": "set or dict of 60,000 numbers",
    "classes_ of V0": "no data",
    "mean_ of 10**18 empty columns": "announces an array",
    "one file for 60,000 arrays": "its array .* is in",
    "a RandomState at word 1073741824": "at word 1073741824",
    "150,000 dense units": "dense_units=150000 needs a head",
    "weights of tiny for vgg19": "there are 885",
    "one layer pooled 5,000 times": "twice",
    "one network in 60 estimators": "belongs to two estimators",
    "weights with a header of 100 MB": "header of network 0",
    "a directory of 2**62 bytes": "its directory has 4,611,686",
}


def measure_changed_files(folder):
    """Yield what each of the changed files cost in one process."""
    helpers = Path(hostile_models.__file__).parents[1]
    paths = os.pathsep.join([str(helpers), str(helpers.parent)])
    done = subprocess.run(
        [sys.executable, "-m", "_helpers.hostile_models", str(folder)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line[:1] == "{"]
    assert done.returncode == 0, (
        f"{lines[-1:]} ended the process: {done.stderr[-2000:]}"
    )
    return [line for line in lines if "name" in line]


# One test, so that parallel workers do not measure the files several times.
@pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")
def test_changed_files_cost_little_and_are_refused_for_their_reason(tmp_path):
    found = measure_changed_files(tmp_path)
    assert [file["name"] for file in found] == list(hostile_models.MUTATIONS)
    assert set(hostile_models.MUTATIONS) > REASONS.keys()
    wrong = [
        file
        for file in found
        if file["seconds"] >= 3
        or file["bytes"] >= 1e9
        or (file["error"] and "can't be loaded" not in file["error"])
        or not re.search(REASONS.get(file["name"], ""), file["error"] or "")
        or (
            file["name"] not in hostile_models.BY_CHANCE
            and (file["error"] is None) != (file["name"] in hostile_models.HARMLESS)
        )
    ]
    assert not wrong


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_a_pipe_or_folder_is_refused_at_once(make, tmp_path):
    make(tmp_path / "model.skcovid")
    for read in (skcovid.load, describe):
        with pytest.raises(OSError, match=r"model\.skcovid.* pipe .*path of a file"):
            read(tmp_path / "model.skcovid")
