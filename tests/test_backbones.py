import math
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from skcovid import BackbonePreprocessor
from skcovid.networks import backbones
from skcovid.networks._weights_file import KERNEL_SIZES
from skcovid.networks.backbones import (
    PAPER_BACKBONES,
    Backbone,
    get_backbone,
    list_backbones,
    register_backbone,
)

# The paper's Tables 1 and 2, typed a second time as a check.
TABLES = {
    "resnet50": (224, "caffe", 165),
    "vgg19": (224, "caffe", 17),
    "densenet121": (224, "torch", 423),
    "inceptionv3": (299, "tf", 299),
}
SMALL = "mobilenetv2", "efficientnetv2b0", "efficientnetlite0", "efficientnetlite2"
TINY = {"builder": "NASNetMobile", "image_size": 32, "mode": "tf", "fine_tune_from": 3}


@pytest.fixture
def registry(monkeypatch):
    """Undo changes of the registry after the test."""
    monkeypatch.setattr(backbones, "_REGISTRY", dict(backbones._REGISTRY))


@pytest.mark.parametrize("name", TABLES)
def test_tables_1_and_2(name):
    backbone = get_backbone(name)
    found = backbone.image_size, backbone.mode, backbone.fine_tune_from
    assert found == TABLES[name]


def test_the_papers_backbones_and_the_small_ones_are_registered():
    assert sorted(PAPER_BACKBONES) == sorted(TABLES)
    assert {*TABLES, *SMALL} <= set(list_backbones())
    assert list_backbones() == sorted(list_backbones())


@pytest.mark.parametrize("name", ["inceptionv3", "InceptionV3", "INCEPTIONV3"])
def test_lookup_ignores_case(name):
    assert get_backbone(name).name == "inceptionv3"


def test_a_backbone_object_is_returned_unchanged():
    backbone = Backbone("unregistered", **TINY)
    assert get_backbone(backbone) is backbone


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("ResNet-50", "resnet50"),
        ("inception_v3", "inceptionv3"),
        ("VGG-19", "vgg19"),
        ("densnet121", "densenet121"),
    ],
)
def test_an_unknown_name_is_an_error_with_suggestions(wrong, nearest):
    with pytest.raises(ValueError, match=f"Did you mean '{nearest}'") as error:
        get_backbone(wrong)
    assert repr(wrong) in str(error.value)
    assert all(name in str(error.value) for name in list_backbones())


@pytest.mark.parametrize("wrong", ["qqqq", None, 50])
def test_an_unlike_name_has_no_suggestion(wrong):
    with pytest.raises(ValueError, match="is not registered") as error:
        get_backbone(wrong)
    assert "Did you mean" not in str(error.value)


@pytest.mark.usefixtures("registry")
class TestRegistration:
    def test_a_registered_name_works_everywhere_in_any_case(self):
        registered = register_backbone("Small", **TINY)
        assert registered.name == "small"
        assert "small" in list_backbones()
        assert get_backbone("SMALL") is registered
        images = np.zeros((1, 8, 8), dtype=np.uint8)
        assert BackbonePreprocessor("small").fit_transform(images).shape == (
            (1, 32, 32, 3)
        )

    def test_registering_the_same_backbone_twice_is_allowed(self):
        first = register_backbone("small", **TINY)
        assert register_backbone("SMALL", **TINY) == first

    def test_another_backbone_under_a_taken_name_is_an_error(self):
        with pytest.raises(ValueError, match="overwrite=True"):
            register_backbone("ResNet50", **TINY)
        assert get_backbone("resnet50").image_size == 224

    def test_overwrite_replaces(self):
        register_backbone("ResNet50", **TINY, overwrite=True)
        assert get_backbone("resnet50").image_size == 32

    @pytest.mark.parametrize(
        ("parameter", "value"),
        [
            ("name", ""),
            ("name", 3),
            ("builder", 3),
            ("image_size", 0),
            ("image_size", 2.5),
            ("mode", "pytorch"),
            ("fine_tune_from", 1.5),
            ("fine_tune_from", None),
        ],
    )
    def test_invalid_parameters_are_errors(self, parameter, value):
        before = list_backbones()
        with pytest.raises(ValueError, match=rf"{parameter}.*{value!r}"):
            register_backbone(**{"name": "small", **TINY, parameter: value})
        assert list_backbones() == before


def test_a_backbone_is_immutable():
    with pytest.raises(FrozenInstanceError):
        get_backbone("vgg19").image_size = 1


def build(name):
    import keras

    # Keras numbers the layers it names across all models of the process.
    keras.utils.clear_session()
    builder = get_backbone(name).builder
    if isinstance(builder, str):
        builder = getattr(keras.applications, builder)
    return builder(include_top=False, weights=None, input_shape=(96, 96, 3))


def count_in_kernels(model):
    shapes = [variable.shape for variable in model.weights]
    return sum(math.prod(shape) for shape in shapes if len(shape) == 4)


@pytest.mark.parametrize(
    ("name", "n_layers", "layer"),
    [
        ("resnet50", 175, "conv5_block3_1_conv"),
        ("vgg19", 22, "block5_conv1"),
        ("densenet121", 427, "conv5_block16_2_conv"),
        ("inceptionv3", 311, "conv2d_93"),
    ],
)
def test_indices_of_table_2_select_the_expected_layers(name, n_layers, layer):
    model = build(name)
    first = model.layers[get_backbone(name).fine_tune_from]
    assert len(model.layers) == n_layers
    assert (first.name, type(first).__name__) == (layer, "Conv2D")
    assert count_in_kernels(model) == KERNEL_SIZES[name]


@pytest.mark.parametrize("name", SMALL)
def test_the_small_networks_are_tuned_from_their_last_convolution(name):
    model = build(name)
    convolutions = [
        layer.name for layer in model.layers if type(layer).__name__ == "Conv2D"
    ]
    assert get_backbone(name).fine_tune_from == convolutions[-1]
    rescales = any(type(layer).__name__ == "Rescaling" for layer in model.layers)
    assert rescales == (get_backbone(name).mode == "raw")
    assert count_in_kernels(model) == KERNEL_SIZES[name]
