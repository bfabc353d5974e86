"""The generator of BigGAN-deep in the StudioGAN style (GaFi, section 4; Brock et al. 2019, appendix B)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
from keras import ops

from experiments.gafi.nn.backend import Tensor
from experiments.gafi.nn.batch_norm import BatchNorm
from experiments.gafi.nn.layers import (
    Composite,
    ConditionalBatchNorm,
    Init,
    Projections,
    SelfAttention,
    SNConv,
    SNDense,
    SNImageConv,
    SNUpConv,
    SpectralNorm,
    Weights,
    spectral_layers,
    upsample,
)
from experiments.gafi.nn.tables import FIRST_SIZE, GeneratorTable, generator_table
from suite.errors import BadInput

if TYPE_CHECKING:
    from experiments.gafi.config_sections import GanModel

EMBEDDING_LIMIT = 0.05  # the class embedding starts uniform in +-0.05 and is not normalised (published code)


def build_generator(
    model: GanModel,
    *,
    num_classes: int,
    channels: int,
    image_size: int,
    seed: int,
    init_sharing: str = "own",
    sn_stop_gradient: bool = False,
    normalize: bool = True,
    precision: str = "float32",
) -> Generator:
    """The built network `((z (n,latent_dim) f32, labels (n,) int32), training) -> (n,H,W,channels) f32`.

    normalize: images in [-1,1] (tanh), else in [0,1] (sigmoid). precision: a Keras dtype policy; variables,
    norms and the output stay float32. init_sharing: layers.Init; sn_stop_gradient: layers.power_iteration.
    Raises BadInput for an unknown network or image size.
    """
    check_name(model)
    network = Generator(
        model,
        num_classes=num_classes,
        channels=channels,
        image_size=image_size,
        init=Init(seed, init_sharing),
        sn_stop_gradient=sn_stop_gradient,
        normalize=normalize,
        precision=precision,
    )
    network.build()
    return network


def check_name(model: GanModel) -> None:
    """Raises BadInput for a network that does not exist here."""
    if model.name != "biggan_deep":
        raise BadInput(f"MODEL.name {model.name} is not supported", fix="set it to biggan_deep")


class GeneratorBlock(Composite):
    """CBN-ReLU-1x1, CBN-ReLU-[x2]-3x3, CBN-ReLU-3x3, CBN-ReLU-1x1, plus the skip path.

    forward: (n,h,w,in) -> (n,h,w,out), or (n,2h,2w,out) with `up`. The skip path is [x2] and a 1x1
    convolution in the StudioGAN style; else it has no convolution and drops the surplus channels. concat: the
    two paths are joined by a 1x1 convolution of both (main path first) instead of a sum.
    """

    def __init__(
        self,
        *,
        name: str,
        inputs: int,
        outputs: int,
        condition: int,
        up: bool,
        studiogan: bool,
        concat: bool,
        init: Init,
        dtype: str,
    ):
        super().__init__(name=name, dtype=dtype)
        self.outputs, self.up = outputs, up
        hidden = inputs // 4
        widths = [inputs, hidden, hidden, hidden]
        self.norms = [
            ConditionalBatchNorm(name=f"cbn{i}", channels=width, condition=condition, init=init, dtype=dtype)
            for i, width in enumerate(widths, 1)
        ]

        def conv(name: str, size: int, inputs: int, outputs: int) -> SNConv:
            return SNConv(name=name, size=size, inputs=inputs, outputs=outputs, init=init, dtype=dtype)

        self.convs = [
            conv("conv1", 1, inputs, hidden),
            SNUpConv(name="conv2", inputs=hidden, outputs=hidden, init=init, dtype=dtype)
            if up
            else conv("conv2", 3, hidden, hidden),
            conv("conv3", 3, hidden, hidden),
            conv("conv4", 1, hidden, outputs),
        ]
        self.skip = self.join = None
        if studiogan:
            self.skip = conv("skip", 1, inputs, outputs)
        if concat:
            self.join = conv("join", 1, 2 * outputs, outputs)
        self.parts = [*self.norms, *self.convs, *(x for x in (self.skip, self.join) if x is not None)]

    def forward(self, x: Tensor, projected: Weights, weights: Weights, *, training: bool) -> Tensor:
        h = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            h = conv.forward(ops.relu(norm.forward(h, projected, training=training)), weights)
        # A 1x1 convolution and doubling by nearest neighbour commute; this order has a quarter of the work.
        skip = self.skip.forward(x, weights) if self.skip is not None else x[..., : self.outputs]
        if self.up:
            skip = upsample(skip)
        if self.join is not None:
            return self.join.forward(ops.concatenate([h, skip], axis=-1), weights)
        return h + skip


class Generator(keras.Model):
    """See `build_generator`."""

    def __init__(
        self,
        model: GanModel,
        *,
        num_classes: int,
        channels: int,
        image_size: int,
        init: Init,
        sn_stop_gradient: bool,
        normalize: bool,
        precision: str,
    ):
        # Keras would cast the variables of a network of mixed precision; only its layers' products are lower.
        super().__init__(name="generator", dtype="float32")
        self.precision = keras.DTypePolicy(precision).compute_dtype
        table = generator_table(image_size)
        self.hier, self.normalize, self.sn_stop_gradient = model.hier, normalize, sn_stop_gradient
        self.num_classes, self.shared_dim, self.latent_dim = num_classes, model.shared_dim, model.latent_dim
        self.init = init
        condition = model.shared_dim + (model.latent_dim if model.hier else 0)
        self.first = table.in_channels[0] * model.g_conv_dim
        self.trunk = SNDense(
            name="trunk",
            inputs=condition if model.hier else model.latent_dim,
            outputs=FIRST_SIZE**2 * self.first,
            init=init,
            dtype=precision,
        )
        self.body = _body(model, table, condition=condition, init=init, dtype=precision)
        self.last = table.out_channels[-1] * model.g_conv_dim
        self.last_norm = BatchNorm(name="last_bn")
        self.last_conv = SNImageConv(
            name="last_conv", inputs=self.last, outputs=channels, init=init, dtype=precision
        )
        self.parts = [self.trunk, *self.body, self.last_conv]

    def build(self, input_shape: None = None) -> None:
        self.embedding = self.add_weight(
            shape=(self.num_classes, self.shared_dim),
            initializer=self.init.uniform("generator/embedding", EMBEDDING_LIMIT),
            name="embedding",
            dtype="float32",
        )
        for part in self.parts:
            part.build()
        self.last_norm.build((None, None, None, self.last))
        norms = [norm for block in self.body if isinstance(block, GeneratorBlock) for norm in block.norms]
        projections = {id(layer) for norm in norms for layer in norm.parts}
        others = [layer for layer in spectral_layers(self) if id(layer) not in projections]
        self.spectral_norm = SpectralNorm(others, stop_gradient=self.sn_stop_gradient)
        self.projections = Projections(norms, stop_gradient=self.sn_stop_gradient)

    def call(self, inputs: tuple[Tensor, Tensor], training: bool = False) -> Tensor:
        z, labels = inputs
        weights = self.spectral_norm(training=training)
        condition = ops.take(self.embedding.value, labels, axis=0)
        if self.hier:
            condition = ops.concatenate([z, condition], axis=-1)
        trunk = condition if self.hier else z
        condition, trunk = ops.cast(condition, self.precision), ops.cast(trunk, self.precision)
        projected = self.projections(condition, training=training)
        x = ops.reshape(self.trunk.forward(trunk, weights), (-1, FIRST_SIZE, FIRST_SIZE, self.first))
        for layer in self.body:
            if isinstance(layer, SelfAttention):
                x = layer.forward(x, weights)
            else:
                x = layer.forward(x, projected, weights, training=training)
        x = ops.relu(self.last_norm.call(x, training=training))
        x = ops.cast(self.last_conv.forward(x, weights), "float32")
        return ops.tanh(x) if self.normalize else ops.sigmoid(x)


def _body(
    model: GanModel, table: GeneratorTable, *, condition: int, init: Init, dtype: str
) -> list[Composite]:
    """The blocks of all stages and the attention; the last block of a stage doubles the map."""
    body: list[Composite] = []
    for stage, widths in enumerate(zip(table.in_channels, table.out_channels, strict=True)):
        inputs, outputs = (width * model.g_conv_dim for width in widths)
        for i in range(model.g_depth):
            last = i == model.g_depth - 1
            block = GeneratorBlock(
                name=f"block{stage}_{i}",
                inputs=inputs,
                outputs=outputs if last else inputs,
                condition=condition,
                up=last,
                studiogan=model.studiogan,
                concat=model.residual_concat,
                init=init,
                dtype=dtype,
            )
            body.append(block)
        if model.apply_g_attn and stage == table.attention_after:
            body.append(SelfAttention(name="attention", channels=outputs, init=init, dtype=dtype))
    return body
