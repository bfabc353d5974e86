"""Training of the tiny diffusion pipeline: it learns, a kill changes nothing, the folder loads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("diffusers")
import torch

from experiments.imaginarynet.config_sections import DiffusionConfig
from experiments.imaginarynet.diffusion.pipeline import Diffusion
from experiments.imaginarynet.learn import diffusion_command
from experiments.imaginarynet.learn.clip_model import train_tokenizer
from experiments.imaginarynet.learn.corpus import Corpus, write_corpus
from experiments.imaginarynet.learn.diffusion import (
    DiffusionRecipe,
    encode,
    pad_captions,
    to_signed,
    train,
)
from experiments.imaginarynet.learn.diffusion_model import (
    DiffusionSize,
    build_autoencoder,
    build_unet,
    num_parameters,
    quicken,
    scheduler,
    standardise,
)
from experiments.imaginarynet.learn.torch_loop import Hooks, Learner, Phase, fit
from suite.errors import BadInput, Stopped

SIZE = DiffusionSize(
    side=16, vae_channels=(8, 8, 8), unet_channels=(8, 16), head_width=8, groups=4, text_width=16,
    text_layers=1, text_heads=2, text_length=16, merges=20,
)  # fmt: skip
PHASE = Phase(steps=3, batch=4, lr=1e-3, warmup=1, measure_every=2, save_every=2)
RECIPE = DiffusionRecipe(autoencoder=PHASE, unet=PHASE, size=SIZE, bf16=False)


def corpus(count=12, side=16):
    """Pictures of one colour each, which their captions tell."""
    colours = {"red": (220, 20, 20), "green": (20, 220, 20), "blue": (20, 20, 220)}
    names = list(colours)
    pictures = np.stack([np.full((side, side, 3), colours[names[i % 3]], np.uint8) for i in range(count)])
    return Corpus(
        pictures=pictures, captions=tuple(f"a photo of a {names[i % 3]} wall" for i in range(count)),
        class_ids=np.zeros(count, np.int64), class_names=("wall",),
        split=np.array(["val" if i % 4 == 3 else "train" for i in range(count)]),
    )  # fmt: skip


def weights(out):
    return {path.relative_to(out): path.read_bytes() for path in sorted(out.rglob("*.safetensors"))}


def work(folder):
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    facts = train(corpus(), RECIPE, seed=1, work=work(folder / "work"), out=work(folder / "out"))
    return folder / "out", facts


def test_the_folder_is_a_pipeline_that_draws(trained):
    out, facts = trained
    settings = DiffusionConfig(model=str(out / "diffusion"), scheduler="pndm_plms", steps=4, size=16)
    drawn = Diffusion.load(settings, batch=2, device="cpu").draw(["a photo of a red wall"], [3])
    assert drawn.pictures.shape == (1, 16, 16, 3)
    assert drawn.is_good.all()
    assert facts["pictures"] == {"train": 9, "val": 3}
    assert (out / "unet.csv").read_text().splitlines()[0] == "step,loss,held_out_loss"
    assert [line.split(",")[0] for line in (out / "autoencoder.csv").read_text().splitlines()] == [
        "step", "2", "3",
    ]  # fmt: skip


@pytest.mark.parametrize("stops", [(2,), (5,), (1, 4)])
def test_a_training_that_was_stopped_ends_with_the_same_weights(trained, tmp_path, stops):
    calls = []

    def check_stop():
        calls.append(None)
        if len(calls) in stops:
            raise Stopped("now")

    folder, out = work(tmp_path / "work"), work(tmp_path / "out")
    for _ in stops:
        with pytest.raises(Stopped):
            train(corpus(), RECIPE, seed=1, work=folder, out=out, hooks=Hooks(check_stop=check_stop))
    train(corpus(), RECIPE, seed=1, work=folder, out=out, hooks=Hooks(check_stop=check_stop))
    assert weights(out) == weights(trained[0])
    assert (out / "unet.csv").read_bytes() == (trained[0] / "unet.csv").read_bytes()


def test_another_seed_gives_other_weights(trained, tmp_path):
    train(corpus(), RECIPE, seed=2, work=work(tmp_path / "work"), out=work(tmp_path / "out"))
    assert weights(tmp_path / "out") != weights(trained[0])


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_state_that_cannot_be_used_is_told(tmp_path, damage):
    folder, out = work(tmp_path / "work"), work(tmp_path / "out")
    state = folder / "autoencoder.pt"
    if damage is None:
        other = replace(RECIPE, size=replace(SIZE, vae_channels=(4, 8, 8)))
        train(corpus(), other, seed=1, work=folder, out=out)
    else:
        state.write_bytes(damage)
    with pytest.raises(BadInput, match="delete it to begin anew"):
        train(corpus(), RECIPE, seed=1, work=folder, out=out)


def test_losses_that_are_not_finite_stop_the_training(tmp_path):
    class Broken(Learner):
        def compute(self, rows, generator):
            return (self.model.weight.sum() * float("nan"),)

        def measure(self):
            return {}

    learner = Broken(torch.nn.Linear(2, 2), PHASE, count=8, name="broken", seed=0)
    with pytest.raises(BadInput, match="lower --lr"):
        fit(learner, path=tmp_path / "state.pt")


@pytest.mark.parametrize(
    ("changed", "what"),
    [(corpus(side=32), "32 pixels"), (replace(corpus(), split=np.full(12, "train")), "both splits")],
)
def test_a_corpus_that_does_not_fit_is_refused(tmp_path, changed, what):
    with pytest.raises(BadInput, match=what):
        train(changed, RECIPE, seed=0, work=work(tmp_path / "work"), out=work(tmp_path / "out"))


# --- the parts ---


def test_standardised_latents_have_mean_zero_and_deviation_one_and_the_pictures_stay():
    vae = build_autoencoder(SIZE, seed=3).eval()
    pictures = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)
    before = encode(vae, pictures, "cpu")
    with torch.inference_mode():
        made = vae.decode(vae.encode(to_signed(pictures)).latent_dist.mode()).sample
        spread = vae.encode(to_signed(pictures)).latent_dist.std
    mean, std = before.mean((0, 2, 3)), before.std((0, 2, 3))
    standardise(vae, mean, std)
    after = encode(vae, pictures, "cpu")
    with torch.inference_mode():
        again = vae.decode(vae.encode(to_signed(pictures)).latent_dist.mode()).sample
        narrowed = vae.encode(to_signed(pictures)).latent_dist.std
    torch.testing.assert_close(after.mean((0, 2, 3)), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(after.std((0, 2, 3)), torch.ones(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(again, made, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(narrowed * std[:, None, None], spread, atol=1e-5, rtol=1e-3)


def test_a_quickened_network_computes_the_same():
    unet = build_unet(SIZE, seed=0)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(2, 4, 4, 4, generator=generator), torch.tensor([3, 700])
    texts = torch.randn(2, 16, 16, generator=generator)
    with torch.inference_mode():
        before = unet(*inputs, encoder_hidden_states=texts).sample
        quicken(unet)
        after = unet(*inputs, encoder_hidden_states=texts).sample
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-4)


def test_the_embedded_size_stays_below_six_megabytes_as_float16():
    size = DiffusionSize()
    tokenizer = train_tokenizer(corpus().captions, merges=size.merges)
    texts = (2 * 256 + size.merges + 2 - len(tokenizer)) * size.text_width  # rows of further merges
    from experiments.imaginarynet.learn.diffusion_model import build_text_encoder

    parts = (build_autoencoder(size, seed=0), build_unet(size, seed=0),
             build_text_encoder(size, tokenizer, seed=0))  # fmt: skip
    assert 2 * (sum(map(num_parameters, parts)) + texts) < 6_000_000
    assert size.latent_side == 16


def test_captions_are_filled_up_as_the_pipeline_does_it():
    tokenizer = train_tokenizer(corpus().captions, merges=20)
    ids = pad_captions(tokenizer, ["", "a photo of a red wall " * 5], length=16)
    assert ids.shape == (2, 16)
    assert ids[0].tolist() == [tokenizer.bos_token_id] + [tokenizer.eos_token_id] * 15
    assert (ids[1, 0], ids[1, -1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)


def test_the_noise_schedule_is_the_published_one():
    alphas = scheduler().alphas_cumprod
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2  # published code: "linear" in the square root
    np.testing.assert_allclose(alphas, np.cumprod(1 - betas), rtol=1e-4)


# --- it learns ---


@pytest.mark.slow
def test_a_short_training_learns_colours_from_captions(tmp_path):
    phase = Phase(steps=250, batch=16, lr=3e-3, warmup=20, mean_decay=0.98, measure_every=125)
    recipe = DiffusionRecipe(autoencoder=phase, unet=replace(phase, steps=500), size=SIZE, bf16=False)
    facts = train(corpus(48), recipe, seed=0, work=work(tmp_path / "work"), out=work(tmp_path / "out"))
    assert facts["autoencoder"]["held_out_psnr"] > 20
    settings = DiffusionConfig(
        model=str(tmp_path / "out/diffusion"), scheduler="ddim", steps=20, size=16, guidance=2.0
    )
    painter = Diffusion.load(settings, batch=4, device="cpu")
    for channel, name in enumerate(("red", "green", "blue")):
        drawn = painter.draw([f"a photo of a {name} wall"] * 4, [1, 2, 3, 4]).pictures
        assert drawn.mean((0, 1, 2)).argmax() == channel


# --- the command ---


@pytest.fixture
def corpus_folder(tmp_path):
    write_corpus(tmp_path / "corpus", corpus(), ids=[str(i) for i in range(12)], made={})
    return tmp_path / "corpus"


def run(corpus_folder, out, *more):
    return diffusion_command.main(
        ["--corpus", str(corpus_folder), "--out", str(out), "--threads", "1", *more]
    )


def test_the_command_refuses_wrong_input_with_exit_codes(tmp_path, corpus_folder, capsys):
    assert run(tmp_path / "nothing", tmp_path / "out") == 3
    assert run(corpus_folder, tmp_path / "out", "--steps", "0") == 2
    assert run(corpus_folder, tmp_path / "out") == 2  # 16 pixels, the pipeline has 64
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    assert run(corpus_folder, tmp_path / "full") == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 4
    assert "no finished corpus" in errors[0]
    assert "--steps 0" in errors[1]
    assert "16 pixels" in errors[2]
    assert "holds something else" in errors[3]


def test_the_command_leaves_a_finished_folder_and_is_up_to_date_then(
    tmp_path, corpus_folder, capsys, monkeypatch
):
    monkeypatch.setattr("experiments.imaginarynet.learn.diffusion.DiffusionRecipe", lambda: RECIPE)
    assert run(corpus_folder, tmp_path / "out", "--steps", "2", "--vae-steps", "2") == 0
    assert "held-out PSNR" in capsys.readouterr().out
    assert (tmp_path / "out/diffusion/model_index.json").is_file()
    assert not (tmp_path / "out/.work").exists()
    before = weights(tmp_path / "out")
    assert run(corpus_folder, tmp_path / "out", "--steps", "2", "--vae-steps", "2") == 0
    assert "up to date" in capsys.readouterr().out
    assert weights(tmp_path / "out") == before
    assert run(corpus_folder, tmp_path / "out", "--steps", "3", "--vae-steps", "2") == 2
