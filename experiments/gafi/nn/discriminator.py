"""The discriminator of BigGAN-deep in the StudioGAN style, with projection (GaFi, section 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
from keras import ops

from experiments.gafi.nn.backend import Tensor
from experiments.gafi.nn.generator import check_name
from experiments.gafi.nn.layers import (
    Composite,
    Init,
    SelfAttention,
    SNConv,
    SNDense,
    SNEmbedding,
    SpectralNorm,
    Weights,
    average_pool,
    blur_pool,
    spectral_layers,
)
from experiments.gafi.nn.tables import discriminator_table

if TYPE_CHECKING:
    from experiments.gafi.config_sections import GanModel


def build_discriminator(
    model: GanModel,
    *,
    num_classes: int,
    channels: int,
    image_size: int,
    seed: int,
    init_sharing: str = "own",
    sn_stop_gradient: bool = False,
    precision: str = "float32",
) -> Discriminator:
    """The built network `((x (n,H,W,channels) f32, labels (n,) int32), training) -> (n,1) f32` logits.

    Further arguments and errors as for generator.build_generator.
    """
    check_name(model)
    network = Discriminator(
        model,
        num_classes=num_classes,
        channels=channels,
        image_size=image_size,
        init=Init(seed, init_sharing),
        sn_stop_gradient=sn_stop_gradient,
        precision=precision,
    )
    network.build()
    return network


class DiscriminatorBlock(Composite):
    """ReLU-1x1, ReLU-3x3, ReLU-3x3, [pool], ReLU-1x1, plus the skip path. (n,h,w,in) -> (n,h',w',out).

    StudioGAN style: the skip path is 1x1 and pool where the block halves or widens, else the identity. Other
    style: the ReLU comes before the pool; the skip path is the pool and a 1x1 convolution for new channels.
    """

    def __init__(
        self,
        *,
        name: str,
        inputs: int,
        outputs: int,
        down: bool,
        first: bool,
        studiogan: bool,
        blur: bool,
        init: Init,
        dtype: str,
    ):
        super().__init__(name=name, dtype=dtype)
        self.down, self.studiogan = down, studiogan
        self.pool = blur_pool if blur else average_pool
        # A 1x1 convolution and the average commute, and pooling first has a quarter of the products; a blur's
        # border of zeros does not commute with the bias, so there the published order stays.
        self.pool_skip_first = first or not studiogan or not blur
        hidden = outputs // 4
        sizes = [(1, inputs, hidden), (3, hidden, hidden), (3, hidden, hidden), (1, hidden, outputs)]
        self.convs = [
            SNConv(name=f"conv{i}", size=size, inputs=cin, outputs=cout, init=init, dtype=dtype)
            for i, (size, cin, cout) in enumerate(sizes, 1)
        ]
        self.skip = None
        extra = outputs if studiogan else outputs - inputs
        if inputs != outputs or (down and studiogan):
            self.skip = SNConv(name="skip", size=1, inputs=inputs, outputs=extra, init=init, dtype=dtype)
        self.parts = [*self.convs] if self.skip is None else [*self.convs, self.skip]

    def forward(self, x: Tensor, weights: Weights) -> Tensor:
        h = x
        for conv in self.convs[:3]:
            h = conv.forward(ops.relu(h), weights)
        if self.studiogan:
            h = ops.relu(self.pool(h) if self.down else h)
        else:
            h = self.pool(ops.relu(h)) if self.down else ops.relu(h)
        return self.convs[3].forward(h, weights) + self._skip_path(x, weights)

    def _skip_path(self, x: Tensor, weights: Weights) -> Tensor:
        if self.down and self.pool_skip_first:
            x = self.pool(x)
        if self.skip is not None:
            y = self.skip.forward(x, weights)
            x = y if self.studiogan else ops.concatenate([x, y], axis=-1)
        return self.pool(x) if self.down and not self.pool_skip_first else x


class Discriminator(keras.Model):
    """See `build_discriminator`."""

    def __init__(
        self,
        model: GanModel,
        *,
        num_classes: int,
        channels: int,
        image_size: int,
        init: Init,
        sn_stop_gradient: bool,
        precision: str,
    ):
        # Keras would cast the variables of a network of mixed precision; only its layers' products are lower.
        super().__init__(name="discriminator", dtype="float32")
        self.precision = keras.DTypePolicy(precision).compute_dtype
        table = discriminator_table(image_size)
        self.sn_stop_gradient = sn_stop_gradient
        width = table.in_channels[0] * model.d_conv_dim
        self.first_conv = SNConv(
            name="first_conv", size=3, inputs=channels, outputs=width, init=init, dtype=precision
        )
        self.body = []
        for stage, out in enumerate(table.out_channels):
            for i in range(model.d_depth):
                self.body.append(
                    DiscriminatorBlock(
                        name=f"block{stage}_{i}",
                        inputs=width,
                        outputs=out * model.d_conv_dim,
                        down=table.down[stage] and i == 0,
                        first=stage == 0 and i == 0,
                        studiogan=model.studiogan,
                        blur=model.blur_resample,
                        init=init,
                        dtype=precision,
                    )
                )
                width = out * model.d_conv_dim
            if model.apply_d_attn and stage == table.attention_after:
                self.body.append(SelfAttention(name="attention", channels=width, init=init, dtype=precision))
        # The two heads work in float32 whatever the precision: their sum is the logit.
        self.head = SNDense(name="head", inputs=width, outputs=1, init=init, dtype="float32")
        self.embedding = SNEmbedding(
            name="embedding", classes=num_classes, width=width, init=init, dtype="float32"
        )
        self.parts = [self.first_conv, *self.body, self.head, self.embedding]

    def build(self, input_shape: None = None) -> None:
        for part in self.parts:
            part.build()
        self.spectral_norm = SpectralNorm(spectral_layers(self), stop_gradient=self.sn_stop_gradient)

    def call(self, inputs: tuple[Tensor, Tensor], training: bool = False) -> Tensor:
        x, labels = inputs
        weights = self.spectral_norm(training=training)
        x = self.first_conv.forward(ops.cast(x, self.precision), weights)
        for layer in self.body:
            x = layer.forward(x, weights)
        features = ops.sum(ops.cast(ops.relu(x), "float32"), axis=(1, 2))
        projection = ops.sum(self.embedding.forward(labels, weights) * features, axis=-1, keepdims=True)
        return self.head.forward(features, weights) + projection
