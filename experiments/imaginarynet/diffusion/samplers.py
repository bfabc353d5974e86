"""The samplers: `pndm_plms` as published, and those of fewer steps; all read the model's noise schedule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
)

from suite.errors import BadInput

Sampler = PNDMScheduler | DDIMScheduler | DPMSolverMultistepScheduler | LCMScheduler | EulerDiscreteScheduler

# Latents are not pixels in [-1, 1]: clipping them, which two samplers do unless told, would spoil them.
KINDS: dict[str, tuple[type, dict[str, Any]]] = {
    "pndm_plms": (PNDMScheduler, {"skip_prk_steps": True}),
    "ddim": (DDIMScheduler, {"clip_sample": False}),
    "dpmpp_2m": (DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "lcm": (LCMScheduler, {"clip_sample": False}),
    "euler": (EulerDiscreteScheduler, {}),
}
# Of the schedule and the network; other keys of a file belong to the sampler that it was written for.
SHARED = (
    "num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "prediction_type",
    "steps_offset", "set_alpha_to_one", "timestep_spacing", "rescale_betas_zero_snr",
)  # fmt: skip


def make_sampler(name: str, schedule: Mapping[str, Any], *, steps: int) -> Sampler:
    """A sampler by its name in the settings. Raises BadInput for more steps than it can take."""
    kind, settings = KINDS[name]
    shared = {key: schedule[key] for key in SHARED if key in schedule}
    sampler = kind.from_config({**shared, **settings})
    limit = sampler.config.num_train_timesteps
    if name == "lcm":
        limit = min(limit, sampler.config.original_inference_steps)
    if steps > limit:
        raise BadInput(f"diffusion.steps is {steps}; {name} takes at most {limit}", fix="lower it")
    return sampler
