# SPDX-License-Identifier: GPL-3.0-or-later
"""Cycles settings, every one written down: the factory defaults of Blender 4.5 are not those SOLID was
rendered with.

Published values are the defaults of BlenderProc 2.2.0 on Blender 2.93, which the authors pin ("published"
below).
"""

from __future__ import annotations

import os

import bpy

from experiments.solid.config import Render
from experiments.solid.render.devices import BACKENDS, cycles_devices, in_use, preferences, select_gpu
from suite.errors import BadInput, Missing

CLIP = (0.1, 1000.0)  # of the camera, scene units; published
MAX_SUBDIVISION = 3  # published: simplify is on
AO_BOUNCES = 3  # published; acts only together with fast GI, which is off
CLAMP_INDIRECT = 10.0  # factory setting of 2.93 and 4.5
FILTER_WIDTH = 1.5  # pixels, Blackman-Harris; factory setting of 2.93 and 4.5
ID_FILTER_WIDTH = 0.01  # the least that Cycles takes: a sample is in the middle of its pixel, ids do not mix
MAX_TILE = (
    2048  # pixels; larger pictures are cut. 2.93 needed 256 to fit its GPUs, 4.5 renders a picture at once
)
MAX_ID = 32767  # object indices are 16-bit integers with a sign


def available_threads() -> int:
    """Number of CPUs this process may use."""
    return len(os.sched_getaffinity(0))


def select_device(device: str) -> str:
    """Make Cycles use the CPU ("cpu") or every GPU ("cuda": OptiX if there is, else CUDA). Returns what it
    is.

    Raises Missing if a GPU was promised and Cycles sees none: there is no silent way back to the CPU.
    """
    if device == "cpu":
        preferences().compute_device_type = "NONE"
        return "CPU"
    if device != "cuda":
        raise BadInput(f"unknown device {device!r}", fix="use --device cpu or --device cuda")
    found = cycles_devices()
    backend = next((name for name in BACKENDS if found.get(name)), None)
    if backend is None:
        raise Missing(
            "--device cuda was asked for and Cycles sees no GPU", fix="see docs/gpu.md, or use --device cpu"
        )
    select_gpu(backend)
    if not in_use(backend):
        raise Missing(f"Cycles would not switch its {backend} devices on", fix="see docs/gpu.md")
    return backend


def common_settings(
    scene: bpy.types.Scene, *, resolution: tuple[int, int], backend: str, threads: int
) -> None:
    """What pictures and id maps share: engine, device, size, geometry, file format apart from its depth."""
    render, cycles = scene.render, scene.cycles
    render.engine = "CYCLES"
    cycles.device = "CPU" if backend == "CPU" else "GPU"
    cycles.feature_set = "SUPPORTED"
    cycles.shading_system = False
    render.threads_mode, render.threads = "FIXED", threads
    render.resolution_x, render.resolution_y = resolution
    render.resolution_percentage = 100
    render.pixel_aspect_x = render.pixel_aspect_y = 1.0
    render.film_transparent = False
    render.use_border = render.use_motion_blur = render.use_compositing = render.use_sequencer = False
    render.use_simplify, render.simplify_subdivision_render = True, MAX_SUBDIVISION
    cycles.ao_bounces_render, cycles.use_fast_gi = AO_BOUNCES, False
    cycles.texture_limit_render = "OFF"  # textures are limited once, when they are loaded
    cycles.use_auto_tile, cycles.tile_size = True, MAX_TILE
    cycles.use_animated_seed = False
    cycles.use_guiding = False
    cycles.volume_bounces = 0
    render.image_settings.file_format = "PNG"
    render.image_settings.compression = 0  # the file is read back at once and thrown away
    render.use_file_extension = render.use_overwrite = True
    scene.display_settings.display_device = "sRGB"
    scene.view_settings.exposure, scene.view_settings.gamma = 0.0, 1.0


def picture_settings(scene: bpy.types.Scene, config: Render, *, on_gpu: bool) -> None:
    """The colour picture: 8-bit RGB without alpha."""
    render, cycles = scene.render, scene.cycles
    cycles.samples = config.samples
    cycles.use_adaptive_sampling = config.noise_threshold > 0
    if config.noise_threshold > 0:
        cycles.adaptive_threshold, cycles.adaptive_min_samples = config.noise_threshold, 0
    cycles.debug_bvh_type, cycles.debug_use_spatial_splits = "STATIC_BVH", True  # published
    cycles.time_limit = 0.0
    cycles.sampling_pattern = "AUTOMATIC"
    cycles.pixel_filter_type, cycles.filter_width = "BLACKMAN_HARRIS", FILTER_WIDTH
    cycles.sample_clamp_direct, cycles.sample_clamp_indirect = 0.0, CLAMP_INDIRECT
    cycles.use_light_tree = False  # 2.93 had none
    cycles.light_sampling_threshold = 0.01
    cycles.caustics_reflective = cycles.caustics_refractive = True
    cycles.blur_glossy = 1.0
    cycles.max_bounces, cycles.diffuse_bounces = config.max_bounces, config.diffuse_bounces
    cycles.glossy_bounces, cycles.transmission_bounces = config.glossy_bounces, config.transmission_bounces
    cycles.transparent_max_bounces = config.transparent_bounces
    cycles.use_denoising = config.denoise
    if config.denoise:
        # Published: a compositor node fed with colour, normal and diffuse colour. FAST hands OIDN the guides
        # as they are.
        cycles.denoiser, cycles.denoising_input_passes = "OPENIMAGEDENOISE", "RGB_ALBEDO_NORMAL"
        cycles.denoising_prefilter, cycles.denoising_quality = "FAST", "HIGH"
        cycles.denoising_use_gpu = on_gpu
    scene.view_settings.view_transform = config.view_transform
    scene.view_settings.look = "None"
    scene.view_settings.use_curve_mapping = False
    render.dither_intensity = 1.0  # factory setting of 2.93 and 4.5; fixed pattern
    render.image_settings.color_mode, render.image_settings.color_depth = "RGB", "8"


def id_settings(scene: bpy.types.Scene) -> None:
    """The id map: one sample a pixel, light from emission alone, 16 bits of grey that no colour transform
    touches.
    """
    render, cycles = scene.render, scene.cycles
    cycles.samples, cycles.use_adaptive_sampling, cycles.use_denoising = 1, False, False
    # A static BVH bakes the transform of an object whose mesh no other visible object shares, so its outline
    # would depend, in the last bit, on what else is there, and a visible mask could leave the mask alone.
    cycles.debug_bvh_type, cycles.debug_use_spatial_splits = "DYNAMIC_BVH", False
    cycles.pixel_filter_type, cycles.filter_width = "BOX", ID_FILTER_WIDTH
    cycles.seed = 0
    cycles.use_light_tree = False
    cycles.sample_clamp_direct = cycles.sample_clamp_indirect = 0.0
    cycles.max_bounces = cycles.diffuse_bounces = cycles.glossy_bounces = cycles.transmission_bounces = 0
    cycles.transparent_max_bounces = 0
    scene.view_settings.view_transform = "Raw"
    scene.view_settings.look = "None"
    render.dither_intensity = 0.0
    render.image_settings.color_mode, render.image_settings.color_depth = "BW", "16"


def set_border(scene: bpy.types.Scene, border: tuple[float, float, float, float] | None) -> None:
    """Render only a part of the picture, x1, y1, x2, y2 as shares of it with y down; the rest stays 0.

    None: all of it.
    """
    render = scene.render
    render.use_border, render.use_crop_to_border = border is not None, False
    if border is not None:
        x1, y1, x2, y2 = border
        render.border_min_x, render.border_max_x = x1, x2
        render.border_min_y, render.border_max_y = 1 - y2, 1 - y1
