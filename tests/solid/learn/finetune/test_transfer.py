import dataclasses
import re

import pytest
import torch

from experiments.solid.learn.engine.checkpoint import load_model_tensors
from experiments.solid.learn.finetune.cfg import build, finetune_cfg
from experiments.solid.learn.finetune.transfer import nothing, transfer, unexpected
from suite.errors import BadInput
from tests.solid.learn.finetune.runs import NUM_INSTANCE_CLASSES, write_pretrained

NUM_CLASSES = 3
# What the publication says is loaded, as patterns over whole names; nothing else may be.
LOADED = re.compile(
    r"backbone\.bottom_up\..*|backbone\.fpn_(lateral|output)[2-5]\..*"
    r"|proposal_generator\.rpn_head\.(conv|objectness_logits|anchor_deltas)\.(weight|bias)"
    r"|roi_heads\.box_head\.fc[12]\.(weight|bias)"
    r"|roi_heads\.mask_head\.(mask_fcn\d|deconv)\.(weight|bias)"
)


@pytest.fixture(scope="module")
def tensors(tiny_config, tmp_path_factory):
    """A pre-training checkpoint as the stage `pretrain` writes it."""
    folder = write_pretrained(tmp_path_factory.mktemp("pretrained") / "pretrain", tiny_config)
    return load_model_tensors(folder / "model.pth")


def model_of(config, seed=0):
    torch.manual_seed(seed)
    return build(finetune_cfg(config, num_classes=NUM_CLASSES, device="cpu"))


def test_exactly_the_published_tensors_are_loaded_skipped_and_ignored(tiny_config, tensors, tmp_path):
    model = model_of(tiny_config)
    moved = transfer(model, tensors, file=tmp_path)
    own = set(model.state_dict())
    assert set(moved.loaded) == {name for name in own if LOADED.fullmatch(name)}
    fc, mask, embed = tiny_config.detector.fc_dim, tiny_config.detector.mask_channels, 16
    assert moved.skipped == {
        "roi_heads.box_predictor.cls_score.weight": ((embed, fc), (NUM_CLASSES + 1, fc)),
        "roi_heads.box_predictor.cls_score.bias": ((embed,), (NUM_CLASSES + 1,)),
        "roi_heads.box_predictor.bbox_pred.weight": ((4, fc), (4 * NUM_CLASSES, fc)),
        "roi_heads.box_predictor.bbox_pred.bias": ((4,), (4 * NUM_CLASSES,)),
        "roi_heads.mask_head.predictor.weight": ((1, mask, 1, 1), (NUM_CLASSES, mask, 1, 1)),
        "roi_heads.mask_head.predictor.bias": ((1,), (NUM_CLASSES,)),
    }
    assert moved.untouched == ()
    of_keys = ("backbone_k.", "roi_heads_k.", "queue")
    assert set(moved.ignored) == {name for name in tensors if name.startswith(of_keys)}
    assert {"queue", "queue_ids", "roi_heads_k.box_head.fc1.weight"} <= set(moved.ignored)
    assert tensors["queue"].shape[0] == NUM_INSTANCE_CLASSES
    assert unexpected(moved) is None


def test_every_family_of_the_published_table_is_among_the_loaded(tiny_config, tensors, tmp_path):
    moved = transfer(model_of(tiny_config), tensors, file=tmp_path)
    for name in (
        "backbone.bottom_up.stem.conv1.weight", "backbone.bottom_up.res5.1.conv2.norm.running_var",
        "backbone.fpn_lateral4.norm.running_mean", "backbone.fpn_output2.weight",
        "proposal_generator.rpn_head.anchor_deltas.weight", "roi_heads.box_head.fc2.bias",
        "roi_heads.mask_head.deconv.weight", "roi_heads.mask_head.mask_fcn1.weight",
    ):  # fmt: skip
        assert name in moved.loaded


def test_loaded_tensors_have_the_checkpoints_values_and_the_others_their_initial_ones(
    tiny_config, tensors, tmp_path
):
    model, untouched = model_of(tiny_config), model_of(tiny_config).state_dict()
    moved = transfer(model, tensors, file=tmp_path)
    state = model.state_dict()
    assert all(torch.equal(state[name], tensors[name]) for name in moved.loaded)
    assert all(torch.equal(state[name], untouched[name]) for name in moved.skipped)


def test_a_checkpoint_saved_while_wrapped_for_several_gpus_loads_alike(tiny_config, tensors, tmp_path):
    plain = transfer(model_of(tiny_config), tensors, file=tmp_path)
    wrapped = {f"module.{name}": value for name, value in tensors.items()}
    assert transfer(model_of(tiny_config), wrapped, file=tmp_path) == plain


def changed(config, **detector):
    return dataclasses.replace(config, detector=dataclasses.replace(config.detector, **detector))


def test_another_architecture_is_told_tensor_by_tensor(tiny_config, tensors, tmp_path):
    moved = transfer(model_of(changed(tiny_config, fc_dim=48, depth=34)), tensors, file=tmp_path)
    assert moved.skipped["roi_heads.box_head.fc2.weight"] == ((32, 32), (48, 48))
    assert "backbone.bottom_up.res4.5.conv2.weight" in moved.untouched
    assert "of another architecture" in unexpected(moved)
    assert moved.to_tree()["skipped"]["roi_heads.box_head.fc2.bias"] == {"checkpoint": [32], "model": [48]}


def test_a_checkpoint_of_which_nothing_fits_is_refused(tiny_config, tensors, tmp_path):
    with pytest.raises(BadInput, match="no common name; it holds encoder.weight"):
        transfer(model_of(tiny_config), {"encoder.weight": torch.zeros(3)}, file=tmp_path)
    other = {name: torch.zeros(*value.shape, 2) for name, value in tensors.items() if value.ndim}
    counters = {name: value for name, value in tensors.items() if not value.ndim}
    with pytest.raises(BadInput, match=r"of other shapes: backbone.bottom_up.* and \d+ more"):
        transfer(model_of(tiny_config), other | counters, file=tmp_path)


def test_random_initialisation_loads_nothing_and_both_arms_start_from_the_same_random_tensors(
    tiny_config, tensors, tmp_path
):
    random, pretrained = model_of(tiny_config, seed=4), model_of(tiny_config, seed=4)
    moved = transfer(pretrained, tensors, file=tmp_path)
    assert nothing(random).loaded == () and len(nothing(random).untouched) == len(random.state_dict())
    for name in moved.skipped:
        assert torch.equal(random.state_dict()[name], pretrained.state_dict()[name])
