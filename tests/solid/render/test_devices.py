"""Which device renders: chosen from fake lists, since this is tested where there is no GPU."""

import os
from types import SimpleNamespace

import bpy
import numpy as np
import pytest

from assets.make.tabletop_compare import psnr
from experiments.solid.render import cycles, devices
from experiments.solid.render.renderer import Renderer
from suite.errors import BadInput, Missing

CPU = ("CPU", "a processor")


class Preferences:
    """Cycles' preferences with a given list per backend, as Blender gives them: each also holds the CPU."""

    def __init__(self, *, stubborn=False, **lists):
        kind = Stubborn if stubborn else SimpleNamespace
        self.compute_device_type = "NONE"
        self.lists = {
            backend: [kind(type=kind_, name=name, use=kind_ == "CPU") for kind_, name in rows]
            for backend, rows in lists.items()
        }

    def get_devices_for_type(self, backend):
        return self.lists.get(backend, [])


class Stubborn(SimpleNamespace):
    """A device that cannot be switched on."""

    def __setattr__(self, name, value):
        super().__setattr__(name, False if name == "use" else value)


@pytest.fixture
def see(monkeypatch):
    def put(**lists):
        found = Preferences(**lists)
        monkeypatch.setattr(devices, "preferences", lambda: found)
        monkeypatch.setattr(cycles, "preferences", lambda: found)
        return found

    yield put
    bpy.context.scene.cycles.device = "CPU"


def test_cuda_takes_every_optix_device_where_there_is_one_and_no_cpu(see):
    optix = [("OPTIX", "card 0"), ("OPTIX", "card 1"), CPU]
    found = see(OPTIX=optix, CUDA=[("CUDA", "card 0"), ("CUDA", "card 1"), CPU])
    assert cycles.select_device("cuda") == "OPTIX"
    assert found.compute_device_type == "OPTIX"
    assert [device.use for device in found.lists["OPTIX"]] == [True, True, False]
    assert devices.in_use("OPTIX") == ["card 0", "card 1"]
    assert bpy.context.scene.cycles.device == "GPU"


def test_cuda_takes_cuda_where_optix_has_nothing_but_the_cpu(see):
    found = see(OPTIX=[CPU], CUDA=[CPU, ("CUDA", "old card")])
    assert cycles.select_device("cuda") == "CUDA"
    assert found.compute_device_type == "CUDA"
    assert devices.in_use("CUDA") == ["old card"]
    assert devices.cycles_devices() == {"CPU": ["a processor"], "CUDA": ["old card"]}


@pytest.mark.parametrize("lists", [{}, {"OPTIX": [CPU], "CUDA": [CPU]}])
def test_a_promised_gpu_that_is_not_there_ends_in_exit_code_3(see, lists):
    see(**lists)
    with pytest.raises(Missing, match="--device cuda was asked for and Cycles sees no GPU"):
        cycles.select_device("cuda")


def test_a_gpu_that_cannot_be_switched_on_ends_in_exit_code_3(see):
    see(stubborn=True, OPTIX=[("OPTIX", "card 0"), CPU])
    with pytest.raises(Missing, match="would not switch its OPTIX devices on"):
        cycles.select_device("cuda")


def test_the_cpu_is_taken_when_it_is_asked_for_even_beside_a_gpu(see):
    found = see(OPTIX=[("OPTIX", "card 0"), CPU], CUDA=[("CUDA", "card 0"), CPU])
    assert cycles.select_device("cpu") == "CPU"
    assert found.compute_device_type == "NONE"
    assert devices.in_use("CPU") == ["a processor"]
    with pytest.raises(BadInput, match="--device cpu or --device cuda"):
        cycles.select_device("gpu")


def test_the_renderer_records_what_it_renders_on(renderer):
    assert renderer.backend == "CPU"
    kind, _, name = renderer.rendered_on.partition(": ")
    assert kind == "CPU" and name


@pytest.mark.gpu
@pytest.mark.skipif(os.environ.get("SYNDET_GPU_TESTS") != "1", reason="opt in by SYNDET_GPU_TESTS=1")
def test_a_gpu_and_the_cpu_give_the_same_label_maps_and_nearly_the_same_picture(world, crowd):
    """Pictures of 4 samples after denoising: rays part at edges, so that the bound is a loose one."""
    one = Renderer(world.config, world.meshes, world.rooms, "cpu").target(crowd)
    on_gpu = Renderer(world.config, world.meshes, world.rooms, "cuda")
    assert on_gpu.backend in devices.BACKENDS
    two = on_gpu.target(crowd)
    np.testing.assert_array_equal(one.ids, two.ids)
    np.testing.assert_array_equal(one.solo_areas, two.solo_areas)
    assert psnr(one.rgb, two.rgb) > 30
