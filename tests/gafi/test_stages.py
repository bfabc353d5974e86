"""The table of stages: shards cover the grids, and a setting changes the stages that it decides, no other."""

import pytest

from experiments.gafi.config import CONFIGS, GafiConfig, ckpt_epochs
from experiments.gafi.search.plan import ARMS, arm_shards
from experiments.gafi.stages import STAGES, backend_name, gan_bytes, step_shards
from suite.config import load_config

SEARCH = {"ckpt", "stddev", "threshold"}
LOOPS = {*SEARCH, "best", "controls"}  # what goes through the settings of `pipeline`
CLASSIFIERS = {"train-classifier", *LOOPS, "run-multigan"}
ALL = {*CLASSIFIERS, "train-gan"}


def load(scale="smoke", *overrides):
    return load_config(GafiConfig, CONFIGS / f"{scale}.yaml", overrides)


@pytest.mark.parametrize("scale", ["tiny", "smoke", "small", "medium", "paper"])
@pytest.mark.parametrize("per_shard", [1, 3, 50])
def test_the_shards_of_a_step_cover_every_candidate_of_every_gan_once(scale, per_shard):
    config = load(scale, f"SEARCH.candidates_per_shard={per_shard}")
    search = config.pipeline.PIPELINE
    lengths = {
        "ckpt": len(ckpt_epochs(config)),
        "stddev": len(search.stddev_search),
        "threshold": len(search.threshold_search),
        "best": 1,
    }
    for step, length in lengths.items():
        shards = step_shards(config, step)
        places = [(s.gan, at) for s in shards for at in range(s.start, s.stop)]
        assert places == [(gan, at) for gan in range(len(config.COMPUTE.gan_seeds)) for at in range(length)]
        assert all(1 <= s.stop - s.start <= per_shard for s in shards)
        assert STAGES[step].num_shards(config) == len(shards)


def test_train_gan_has_a_shard_per_gan_and_controls_deal_their_arms_evenly():
    config = load("paper")
    assert STAGES["train-gan"].num_shards(config) == 6
    assert sorted(sum(arm_shards(3), ())) == sorted(ARMS)
    assert [len(arms) for arms in arm_shards(3)] == [2, 2]
    assert STAGES["controls"].num_shards(config) == len(arm_shards(config.SEARCH.candidates_per_shard))


def test_inputs_are_stages_before():
    names = list(STAGES)
    for at, stage in enumerate(STAGES.values()):
        assert set(stage.inputs) <= set(names[:at]), stage.name


def changed(*overrides):
    """Stages whose own part of the key an override changes; evaluate and report follow all settings."""
    one, other = load("smoke"), load("smoke", *overrides)
    return {
        name
        for name, stage in STAGES.items()
        if name not in ("evaluate", "report") and stage.config_tree(one) != stage.config_tree(other)
    }


@pytest.mark.parametrize(
    ("override", "stages"),
    [
        ("SUBSET.folder=elsewhere", set()),
        ("COMPUTE.checkpoint_every=7", set()),
        ("COMPUTE.checkpoint_epochs=2", set()),
        ("gan.RUN.save_path=elsewhere", set()),
        ("pipeline.PIPELINE.load_path=elsewhere", set()),
        ("METRICS.num_fakes=9", set()),
        ("SUBSET.train=900", {"import", *ALL}),
        ("COMPUTE.threads=2", ALL),
        ("COMPUTE.precision=mixed_bfloat16", ALL),
        ("COMPUTE.lr_milestones=[3]", CLASSIFIERS),
        ("COMPUTE.xla_classifier=true", CLASSIFIERS),
        ("COMPUTE.sn_stop_gradient=false", {"train-gan"}),
        ("COMPUTE.keep_every=2", {"train-gan"}),
        ("gan.RUN.fixed_seed=true", {"train-gan"}),
        ("gan.MODEL.g_conv_dim=4", {"train-gan"}),
        ("classifier.OPTIMIZATION.lr=0.2", {"train-classifier"}),
        ("SEARCH.selection_split=test", CLASSIFIERS),
        ("SEARCH.epochs=3", SEARCH),
        ("RECYCLE.search=1", SEARCH),
        ("RECYCLE.best=3", {"best", "controls", "run-multigan"}),
        ("SAMPLING.fallback=topk", {*LOOPS, "run-multigan"}),
        ("pipeline.OPTIMIZATION.lr=0.2", LOOPS),
        ("pipeline.PIPELINE.class_samples=30", LOOPS),
        ("pipeline.PIPELINE.ckpt_epochs=[6]", {"ckpt"}),
        ("pipeline.PIPELINE.stddev_search=[1.2]", {"stddev"}),
        ("pipeline.PIPELINE.threshold_search=[0.2]", {"threshold"}),
        ("multigan.OPTIMIZATION.lr=0.2", {"run-multigan"}),
    ],
)
def test_a_setting_redoes_the_stages_that_it_decides(override, stages):
    assert changed(override) == stages


def test_results_of_the_two_backends_are_told_apart(monkeypatch):
    config = load()
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    assert backend_name(config) == "tensorflow"
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert backend_name(config) == "jax"
    assert all(STAGES[name].outside is backend_name for name in ALL)


def test_the_disk_of_the_gans_is_that_of_the_kept_generators():
    every = gan_bytes(load("paper", "COMPUTE.keep_every=1"))
    assert gan_bytes(load("paper")) == pytest.approx(every / 10, rel=1e-6)
    assert every == 4 * (9_338_884 + 40_067) * 300 * 6
    narrow = gan_bytes(load("paper", "gan.MODEL.g_conv_dim=64", "COMPUTE.keep_every=1"))
    assert narrow == pytest.approx(every / 4, rel=1e-6)
