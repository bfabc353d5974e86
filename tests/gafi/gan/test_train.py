"""The loop around the step: epochs, files, stops. The networks are stubs; test_kill.py has real ones."""

import json

import numpy as np
import pytest
from PIL import Image

from experiments.gafi.gan.checkpoints import list_checkpoints
from experiments.gafi.gan.train import Hooks, num_steps, steps_per_epoch, train
from suite.errors import BadInput, Stopped
from suite.manifest import file_digest
from suite.tables import read_csv
from tests.gafi.gan.stubs import StubTrainer, pictures, script

X, Y = pictures(20)  # 3 baskets of 6 and a rest of 2
WORK = "work"


def go(folder, settings=None, *, hooks=None, seed=5, images=X, work=None, **compute):
    """One call of `train` in a process of its own, as it were: nothing is shared but the folder."""
    folder.mkdir(exist_ok=True)
    trainer = StubTrainer(settings or script(), seed=seed, **compute)
    work = work or folder.with_name(folder.name + WORK)
    return train(trainer, images, Y, folder=folder, work=work, hooks=hooks)


def files(folder, *, but=()):
    """{path: digest} of a run folder; `but` names files that are left out."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in but)
    return {str(path.relative_to(folder)): file_digest(path) for path in found}


class StopAfter:
    """Raises Stopped when it is asked for the n-th time, as ctx.check_stop does after SIGTERM."""

    def __init__(self, steps):
        self.left = steps

    def __call__(self):
        self.left -= 1
        if self.left == 0:
            raise Stopped("stopped")


# -- epochs and files ---------------------------------------------------------------------------------


def test_an_epoch_is_as_many_whole_baskets_as_the_pictures_give():
    assert steps_per_epoch(script(), 20) == 3
    assert steps_per_epoch(script(data={"drop_remainder": False}), 20) == 4
    assert steps_per_epoch(script(batch_size=3, acml_steps=2), 20) == 1
    assert num_steps(script(epochs=7), 20) == 21


def test_without_epochs_the_number_of_steps_is_total_steps(tmp_path):
    settings = script(epochs=None, total_steps=7)
    result = go(tmp_path / "run", settings, keep_every=2)
    assert (result.steps, result.epochs) == (7, 3)
    index = list_checkpoints(tmp_path / "run")
    assert [(row.epoch, row.step) for row in index.checkpoints] == [(2, 6), (3, 7)]


def test_a_partial_last_basket_is_trained_on_when_it_is_not_dropped(tmp_path):
    assert go(tmp_path / "run", script(data={"drop_remainder": False})).steps == 8


def test_fewer_pictures_than_a_basket_are_bad_input_with_both_numbers():
    with pytest.raises(BadInput, match=r"5 training pictures are less than a step's 6"):
        steps_per_epoch(script(), 5)


def test_every_epoch_sees_each_picture_at_most_once_in_an_order_of_its_own():
    trainer = StubTrainer(script())
    orders = [trainer.order(epoch, 20) for epoch in range(3)]
    assert all(sorted(order) == list(range(20)) for order in orders)
    assert len({order.tobytes() for order in orders}) == 3
    assert StubTrainer(script(), seed=6).order(0, 20).tolist() != orders[0].tolist()


def test_the_history_has_a_row_per_epoch_in_the_published_columns(tmp_path):
    result = go(tmp_path / "run")
    rows = read_csv(tmp_path / "run/last_epoch/history.csv")
    columns = ["epoch", "D_loss_real", "D_loss_fake", "G_loss", "lr_g", "lr_d", "steps"]
    assert [list(row) for row in rows] == [columns, columns]
    assert [(row["epoch"], row["steps"], row["lr_g"]) for row in rows] == [
        ("1", "3", "0.05"),
        ("2", "6", "0.05"),
    ]
    assert [float(row["G_loss"]) for row in rows] == [row["G_loss"] for row in result.rows]


def test_losses_of_an_epoch_are_means_over_its_steps(tmp_path):
    trainer, seen = StubTrainer(script()), []
    step = trainer.step

    def spied(*args):
        state, losses = step(*args)
        seen.append(np.asarray(losses, np.float64))
        return state, losses

    trainer.step = spied
    (tmp_path / "run").mkdir()
    result = train(trainer, X, Y, folder=tmp_path / "run", work=tmp_path / WORK)
    for row, losses in zip(result.rows, (seen[:3], seen[3:]), strict=True):
        assert [row["D_loss_real"], row["D_loss_fake"], row["G_loss"]] == np.mean(losses, axis=0).tolist()


def test_further_columns_come_from_the_meter(tmp_path):
    hooks = Hooks(meter=lambda epoch, state: {"val_FID": epoch + 0.5})
    go(tmp_path / "run", hooks=hooks)
    assert [row["val_FID"] for row in read_csv(tmp_path / "run/last_epoch/history.csv")] == ["1.5", "2.5"]


def test_columns_that_begin_later_are_empty_before(tmp_path):
    hooks = Hooks(meter=lambda epoch, state: {"val_FID": 0.5} if epoch > 1 else {})
    go(tmp_path / "run", hooks=hooks)
    assert [row["val_FID"] for row in read_csv(tmp_path / "run/last_epoch/history.csv")] == ["", "0.5"]


def test_the_settings_stand_beside_the_result(tmp_path):
    go(tmp_path / "run")
    tree = json.loads((tmp_path / "run/last_epoch/config.json").read_text())
    assert tree["OPTIMIZATION"]["batch_size"] == 2
    assert tree["MODEL"]["g_ema_start"] == 2


def test_sheets_become_one_animation_and_are_kept_only_on_request(tmp_path):
    go(tmp_path / "run", script(epochs=3))
    with Image.open(tmp_path / "run/last_epoch/images.gif") as animation:
        assert animation.n_frames == 3
        assert animation.info["duration"] == 100
    assert not (tmp_path / "run/images").exists()
    go(tmp_path / "kept", script(epochs=3, run={"keep_images": True}))
    assert sorted(p.name for p in (tmp_path / "kept/images").iterdir()) == [
        "00001.png",
        "00002.png",
        "00003.png",
    ]
    sheet = (tmp_path / "kept/last_epoch/samples.png").read_bytes()
    assert sheet == (tmp_path / "kept/images/00003.png").read_bytes()


def test_without_an_average_plain_generators_are_kept(tmp_path):
    go(tmp_path / "run", script(apply_g_ema=False))
    names = [row.file for row in list_checkpoints(tmp_path / "run").checkpoints]
    assert names == ["generator_epoch001.npz", "generator_epoch002.npz"]
    assert not (tmp_path / "run/last_epoch/ema_generator.npz").exists()


@pytest.mark.parametrize(
    ("settings", "there", "gone"),
    [
        ({}, ["optimizer.npz", "generator.npz", "ema_generator.npz"], []),
        ({"save_optimizer": False}, ["generator.npz"], ["optimizer.npz"]),
        ({"run": {"save": False}}, ["history.csv", "config.json"], ["generator.npz", "optimizer.npz"]),
    ],
)
def test_what_the_last_epoch_holds_is_what_the_switches_say(tmp_path, settings, there, gone):
    go(tmp_path / "run", script(**settings))
    found = {path.name for path in (tmp_path / "run/last_epoch").iterdir()}
    assert set(there) <= found
    assert not set(gone) & found


def test_the_full_state_is_kept_with_each_generator_on_request(tmp_path):
    go(tmp_path / "run", script(save_optimizer_ckpt=True))
    found = sorted(path.name for path in (tmp_path / "run/checkpoints").glob("training*"))
    assert found == ["training_epoch001.npz", "training_epoch002.npz"]


def test_a_loss_that_is_no_number_ends_the_run_with_its_step_and_leaves_the_state_before(tmp_path):
    images, trainer = X.copy(), StubTrainer(script())
    later = trainer.order(1, 20).tolist()[:18]
    bad = next(i for i in trainer.order(0, 20)[18:] if i in later)  # left over in the first epoch
    step = 3 + later.index(bad) // 6 + 1
    images[bad] = np.nan
    with pytest.raises(BadInput, match=rf"step {step}: D_loss_real nan"):
        go(tmp_path / "run", images=images, checkpoint_every=1)
    assert list_checkpoints(tmp_path / "run").epochs == (1,)
    with np.load(tmp_path / ("run" + WORK) / "state.npz", allow_pickle=False) as state:
        assert int(state["step"]) == step - 1
        assert all(np.isfinite(state[name]).all() for name in state.files)


# -- randomness ---------------------------------------------------------------------------------------


def test_one_seed_gives_one_result_and_another_seed_another(tmp_path):
    for name, seed in (("one", 5), ("two", 5), ("three", 6)):
        go(tmp_path / name, seed=seed)
    one, two, three = (files(tmp_path / name) for name in ("one", "two", "three"))
    assert one == two
    name = "checkpoints/ema_generator_epoch002.npz"
    assert one[name] != three[name]


def test_a_fixed_seed_replays_the_latents_of_an_epoch_but_not_its_flips():
    fixed = StubTrainer(script(run={"fixed_seed": True}))
    one, next_epoch, next_step = fixed.keys(0, 0), fixed.keys(3, 0), fixed.keys(1, 1)
    assert one[0].tolist() == next_epoch[0].tolist() != next_step[0].tolist()
    assert one[1].tolist() != next_epoch[1].tolist()
    other = StubTrainer(script(run={"fixed_seed": True}), seed=6)
    assert other.keys(0, 0)[0].tolist() == one[0].tolist()


def test_without_it_no_two_steps_of_any_epoch_or_seed_share_latents():
    trainers = [StubTrainer(script(), seed=seed) for seed in (5, 6)]
    keys = {t.keys(step, step % 3)[i].tobytes() for t in trainers for step in range(12) for i in (0, 1)}
    assert len(keys) == 48


# -- stops --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 6])
def test_a_run_stopped_after_any_step_ends_with_the_same_bytes(tmp_path, steps):
    settings = script(run={"keep_images": True})
    go(tmp_path / "quiet", settings)
    with pytest.raises(Stopped):
        go(tmp_path / "run", settings, hooks=Hooks(check_stop=StopAfter(steps)))
    go(tmp_path / "run", settings)
    assert files(tmp_path / "run") == files(tmp_path / "quiet")


def test_a_run_goes_on_from_its_last_checkpoint_when_it_was_killed_between_two(tmp_path):
    """A kill runs no handler: it is here an error of the hook after step 5, with states every 2 steps."""

    class Killed(Exception):
        pass

    asked = iter(range(1, 100))

    def kill():
        if next(asked) == 5:
            raise Killed

    go(tmp_path / "quiet")
    with pytest.raises(Killed):
        go(tmp_path / "run", hooks=Hooks(check_stop=kill), checkpoint_every=2)
    with np.load(tmp_path / ("run" + WORK) / "state.npz", allow_pickle=False) as state:
        assert int(state["step"]) == 4
    result = go(tmp_path / "run", checkpoint_every=2)
    assert result.epochs == 2
    assert files(tmp_path / "run") == files(tmp_path / "quiet")


def test_a_finished_run_is_not_trained_again_while_its_state_is_there(tmp_path):
    go(tmp_path / "run")
    before = files(tmp_path / "run", but=["images.gif", "samples.png"])
    result = go(tmp_path / "run")
    assert result.step_seconds is None
    assert files(tmp_path / "run", but=["images.gif", "samples.png"]) == before


def test_two_epochs_and_two_more_are_four_to_the_last_bit(tmp_path):
    """Weights, slots, average, vectors u and every generator on the way."""
    go(tmp_path / "four", script(epochs=4))
    run = tmp_path / "run"
    go(run, script(epochs=2), work=tmp_path / "first")
    go(run, script(epochs=4, run={"reload": True}), work=tmp_path / "second")
    but = ["images.gif", "config.json"]  # frames of the second call only; the settings differ in `reload`
    backup = {name for name in files(run) if name.startswith("backup_epoch_2/")}
    assert "backup_epoch_2/optimizer.npz" in backup
    assert {k: v for k, v in files(run, but=but).items() if k not in backup} == files(
        tmp_path / "four", but=but
    )


def test_a_reload_without_saved_optimiser_begins_with_fresh_slots(tmp_path):
    run = tmp_path / "run"
    go(run, script(epochs=2, save_optimizer=False), work=tmp_path / "first")
    go(run, script(epochs=3, run={"reload": True}), work=tmp_path / "second")
    with np.load(run / "last_epoch/optimizer.npz", allow_pickle=False) as slots:
        assert (float(slots["g/0000"]), float(slots["d/0000"])) == (3, 9)  # of the third epoch alone


def test_a_reload_of_what_is_trained_to_the_end_is_bad_input(tmp_path):
    go(tmp_path / "run", work=tmp_path / "first")
    with pytest.raises(BadInput, match=r"2 epochs are trained already; raise OPTIMIZATION\.epochs"):
        go(tmp_path / "run", script(run={"reload": True}), work=tmp_path / "second")


def test_a_reload_with_another_epoch_length_is_bad_input(tmp_path):
    go(tmp_path / "run", work=tmp_path / "first")
    settings = script(d_updates_per_step=1, epochs=9, run={"reload": True})
    with pytest.raises(BadInput, match="its 2 epochs have 6 steps, not 10 each"):
        go(tmp_path / "run", settings, work=tmp_path / "second")


def test_a_reload_of_nothing_is_bad_input(tmp_path):
    with pytest.raises(BadInput, match="no such checkpoint"):
        go(tmp_path / "run", script(run={"reload": True}))


def test_a_state_with_an_average_is_refused_where_the_settings_have_none(tmp_path):
    go(tmp_path / "run", work=tmp_path / "first")
    settings = script(epochs=4, apply_g_ema=False, run={"reload": True})
    with pytest.raises(BadInput, match=r"MODEL\.apply_g_ema"):
        go(tmp_path / "run", settings, work=tmp_path / "second")
