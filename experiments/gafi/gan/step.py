"""One step of the GAN in one compiled call: D updates, G update, average (order of the published code).

A step takes a basket of real images, `batch_size * d_updates_per_step * acml_steps` of them. Each of the
`d_updates_per_step` updates of D sees the whole basket again, with fresh fakes of the basket's labels; fakes
come first in the batch that D judges. Then G is updated on as many fresh latents, and its average follows.
Networks run in training mode throughout, so the moving statistics of G and the vectors u of both networks
move in every pass.

Switches of the published settings: `split_batch_d_steps` gives each D update its own part of the basket;
`random_labels` draws the labels of fakes; `g_updates_per_step` repeats the G update; `apply_g_ema: false`
leaves the average out; `LOSS` chooses the loss and R1. `acml_steps` only makes the basket larger.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import keras
from keras import ops

from experiments.gafi.config_sections import GanScript
from experiments.gafi.nn import ema as average
from experiments.gafi.nn import losses
from experiments.gafi.nn.backend import Tensor, fold_in, jit, normal, uniform, value_and_grad
from experiments.gafi.nn.optimizers import Adam
from experiments.gafi.nn.state import ModelState, apply, state_of

LOSS_NAMES = ("D_loss_real", "D_loss_fake", "G_loss")  # of the last update of each, as in history.csv
Batch = tuple[Tensor, Tensor]  # images or latents, labels
LOSS_SCALE = 1024.0  # of float16, where small gradients would round to zero; a power of two, so exact


class GanState(NamedTuple):
    """All that the next step depends on, besides images and keys."""

    generator: ModelState
    discriminator: ModelState
    ema: ModelState  # empty lists without apply_g_ema
    g_slots: list[Tensor]
    d_slots: list[Tensor]
    step: Tensor  # int32 scalar: steps done

    @property
    def sampler(self) -> ModelState:
        """The generator to draw from: the average, where there is one."""
        return self.ema if self.ema.trainable else self.generator


@dataclass(frozen=True, kw_only=True)
class Networks:
    """The two networks and what the step needs to know of the data."""

    generator: keras.Model
    discriminator: keras.Model
    num_classes: int


def basket_size(script: GanScript) -> int:
    """Real images of one step."""
    optimization = script.OPTIMIZATION
    return optimization.batch_size * optimization.d_updates_per_step * optimization.acml_steps


def optimizers_of(script: GanScript) -> tuple[Adam, Adam]:
    """(of G, of D)."""
    settings = script.OPTIMIZATION
    return (
        Adam(beta1=settings.g_beta1, beta2=settings.g_beta2, eps=settings.adam_eps),
        Adam(beta1=settings.d_beta1, beta2=settings.d_beta2, eps=settings.adam_eps),
    )


def initial_state(networks: Networks, script: GanScript) -> GanState:
    """The state before the first step: initial weights, empty slots, an average that is a copy."""
    generator, discriminator = state_of(networks.generator), state_of(networks.discriminator)
    copy = state_of(networks.generator) if script.MODEL.apply_g_ema else ModelState([], [])
    of_g, of_d = optimizers_of(script)
    return GanState(
        generator, discriminator, copy, of_g.init(generator.trainable), of_d.init(discriminator.trainable),
        ops.convert_to_tensor(0, "int32"),
    )  # fmt: skip


class GanStep:
    """The compiled step: `step(state, images, labels, index, keys) -> (state, losses)`.

    images: (N, H, W, C) float32, the whole training set on the device; labels: (N,) int32; index: (basket,)
    int32, which of them; keys: (2, 2) int32, for latents and for flips. losses: (3,) float32, see LOSS_NAMES.
    The arrays of `state` must not be used again (JAX writes the new state into their memory).
    """

    def __init__(
        self, networks: Networks, script: GanScript, *, xla: bool = False, half: bool = False
    ) -> None:
        """xla: also compile the updates by XLA; draws stay outside, since XLA has other random numbers, so
        results differ by rounding only. half: the networks compute in float16, so losses are scaled.
        """
        self.networks, self.script = networks, script
        self.scale = LOSS_SCALE if half else 1.0
        self.g_optimizer, self.d_optimizer = optimizers_of(script)
        if xla:
            advance = jit(self.advance, xla=True)
        else:  # a function within the compiled one: the updates of D are traced once, not each anew
            advance = partial(self.advance, d_update=jit(self._d_update))
        self._compiled = jit(partial(self.compute, advance=advance), donate=(0,))

    def __call__(
        self, state: GanState, images: Tensor, labels: Tensor, index: Tensor, keys: Tensor
    ) -> tuple[GanState, Tensor]:
        return self._compiled(state, images, labels, index, keys)

    def compute(
        self, state: GanState, images: Tensor, labels: Tensor, index: Tensor, keys: Tensor,
        *, advance: Callable | None = None,
    ) -> tuple[GanState, Tensor]:  # fmt: skip
        """The step as plain operations; `__call__` runs it compiled, `advance` in parts."""
        real, wanted = ops.take(images, index, axis=0), ops.take(labels, index, axis=0)
        if self.script.DATA.horizontal_flip:
            real = flip(real, keys[1])
        settings = self.script.OPTIMIZATION
        count, part = settings.d_updates_per_step, real.shape[0]
        if settings.split_batch_d_steps:
            part //= count
        reals, d_draws, g_draws = [], [], []
        for number in range(count):
            first = number * part if settings.split_batch_d_steps else 0
            reals.append((real[first : first + part], wanted[first : first + part]))
            d_draws.append(self._draw(reals[-1][1], keys[0], number))
        for number in range(count, count + settings.g_updates_per_step):
            g_draws.append(self._draw(wanted, keys[0], number))
        return (advance or self.advance)(state, reals, d_draws, g_draws)

    def advance(
        self, state: GanState, reals: list[Batch], d_draws: list[Batch], g_draws: list[Batch],
        *, d_update: Callable | None = None,
    ) -> tuple[GanState, Tensor]:  # fmt: skip
        """All updates of a step.

        reals: (images, labels) of each D update; d_draws, g_draws: (latents, labels) of each update's fakes.
        """
        for real, draw in zip(reals, d_draws, strict=True):
            state, d_losses = (d_update or self._d_update)(state, real, draw)
        for draw in g_draws:
            state, g_loss = self._g_update(state, draw)
        state = self._average(state._replace(step=state.step + 1))
        return state, ops.stack([*d_losses, g_loss])

    # -- discriminator --------------------------------------------------------------------------------

    def _d_update(self, state: GanState, real: Batch, draw: Batch) -> tuple[GanState, tuple[Tensor, Tensor]]:
        """One update of D. The fakes are made outside of what is differentiated."""
        discriminator, (latents, fake_labels) = state.discriminator, draw
        fake, g_other = apply(self.networks.generator, state.generator, (latents, fake_labels), training=True)
        (_, (d_losses, d_other)), grads = value_and_grad(self._d_loss)(
            discriminator.trainable, discriminator.other, ops.stop_gradient(fake), fake_labels, *real
        )
        weights, slots = self.d_optimizer.update(
            discriminator.trainable, self._unscaled(grads), state.d_slots, lr=self.script.OPTIMIZATION.d_lr
        )
        state = state._replace(
            generator=ModelState(state.generator.trainable, g_other),
            discriminator=ModelState(weights, d_other),
            d_slots=slots,
        )
        return state, d_losses

    def _d_loss(
        self, weights: list[Tensor], other: list[Tensor], fake: Tensor, fake_labels: Tensor,
        real: Tensor, labels: Tensor,
    ) -> tuple[Tensor, Any]:  # fmt: skip
        """(scaled loss, ((on real, on fake), new vectors u)) of one batch, fakes first."""
        model, current, count = self.networks.discriminator, ModelState(weights, other), fake.shape[0]
        batch = (ops.concatenate([fake, real], 0), ops.concatenate([fake_labels, labels], 0))
        logits, new_other = apply(model, current, batch, training=True)
        on_real, on_fake = losses.discriminator_loss(self.script.LOSS.type, logits[count:], logits[:count])
        loss = on_real + on_fake
        if self.script.LOSS.grad_penalty_type is not None:

            def logits_of(images: Tensor) -> Tensor:
                return apply(model, current, (images, labels), training=True)[0]

            loss += self.script.LOSS.grad_penalty_cost * losses.r1_penalty(logits_of, real)
        return loss * self.scale, ((on_real, on_fake), new_other)

    # -- generator ------------------------------------------------------------------------------------

    def _g_update(self, state: GanState, draw: Batch) -> tuple[GanState, Tensor]:
        """One update of G; of D only the vectors u move."""
        generator, discriminator, (latents, fake_labels) = state.generator, state.discriminator, draw

        def loss_of(weights: list[Tensor]) -> tuple[Tensor, Any]:
            current = ModelState(weights, generator.other)
            fake, g_other = apply(self.networks.generator, current, (latents, fake_labels), training=True)
            logits, d_other = apply(
                self.networks.discriminator, discriminator, (fake, fake_labels), training=True
            )
            loss = losses.generator_loss(self.script.LOSS.type, logits)
            return loss * self.scale, (loss, g_other, d_other)

        (_, (loss, g_other, d_other)), grads = value_and_grad(loss_of)(generator.trainable)
        weights, slots = self.g_optimizer.update(
            generator.trainable, self._unscaled(grads), state.g_slots, lr=self.script.OPTIMIZATION.g_lr
        )
        state = state._replace(
            generator=ModelState(weights, g_other),
            discriminator=ModelState(discriminator.trainable, d_other),
            g_slots=slots,
        )
        return state, loss

    def _average(self, state: GanState) -> GanState:
        model = self.script.MODEL
        if not model.apply_g_ema:
            return state
        new = average.update(
            state.ema, state.generator, state.step, decay=model.g_ema_decay, start=model.g_ema_start
        )
        return state._replace(ema=new)

    # -- both -----------------------------------------------------------------------------------------

    def _draw(self, labels: Tensor, key: Tensor, number: int) -> Batch:
        """Latents (n, latent_dim) and labels (n,) of the fakes of the `number`-th update of a step."""
        latents = normal(fold_in(key, 2 * number), (labels.shape[0], self.script.MODEL.latent_dim))
        if not self.script.OPTIMIZATION.random_labels:
            return latents, labels
        num = self.networks.num_classes
        drawn = uniform(fold_in(key, 2 * number + 1), labels.shape, 0.0, float(num))
        # Rounding may give the upper end itself.
        return latents, ops.minimum(ops.cast(ops.floor(drawn), labels.dtype), num - 1)

    def _unscaled(self, grads: Sequence[Tensor]) -> list[Tensor]:
        return [ops.cast(grad, "float32") / self.scale for grad in grads]


def flip(images: Tensor, key: Tensor) -> Tensor:
    """Each image (n, H, W, C) mirrored left to right with probability 1/2."""
    mirrored = uniform(key, (images.shape[0], 1, 1, 1)) < 0.5
    return ops.where(mirrored, ops.flip(images, axis=2), images)
