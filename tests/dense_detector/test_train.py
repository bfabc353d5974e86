"""A run is a function of settings and seed: whatever interrupts it, the numbers are those of a quiet run."""

import json
from dataclasses import replace

import pytest
import torch

from experiments.dense_detector.checkpoint import BEST, KEYS, LAST, load_checkpoint
from experiments.dense_detector.journal import EVENTS, METRICS
from experiments.dense_detector.schedule import lr_factor
from suite.errors import BadInput, Stopped
from tests.dense_detector.chain import Chain, make_sets, make_trainer

STEPS = 6  # of the tiny config, a checkpoint every second


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train")
    return Chain(make_sets(folder / "sets"), folder)


@pytest.fixture(scope="module")
def quiet(chain):
    """The folder of a run that nothing disturbed."""
    out = chain.folder / "quiet"
    make_trainer(chain, out).run()
    return out


def trace(out):
    """All that a run said, and the weights that it ended with."""
    weights = load_checkpoint(out / LAST)["model"]
    return (out / METRICS).read_bytes(), (out / EVENTS).read_bytes(), weights


def assert_same_run(one, other):
    (text, events, weights), (text_2, events_2, weights_2) = trace(one), trace(other)
    assert text.decode() == text_2.decode()
    assert events == events_2
    assert all(torch.equal(weights[name], weights_2[name]) for name in weights)


def test_the_same_seed_gives_the_same_losses_and_weights_and_another_seed_does_not(chain, quiet, tmp_path):
    make_trainer(chain, tmp_path / "again").run()
    assert_same_run(quiet, tmp_path / "again")
    make_trainer(chain, tmp_path / "other", seed=1).run()
    assert (tmp_path / "other" / METRICS).read_bytes() != (quiet / METRICS).read_bytes()


@pytest.mark.parametrize("stop_after", [1, 3, 5])
def test_a_run_that_is_asked_to_stop_goes_on_as_if_it_had_not_been(chain, quiet, tmp_path, stop_after):
    trainer = make_trainer(chain, tmp_path)
    with pytest.raises(Stopped, match=f"after step {stop_after}"):
        trainer.run(lambda: trainer.step == stop_after)
    make_trainer(chain, tmp_path, resume=True).run()
    assert_same_run(quiet, tmp_path)


@pytest.mark.parametrize("dies_at", [3, 5])
def test_a_run_that_dies_between_two_checkpoints_repeats_what_was_lost(chain, quiet, tmp_path, dies_at):
    trainer = make_trainer(chain, tmp_path)
    update = trainer.update

    def die(batch):
        if trainer.step == dies_at:
            raise KeyboardInterrupt
        return update(batch)

    trainer.update = die
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert load_checkpoint(tmp_path / LAST)["step"] == dies_at - 1
    make_trainer(chain, tmp_path, resume=True).run()
    assert_same_run(quiet, tmp_path)


def test_max_steps_cuts_the_schedule_off_and_a_larger_one_goes_on(chain, quiet, tmp_path):
    short = Chain(chain.sets, chain.folder, ("train.max_steps=2", "train.snapshots=1", "train.eval_every=9"))
    make_trainer(short, tmp_path).run()
    longer = replace(short, extra=("train.max_steps=4", "train.snapshots=1", "train.eval_every=9"))
    make_trainer(longer, tmp_path, resume=True).run()
    losses, undisturbed = (
        [row["loss"] for row in rows(out) if row["kind"] == "train"] for out in (tmp_path, quiet)
    )
    assert losses == undisturbed[:4]


def rows(out):
    return [json.loads(line) for line in (out / METRICS).read_text().splitlines()]


def test_the_number_of_workers_changes_neither_order_nor_numbers(chain, quiet, tmp_path):
    busy = Chain(chain.sets, chain.folder, ("data.workers=3",))
    make_trainer(busy, tmp_path).run()
    assert (tmp_path / METRICS).read_bytes() == (quiet / METRICS).read_bytes()


def test_each_epoch_shows_every_picture_once_in_an_order_of_its_own(chain, tmp_path):
    trainer = make_trainer(chain, tmp_path)
    seen = []
    for batch in trainer.batches():
        seen.append(batch.image_ids)
        trainer.step += 1
    assert len(seen) == STEPS
    epochs = [[i for ids in seen[at : at + 3] for i in ids] for at in (0, 3)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(set(epochs[0]))
    assert epochs[0] != epochs[1]


def test_metrics_hold_every_step_and_no_clock(quiet):
    steps = [row["step"] for row in rows(quiet) if row["kind"] == "train"]
    assert steps == list(range(1, STEPS + 1))
    assert {row["step"] for row in rows(quiet) if row["kind"] == "val"} == {3, STEPS}
    keys = {key for row in rows(quiet) for key in row}
    assert not {key for key in keys if "time" in key or "second" in key}


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_pictures(chain, tmp_path):
    trainer = make_trainer(chain, tmp_path)
    first = next(trainer.batches()).image_ids
    trainer.draw = lambda journal: None  # there is nothing to see
    with torch.no_grad():
        trainer.detector.model.class_head.last.bias.fill_(float("nan"))
    with pytest.raises(BadInput) as caught:
        trainer.run()
    assert str(first) in str(caught.value) and "step 1" in str(caught.value)


def test_a_checkpoint_holds_tensors_and_plain_types_alone(quiet):
    for name in (LAST, BEST):
        state = torch.load(quiet / name, weights_only=True)
        assert set(state) == KEYS
    assert [name for _, name in load_checkpoint(quiet / LAST)["classes"]] == ["person", "car", "dog"]


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "foreign", "newer"])
def test_a_file_that_is_no_checkpoint_is_refused_in_one_line(quiet, tmp_path, damage):
    path = tmp_path / "damaged.pt"
    whole = (quiet / LAST).read_bytes()
    if damage == "foreign":
        torch.save({"model": {}}, path)
    elif damage == "newer":
        torch.save({**load_checkpoint(quiet / LAST), "format": 99}, path)
    else:
        path.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "text": b"not a checkpoint"}[damage])
    with pytest.raises(BadInput) as caught:
        load_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_going_on_with_other_settings_is_refused_and_the_setting_named(chain, quiet, tmp_path):
    (tmp_path / LAST).write_bytes((quiet / LAST).read_bytes())
    other = Chain(chain.sets, chain.folder, ("train.lr=0.5",))
    with pytest.raises(BadInput, match="train.lr"):
        make_trainer(other, tmp_path, resume=True)
    with pytest.raises(BadInput, match="seed"):
        make_trainer(chain, tmp_path, resume=True, seed=7)


def test_the_schedules_have_their_closed_forms(chain):
    def factors(schedule, steps, **change):
        train = replace(chain.config.train, schedule=schedule, warmup_steps=4, **change)
        return [lr_factor(train, step, steps_per_epoch=2, num_steps=24) for step in steps]

    assert factors("warmup_cosine", [0, 1, 3, 4]) == pytest.approx([0.25, 0.5, 1, 1])
    assert factors("warmup_cosine", [14, 24]) == pytest.approx([0.5, 0])  # half way, and the end
    assert factors("step", [0, 3, 4, 8]) == pytest.approx(
        [1, 1, 0.1, 0.01]
    )  # published: epochs 0-1, 2-3, 4-5
    assert factors("epochs_research", [0, 9, 10, 40, 120]) == pytest.approx([0.1, 0.1, 1, 0.1, 0.01])
    assert factors("constant", [0, 23]) == [1, 1]
