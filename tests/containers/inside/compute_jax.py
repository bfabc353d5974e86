"""Runs in the jax image: a small Flax model takes a step down its loss."""

import jax
import jax.numpy as jnp
import optax
from flax import nnx

model = nnx.Linear(3, 1, rngs=nnx.Rngs(0))
optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)
inputs = jax.random.normal(jax.random.key(0), (16, 3))


@nnx.jit
def step(model, optimizer):
    loss, gradients = nnx.value_and_grad(lambda m: jnp.mean((m(inputs)[:, 0] - inputs[:, 0]) ** 2))(model)
    optimizer.update(model, gradients)
    return loss


losses = [float(step(model, optimizer)) for _ in range(5)]
assert losses[-1] < losses[0]
