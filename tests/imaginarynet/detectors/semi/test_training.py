"""Training as a whole: resuming, and what the unlabelled pictures may change."""

import math

import pytest
import torch

from experiments.imaginarynet.detectors.semi.learner import COLUMNS, learning_rate
from experiments.imaginarynet.learn.hooks import Hooks
from experiments.imaginarynet.learn.torch_loop import fit
from suite.errors import BadInput, Stopped
from tests.imaginarynet.detectors.semi import tiny


@pytest.fixture(scope="module")
def whole(pool, tmp_path_factory):
    learner = tiny.learner(pool)
    rows = fit(learner, path=tmp_path_factory.mktemp("whole") / "state.pt")
    return learner, rows


def stop_after(steps):
    asked = iter(range(steps))

    def check_stop():
        if next(asked, None) is None:
            raise Stopped("stopped by SIGTERM")

    return Hooks(check_stop=check_stop)


@pytest.mark.parametrize("steps", [1, 3])
def test_a_killed_run_ends_with_the_same_bits(pool, whole, tmp_path, steps):
    path = tmp_path / "state.pt"
    with pytest.raises(Stopped):
        fit(tiny.learner(pool), path=path, hooks=stop_after(steps))
    learner = tiny.learner(pool, workers=2)
    rows = fit(learner, path=path)
    learner.close()
    assert rows == whole[1]
    assert tiny.same(tiny.state(learner.model), tiny.state(whole[0].model))


def test_rows_hold_the_losses_of_both_halves(whole):
    _, rows = whole
    assert [row["step"] for row in rows] == [2, 4, 6]
    assert rows[0]["loss_unsup_cls"] == 0 < rows[1]["loss_unsup_cls"]
    for row in rows:
        assert row["loss"] == pytest.approx(sum(row[name] for name in COLUMNS), rel=1e-5)
        assert row["loss_unsup_bbox"] == row["loss_unsup_rpn_bbox"] == 0


def test_with_a_weight_of_0_training_is_the_supervised_one_bit_for_bit(pool):
    semi = tiny.learner(pool, unlabelled_weight=0.0)
    plain = tiny.learner(tiny.Pool(pool.labelled), "faster-rcnn")
    for _ in range(4):
        assert semi.step() == plain.step()
    assert tiny.same(tiny.state(semi.model), tiny.state(plain.model))


def test_unlabelled_pictures_change_the_student_after_the_burn_in_alone(pool):
    semi, plain = tiny.learner(pool), tiny.learner(tiny.Pool(pool.labelled), "faster-rcnn")
    for step in range(3):
        semi.step(), plain.step()
        same = tiny.same(tiny.state(semi.model.student), tiny.state(plain.model.student))
        assert same is (step < 2)


def test_the_teacher_is_the_result_once_it_follows(pool):
    learner = tiny.learner(pool)
    assert learner.result() is learner.model.student
    for _ in range(3):
        learner.step()
    assert learner.result() is learner.model.teacher
    assert not tiny.same(tiny.state(learner.model.teacher), tiny.state(learner.model.student))
    assert tiny.learner(pool, "faster-rcnn", ema=0.0, burn_in=0).result().training


def test_soft_teacher_learns_positions_from_steady_boxes(pool):
    learner = tiny.learner(pool, "soft-teacher", burn_in=0, initial_threshold=0.0, max_box_deviation=9.0)
    values = dict(zip(learner.losses, learner.step(), strict=True))
    assert values["loss_unsup_bbox"] > 0 and values["loss_unsup_rpn_cls"] > 0
    assert math.isfinite(values["loss"])


def test_soft_teacher_without_a_box_learns_that_all_is_background(pool):
    learner = tiny.learner(pool, "soft-teacher", burn_in=0, initial_threshold=1.0)
    values = dict(zip(learner.losses, learner.step(), strict=True))
    assert values["loss_unsup_bbox"] == values["pseudo_boxes"] == 0 < values["loss_unsup_rpn_cls"]


def test_a_loss_that_is_no_number_names_the_pictures(pool):
    learner = tiny.learner(pool)
    with torch.no_grad():
        learner.model.student.roi_head.bbox_head.fc_cls.weight.fill_(math.nan)
    with pytest.raises(BadInput, match=r"the loss of test at step 0 is nan; pictures \d, \d; look at"):
        learner.step()


def test_a_state_of_other_settings_is_refused(pool, tmp_path):
    path = tmp_path / "state.pt"
    with pytest.raises(Stopped):
        fit(tiny.learner(pool), path=path, hooks=stop_after(1))
    with pytest.raises(BadInput, match="a state of other settings; delete it"):
        fit(tiny.learner(pool, fc=24), path=path)


def test_the_rate_warms_up_linearly_and_falls_at_the_named_steps():
    chosen = tiny.settings(lr=0.5, warmup=4, warmup_factor=0.2, decay_steps=(10, 20))
    found = [learning_rate(chosen, step) for step in (0, 2, 4, 9, 10, 20)]
    assert found == pytest.approx([0.1, 0.3, 0.5, 0.5, 0.05, 0.005])
