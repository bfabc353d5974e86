"""What dalle-mini 0.1.5 asks of an older JAX and of wandb; to be imported before it.

It reads two names that JAX has moved or dropped, and imports wandb for downloads that are not made here.
"""

import sys
import types

import jax
import jax.experimental
import jax.numpy as jnp
from jax.sharding import PartitionSpec

jnp.DeviceArray = jax.Array
jax.experimental.PartitionSpec = PartitionSpec
sys.modules.setdefault("wandb", types.ModuleType("wandb"))
