import dataclasses
from pathlib import Path

import pytest
from torch import nn

import suite.compat.detectron2  # noqa: F401
from experiments.solid.config import SolidConfig
from experiments.solid.learn.detector import lazy_mask_rcnn
from experiments.solid.learn.finetune.cfg import (
    ELSEWHERE,
    USED,
    all_keys,
    build,
    effective,
    finetune_cfg,
    save,
)
from suite.config import load_config
from suite.errors import BadInput

# isort: split
from detectron2.config import get_cfg, instantiate

CONFIGS = Path(__file__).resolve().parents[4] / "experiments/solid/configs"


def load(scale, *overrides):
    return load_config(SolidConfig, CONFIGS / f"{scale}.yaml", list(overrides))


def value(cfg, key):
    for part in key.split("."):
        cfg = cfg[part]
    return cfg


def overridden(*words, scale="tiny"):
    config = load(scale)
    return dataclasses.replace(config, finetune=dataclasses.replace(config.finetune, overrides=words))


TWICE = ("finetune.iterations=180000", "finetune.steps=[120000,160000]")
# Our loader knows no data set names, and always makes bit-masks; nothing else may differ.
DIFFERS = {"DATASETS.TRAIN", "DATASETS.TEST", "INPUT.MASK_FORMAT"}


@pytest.mark.parametrize("schedule, overrides", [("1x", ()), ("2x", TWICE)])
def test_the_yaml_for_detectron2s_own_trainer_says_what_the_paper_config_says(schedule, overrides):
    ours = finetune_cfg(load("paper", *overrides), num_classes=80, device="cuda")
    theirs = get_cfg()
    theirs.merge_from_file(str(CONFIGS / f"detectron2/mask_rcnn_R_50_FPN_{schedule}.yaml"))
    assert {key for key in all_keys(ours) if value(ours, key) != value(theirs, key)} == DIFFERS


def test_the_published_numbers_of_fine_tuning_are_set():
    """The settings of the published fine-tuning, not those of detectron2's own model zoo."""
    cfg = finetune_cfg(load("paper"), num_classes=80, device="cuda")
    expected = {
        "MODEL.BACKBONE.FREEZE_AT": 0,
        "MODEL.RESNETS.NORM": "SyncBN",
        "MODEL.FPN.NORM": "SyncBN",
        "MODEL.ROI_BOX_HEAD.NORM": "",
        "MODEL.ROI_MASK_HEAD.NORM": "",
        "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG": False,
        "MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK": False,
        "MODEL.PIXEL_STD": [57.375, 57.12, 58.395],
        "SOLVER.IMS_PER_BATCH": 16,
        "SOLVER.BASE_LR": 0.02,
        "SOLVER.MAX_ITER": 90_000,
        "SOLVER.STEPS": (60_000, 80_000),
        "SOLVER.AMP.ENABLED": True,
        "TEST.PRECISE_BN.ENABLED": True,
        "TEST.PRECISE_BN.NUM_ITER": 200,
    }
    assert {key: value(cfg, key) for key in expected} == expected


@pytest.mark.parametrize("scale", ["paper", "smoke", "tiny"])
def test_the_model_has_the_names_and_shapes_of_the_pre_trained_one(scale):
    """Depth 50 by detectron2's builder, depth 18 of any width by ours; class-specific last layers."""
    config = load(scale)
    model = build(finetune_cfg(config, num_classes=9, device="cpu"))
    other = instantiate(
        lazy_mask_rcnn(config.detector, norm="BN", num_classes=9, class_agnostic=False,
                       pixel_mean=config.finetune.pixel_mean, pixel_std=config.finetune.pixel_std)
    )  # fmt: skip
    shapes = [{name: tensor.shape for name, tensor in m.state_dict().items()} for m in (model, other)]
    assert shapes[0] == shapes[1]
    fc_dim = config.detector.fc_dim
    assert model.roi_heads.box_predictor.bbox_pred.weight.shape == (4 * 9, fc_dim)
    assert model.roi_heads.box_predictor.cls_score.weight.shape == (10, fc_dim)
    assert model.roi_heads.mask_head.predictor.weight.shape[0] == 9
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("norm, kind", [("BN", nn.BatchNorm2d), ("SyncBN", nn.SyncBatchNorm)])
def test_the_norm_stands_in_backbone_and_fpn_and_nowhere_else(norm, kind):
    model = build(finetune_cfg(load("tiny", f"finetune.norm={norm}"), num_classes=3, device="cpu"))
    heads = [model.proposal_generator, model.roi_heads]
    norms = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm)
    found = [module for module in model.modules() if isinstance(module, norms)]
    assert found and all(isinstance(module, kind) for module in found)
    assert not any(isinstance(module, norms) for head in heads for module in head.modules())
    assert any(isinstance(module, norms) for module in model.backbone.fpn_lateral2.modules())


def test_freeze_at_2_leaves_stem_and_res2_untrained():
    model = build(finetune_cfg(load("tiny", "finetune.freeze_at=2"), num_classes=3, device="cpu"))
    frozen = {name.split(".")[2] for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {"stem", "res2"}


def test_overrides_are_detectron2s_keys_and_reach_loader_and_loop():
    config = overridden(
        "SOLVER.IMS_PER_BATCH", "4", "SOLVER.MAX_ITER", "11", "INPUT.MIN_SIZE_TRAIN", "(50, 60)",
        "INPUT.RANDOM_FLIP", "none", "TEST.PRECISE_BN.ENABLED", "False", "SOLVER.AMP.ENABLED", "True",
        "SOLVER.STEPS", "(7,)", "MODEL.RPN.NMS_THRESH", "0.9",
    )  # fmt: skip
    cfg = finetune_cfg(config, num_classes=3, device="cpu")
    tune = effective(config, cfg).finetune
    assert (tune.batch_size, tune.iterations, tune.short_edges, tune.steps) == (4, 11, (50, 60), (7,))
    assert (tune.flip, tune.precise_bn, tune.precision) == (False, 0, "float16")
    assert cfg.MODEL.RPN.NMS_THRESH == 0.9


def test_without_overrides_the_settings_are_unchanged():
    for scale in ("paper", "smoke", "tiny"):
        config = load(scale)
        assert effective(config, finetune_cfg(config, num_classes=3, device="cpu")) == config


@pytest.mark.parametrize(
    "words, match",
    [
        (("SOLVER.BASE_LRR", "0.1"), r"no key SOLVER.BASE_LRR; did you mean .*SOLVER.BASE_LR"),
        (("SOLVER.BASE_LR", "fast"), "SOLVER.BASE_LR fast: "),
        (("MODEL.WEIGHTS", "x.pth"), "MODEL.WEIGHTS has no effect in this program; set finetune.weights"),
        (("DATASETS.TRAIN", "('coco',)"), "set target_set"),
        (("INPUT.CROP.ENABLED", "True"), "INPUT.CROP.ENABLED has no effect"),
        (("MODEL.ROI_HEADS.NUM_CLASSES", "3"), "counted in the target set"),
    ],
)
def test_overrides_that_cannot_work_are_refused_with_what_to_do(words, match):
    with pytest.raises(BadInput, match=match):
        finetune_cfg(overridden(*words), num_classes=3, device="cpu")


def test_a_flip_that_the_loader_does_not_know_is_refused():
    config = overridden("INPUT.RANDOM_FLIP", "vertical")
    with pytest.raises(BadInput, match="RANDOM_FLIP vertical; use horizontal or none"):
        effective(config, finetune_cfg(config, num_classes=3, device="cpu"))


def test_a_model_that_detectron2_cannot_build_is_refused():
    config = overridden("MODEL.ROI_HEADS.NAME", "NoSuchHeads")
    with pytest.raises(BadInput, match="detectron2 cannot build this model: .*NoSuchHeads"):
        build(finetune_cfg(config, num_classes=3, device="cpu"))


def test_the_lists_of_keys_name_keys_that_detectron2_has():
    known = all_keys(get_cfg())
    assert set(ELSEWHERE) <= set(known)
    assert all(any(key.startswith(prefix) for key in known) for prefix in USED)


BRACKETS = str.maketrans("[]", "()", ",")


def test_the_saved_config_builds_the_same_model_in_stock_detectron2(tmp_path):
    config = overridden("MODEL.ROI_BOX_HEAD.NUM_FC", "1")
    cfg = finetune_cfg(config, num_classes=3, device="cpu")
    save(cfg, tmp_path / "c.yaml")
    again = get_cfg()
    again.merge_from_file(str(tmp_path / "c.yaml"), allow_unsafe=False)
    assert all_keys(again) == all_keys(cfg)
    # YAML has no tuples: a nested one comes back as a list.
    assert [repr(value(again, key)).translate(BRACKETS) for key in all_keys(cfg)] == [
        repr(value(cfg, key)).translate(BRACKETS) for key in all_keys(cfg)
    ]
    shapes = [{n: t.shape for n, t in build(c).state_dict().items()} for c in (cfg, again)]
    assert shapes[0] == shapes[1] and "roi_heads.box_head.fc2.weight" not in shapes[0]
