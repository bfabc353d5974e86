import os
import subprocess
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest

from experiments.imaginarynet.dallebart import checkpoint, sampler
from experiments.imaginarynet.images.devices import setup
from experiments.imaginarynet.vqgan.model import decode_codes
from suite.errors import BadInput, Missing
from suite.provenance import ROOT
from tests.imaginarynet.images.painters import candidates, load
from tests.imaginarynet.tiny_models import CONFIG, params, write_models

DEVICES = jax.devices()[:1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("models")
    write_models(made)
    return made


@pytest.fixture(scope="module")
def painter(folder):
    return load(folder, batch=4, devices=DEVICES)


def test_pictures_are_the_decoded_codes_of_the_sampler(painter):
    prompts, seeds = candidates(4)
    text = painter.texts(prompts)
    codes = sampler.sample(
        painter.params, CONFIG, text.ids, text.mask, np.array(seeds, np.uint64), condition_scale=3.0
    )
    pixels = np.asarray(decode_codes(painter.vqgan_params, painter.vqgan_config, codes))
    assert np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 1
    found = painter.draw(prompts, seeds)
    assert found.is_good.all() and found.pictures.dtype == np.uint8
    assert np.abs(found.pictures.astype(int) - np.floor(pixels * 255)).max() <= 1


def test_a_picture_does_not_depend_on_the_fill_of_its_batch(painter):
    prompts, seeds = candidates(4)
    whole = painter.draw(prompts, seeds).pictures
    assert len({picture.tobytes() for picture in whole}) == 4
    for count in (1, 3):
        part = painter.draw(prompts[:count], seeds[:count])
        assert part.pictures.shape[0] == part.is_good.shape[0] == count
        np.testing.assert_array_equal(part.pictures, whole[:count])


def test_a_picture_does_not_depend_on_the_number_of_devices(folder, painter, tmp_path):
    prompts, seeds = candidates(10)
    one = [painter.draw(prompts[i : i + 4], seeds[i : i + 4]).pictures for i in (0, 4, 8)]
    file = tmp_path / "pictures.npy"
    command = [sys.executable, "-m", "tests.imaginarynet.images.draw_on_devices", str(folder), "4", str(file)]
    flags = "--xla_force_host_platform_device_count=3"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": flags}
    done = subprocess.run(command, check=True, cwd=ROOT, env=environment, stdout=subprocess.PIPE)
    assert done.stdout.strip() == b"3"
    np.testing.assert_array_equal(np.load(file), np.concatenate(one))


def test_more_than_a_batch_or_nothing_is_refused(painter):
    for count in (0, 5):
        with pytest.raises(ValueError, match=f"{count} prompts for a batch of 4"):
            painter.draw(*candidates(count))


def test_cut_prompts_are_counted(painter):
    prompts, seeds = candidates(2)
    assert painter.draw([prompts[0], "a very long " * 20], seeds).cut == 1


def test_what_decides_a_picture_is_recorded(painter):
    assert painter.facts == {
        "condition_scale": 3.0, "top_k": 50, "top_p": 1.0, "temperature": 1.0, "dtype": "float32",
        "text_length": 16, "normalize_text": True, "size": 16,
    }  # fmt: skip
    assert set(painter.digests) == {"dallebart", "vqgan", "tokenizer"}
    assert len(set(painter.digests.values())) == 3


def test_an_overflow_is_told(folder, tmp_path):
    write_models(tmp_path)
    broken = {**params(), "head": params()["head"] * np.inf}
    checkpoint.save_model(tmp_path / "dallebart", CONFIG, broken, dtype="float32")
    drawn = load(tmp_path, batch=2, devices=DEVICES).draw(*candidates(2))
    assert not drawn.is_good.any()


def test_models_that_do_not_belong_together_are_refused(tmp_path):
    write_models(tmp_path)
    other = replace(CONFIG, image_length=25)
    checkpoint.save_model(tmp_path / "dallebart", other, params(other), dtype="float32")
    with pytest.raises(BadInput, match="16 codes a picture out of 64, the transformer draws 25 out of 64"):
        load(tmp_path, batch=2, devices=DEVICES)


def test_a_text_length_that_the_model_does_not_have_is_refused(folder):
    with pytest.raises(BadInput, match=r"dalle_mini\.text_length is 17; the model has 16"):
        load(folder, batch=2, devices=DEVICES, text_length=17)


def test_a_missing_model_says_where_to_put_it(tmp_path):
    with pytest.raises(Missing, match=r"config\.json"):
        load(tmp_path, batch=2, devices=DEVICES)


def test_a_promised_gpu_that_is_not_there_is_missing(monkeypatch):
    monkeypatch.setenv("NPROC", "1")
    if any(device.platform == "gpu" for device in jax.devices()):
        assert setup(threads=1, device="cuda")
        return
    with pytest.raises(Missing, match="jax sees no GPU"):
        setup(threads=1, device="cuda")
