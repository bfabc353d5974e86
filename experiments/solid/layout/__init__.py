"""The layout of SOLID: what stands where in a picture. NumPy alone; the result is a scene in plain JSON.

* `compose_target(rng, config, rooms=, meshes=, seed=, index=, attempt=)` draws one cluttered room,
  `compose_query(rng, config, class_id=, meshes=, seed=)` one model on its turntable.
* Order of reading: compose (the table of contents), grid, camera, placement, collide, lights, scene.
* audit checks a finished scene with other mathematics than the ones that composed it.
"""

from experiments.solid.layout.compose import compose_query, compose_target
from experiments.solid.layout.failure import LayoutFailure
from experiments.solid.layout.scene import Scene

__all__ = ["LayoutFailure", "Scene", "compose_query", "compose_target"]
