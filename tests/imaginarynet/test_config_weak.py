"""Settings of WSDDN and OICR: what is refused, and what the named variants hold."""

from pathlib import Path

import pytest

from experiments.imaginarynet.config import CONFIG, CONFIGS
from experiments.imaginarynet.config_weak import WeakConfig, wsddn_defaults
from suite.config import load_config
from suite.errors import BadInput

VARIANTS = sorted(file.stem for file in (CONFIGS / "weak").glob("*.yaml"))
PAPER = CONFIGS / "paper.yaml"


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_laid_under_its_detectors_section(name):
    section, variant = name.split("-")
    settings = getattr(load_config(CONFIG, PAPER, [f"{section}.variant={variant}"]), section)
    assert settings.kind == section and settings.variant == name and settings.backbone == "vgg16"


def test_there_are_the_two_published_variants_of_each():
    assert VARIANTS == ["oicr-caffe", "oicr-pytorch", "wsddn-midn", "wsddn-original"]


def test_what_the_two_variants_of_oicr_differ_in_is_as_published():
    caffe, port = (load_config(CONFIG, PAPER, [f"oicr.variant={name}"]).oicr for name in ("caffe", "pytorch"))
    assert (caffe.refine_weights, port.refine_weights) == ((1.0, 1.0, 1.0), (3.0, 1.0, 1.0))
    assert (caffe.ignore_iou, port.ignore_iou) == (0.0, 0.1)
    assert (caffe.iter_size, caffe.iter_reduce) == (2, "mean")
    assert (port.iter_size, port.iter_reduce) == (4, "sum")
    assert (caffe.scale_side, port.scale_side, caffe.test_side) == ("shortest", "longest", "longest")
    assert (caffe.dropout, port.dropout, caffe.fast_rcnn, port.fast_rcnn) == (0.5, 0.0, False, True)
    # --iters of its README, and a solver that steps at every 40,000.
    assert (caffe.lr, caffe.iterations, caffe.steps) == (0.001, 70_000, (40_000,))
    # Caffe's layer reports the sum over classes and hands down the gradient of the mean.
    assert (caffe.midn_reduce, port.midn_reduce) == ("mean", "mean")
    # Of its README's run on one GPU, which scales the solver's numbers for two.
    assert (port.lr, port.iterations, port.steps) == (0.0005, 35_000, (25_000,))


def test_wsddns_own_settings_have_no_refinement_and_halve_the_logits_of_proposals():
    settings = load_config(CONFIG, PAPER, ["wsddn.variant=original"]).wsddn
    assert (settings.temperature, settings.test_reduce, settings.nms) == (2.0, "sum", 0.4)
    assert settings.spatial_regulariser == 1e-4 and settings.refine_weights == ()


def test_a_setting_beside_the_variant_wins():
    assert load_config(CONFIG, PAPER, ["oicr.variant=caffe", "oicr.dropout=0.1"]).oicr.dropout == 0.1


@pytest.mark.parametrize("scale", ["paper", "small", "smoke", "tiny"])
def test_every_scale_has_both_detectors(scale):
    config = load_config(CONFIG, Path(CONFIGS / f"{scale}.yaml"))
    assert (config.wsddn.kind, config.oicr.kind) == ("wsddn", "oicr")
    assert wsddn_defaults().kind == "wsddn" and WeakConfig().kind == "oicr"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"stride": 4}, "stride"),
        ({"depth": 3}, "depth"),
        ({"backbone": "vgg16", "weights": "a.safetensors", "depth": 4}, "depth"),
        ({"backbone": "vgg16", "weights": "a.safetensors", "freeze": 6}, "5 stages"),
        ({"depth": 4, "freeze": 6}, "5 stages"),
        ({"backbone": "vgg16"}, "packaged"),
        ({"head": "res5"}, "res5"),
        ({"fc": ()}, "fc"),
        ({"dropout": 1.0}, "dropout"),
        ({"temperature": 0.0}, "temperature"),
        ({"refinements": 2}, "refine_weights"),
        ({"refinements": 0, "refine_weights": ()}, "score_rule"),
        ({"score_rule": "refine-mean-frcn"}, "fast_rcnn"),
        ({"ignore_iou": 0.6}, "fg_iou"),
        ({"steps": (5, 5)}, "steps"),
        ({"scales": (16,)}, "scales"),
        ({"pixel_std": (1.0, 0.0, 1.0)}, "pixel_std"),
        ({"nms": 0.0}, "nms"),
        ({"lr": float("nan")}, "lr"),
        ({"iter_size": 0}, "iter_size"),
    ],
)
def test_settings_that_do_not_fit_are_refused_by_name(changed, told):
    with pytest.raises(ValueError, match=told):
        WeakConfig(**changed)


def test_an_unknown_variant_is_one_line_that_lists_the_known_ones():
    with pytest.raises(BadInput, match="choose one of oicr-caffe, oicr-pytorch"):
        load_config(CONFIG, PAPER, ["oicr.variant=darknet"])
