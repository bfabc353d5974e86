"""Settings of GaFi: the published files below the scales, precedence, and what is refused."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.gafi.config import (
    CONFIGS,
    DATASETS,
    FILES,
    SEED_STEP,
    GafiConfig,
    ckpt_epochs,
    effective_seed,
    gan_seed,
    is_kept,
    max_attempts,
    milestones,
    precision_of,
    search_epochs,
    seed_of_name,
)
from experiments.gafi.config_ours import ComputeSection
from experiments.gafi.config_sections import (
    CKPT_EPOCHS,
    STDDEVS,
    THRESHOLDS,
    GanScript,
    RunSection,
)
from experiments.gafi.names import gan_name
from experiments.gafi.search.grid import expand
from experiments.gafi.search.plan import parse_steps
from suite.config import dump, load_config, read_tree
from suite.errors import BadInput

SCALES = ("tiny", "smoke", "small", "medium", "paper")
# GaFi, published files: epochs, first and last of the grid of epochs, GANs, candidates of the three grids.
PUBLISHED = {
    "CIFAR10": (500, 150, 500, (42, 137, 238723), 67),
    "CIFAR100": (500, 150, 500, (42, 137, 238723), 67),
    "CINIC10": (500, 150, 500, (42, 4623, 13132), 67),
    "FashionMNIST": (300, 50, 300, (18291829, 237137, 42, 1284182, 623237, 48746), 57),
    "DermaMNIST": (150, 10, 150, (42, 1412, 19281), 42),
}


def load(scale="smoke", *overrides):
    return load_config(GafiConfig, CONFIGS / f"{scale}.yaml", overrides)


# --- the files ---


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_loads_for_every_data_set(scale, dataset):
    config = load(scale, f"dataset={dataset}")
    assert {getattr(config, script).DATA.dataset for script in FILES} == {dataset}


def test_there_are_the_twenty_published_files_in_two_levels():
    files = sorted(path.relative_to(CONFIGS).as_posix() for path in CONFIGS.glob("*/*.yaml"))
    assert files == sorted(f"{dataset}/{file}" for dataset in DATASETS for file in FILES.values())
    for file in files:
        for section, keys in read_tree(CONFIGS / file).items():
            assert section.isupper() and isinstance(keys, dict), file
            assert not any(isinstance(value, dict) for value in keys.values()), file


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_published_setting_of_each_data_set_is_that_of_the_paper_scale(dataset):
    epochs, first, last, seeds, candidates = PUBLISHED[dataset]
    config = load("paper", f"dataset={dataset}")
    grid = ckpt_epochs(config)
    search = config.pipeline.PIPELINE
    assert config.gan.OPTIMIZATION.epochs == epochs
    assert (grid[0], grid[-1], {b - a for a, b in zip(grid, grid[1:], strict=False)}) == (first, last, {10})
    assert config.COMPUTE.gan_seeds == seeds
    assert len(grid) + len(search.stddev_search) + len(search.threshold_search) == candidates
    assert config.gan.MODEL.g_ema_decay == 0.9999
    assert (config.classifier.OPTIMIZATION.epochs, config.pipeline.OPTIMIZATION.epochs) == (300, 100)
    assert config.pipeline.RUN.mixed_precision is (dataset == "CINIC10")
    assert search.filtering_attempts == (10 if dataset == "CIFAR100" else -1)
    assert search.filtering_attempts == config.multigan.PIPELINE.filtering_attempts
    assert bool(config.classifier.DATA.padding) is (dataset == "FashionMNIST")
    assert bool(config.classifier.DATA.resize) is (dataset == "DermaMNIST")


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_gan_names_in_the_multigan_file_are_those_that_train_gan_gives(dataset):
    gan = load("paper", f"dataset={dataset}").gan
    listed = read_tree(CONFIGS / dataset / "MultiGAN.yaml")["PIPELINE"]["gan_names"]
    assert listed == [gan_name(gan, seed=seed_of_name(name)) for name in listed]
    assert read_tree(CONFIGS / dataset / "Pipeline.yaml")["PIPELINE"]["gan_name"] == listed[0]


def test_the_base_defaults_of_the_grids_are_the_published_ranges():
    assert expand("(150, 500, 10)", kind="ckpt") == CKPT_EPOCHS
    assert expand("(1, 2, 0.05)", kind="stddev") == STDDEVS
    assert expand("(0, 0.9, 0.1)", kind="threshold") == THRESHOLDS


def test_every_number_of_paper_yaml_names_its_source():
    lines = (CONFIGS / "paper.yaml").read_text().splitlines()
    settings = [line for line in lines if re.match(r"\s+\w+: \S", line)]
    assert settings
    previous = dict(zip(lines[1:], lines, strict=False))
    bare = [line for line in settings if not re.search(r"\[(code|ours)\]", line)]
    assert [line for line in bare if "#" not in previous[line]] == []


# --- precedence ---


def test_overrides_win_over_the_scale_and_that_over_the_file_of_the_data_set():
    low = load("paper").gan.OPTIMIZATION.epochs
    middle = load("small").gan.OPTIMIZATION.epochs
    high = load("small", "gan.OPTIMIZATION.epochs=7").gan.OPTIMIZATION.epochs
    assert (low, middle, high) == (300, 6, 7)


def test_what_a_scale_does_not_name_is_that_of_the_data_set():
    config = load("small")
    assert config.gan.OPTIMIZATION.g_beta2 == 0.999 and config.gan.DATA.merge_train_val
    assert not config.pipeline.DATA.merge_train_val


def test_a_range_a_list_and_a_list_as_text_are_the_same_grid():
    def at(text):
        return load("smoke", f"pipeline.PIPELINE.threshold_search={text}").pipeline.PIPELINE.threshold_search

    assert at("(0, 0.2, 0.1)") == at("[0, 0.1, 0.2]") == at('"[0, 0.1, 0.2]"') == (0.0, 0.1, 0.2)


def test_steps_may_be_one_text():
    section = load("smoke", "pipeline.PIPELINE.steps=all").pipeline.PIPELINE
    assert parse_steps(section.steps) == ("ckpt", "stddev", "threshold", "best")
    section = load("smoke", "pipeline.PIPELINE.steps='threshold, ckpt'").pipeline.PIPELINE
    assert parse_steps(section.steps) == ("ckpt", "threshold")


@pytest.mark.parametrize("scale", SCALES)
def test_what_is_dumped_reads_back_equal(tmp_path, scale):
    config = load(scale)
    (tmp_path / "dumped.yaml").write_text(dump(config))
    assert load_config(GafiConfig, tmp_path / "dumped.yaml") == config


def test_named_seeds_win_over_those_of_the_multigan_file():
    assert load("paper", "COMPUTE.gan_seeds=[3, 4]").COMPUTE.gan_seeds == (3, 4)
    assert load("smoke", "COMPUTE.gan_seeds=null").COMPUTE.gan_seeds == PUBLISHED["FashionMNIST"][3]


# --- what is refused ---


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("dataset=CIFAR", "no data set 'CIFAR'; did you mean CIFAR1"),
        ("dataset=cifar10", "no data set 'cifar10'; did you mean CIFAR10?"),
        ("dataset=ImageNet", "choose one of CIFAR10, CIFAR100, CINIC10, DermaMNIST, FashionMNIST"),
        ("gan.OPTIMIZATION.g_lrr=1", "unknown key `gan.OPTIMIZATION.g_lrr`; did you mean g_lr"),
        ("SAMPLNG.store=uint8", "unknown key `SAMPLNG`; did you mean SAMPLING"),
        ("pipeline.PIPELINE.threshold_search=[0.5, 1.0]", "a threshold is at least 0 and below 1"),
        ("pipeline.PIPELINE.stddev_search=[]", "empty grid"),
        ("pipeline.PIPELINE.ckpt_epochs=(5, 4, 1)", "empty grid"),
        ("pipeline.PIPELINE.ckpt_epochs=[900]", "an empty grid: none of its epochs is kept of 1..7"),
        ("pipeline.PIPELINE.ckpt_epochs=(1, 2)", "three numbers"),
        ("pipeline.PIPELINE.steps=[]", "`PIPELINE.steps` is empty"),
        ("pipeline.PIPELINE.steps=chpt", "'chpt'"),
        ("pipeline.PIPELINE.filtering_attempts=0", "must be -1 or at least 1"),
        ("pipeline.PIPELINE.class_samples=0", "must be at least 1"),
        ("multigan.PIPELINE.gan_names=[]", "`PIPELINE.gan_names` is empty"),
        ("gan.DATA.padding=true", "`DATA.resize` and `DATA.padding` exclude each other"),
        ("gan.DATA.image_size=32", "differ between the four scripts"),
        ("gan.DATA.dataset=CIFAR10", "`gan.DATA.dataset` is CIFAR10, but `dataset` is FashionMNIST"),
        ("gan.OPTIMIZATION.batch_size=0", "`OPTIMIZATION.batch_size` is 0, must be above 0"),
        ("COMPUTE.gan_seeds=[]", "`COMPUTE.gan_seeds` is empty"),
        ("COMPUTE.gan_seeds=[1, 1]", "must name each seed once"),
        ("COMPUTE.keep_every=0", "`COMPUTE.keep_every` is 0, must be at least 1"),
        ("RECYCLE.factor=1.5", "`RECYCLE.factor` is 1.5"),
        ("SEARCH.selection_split=train", "choose one of val, test"),
        ("gan=3", "`gan` is 3; expected GanScript"),
        ("multigan.PIPELINE.gan_names=3", "`multigan.PIPELINE.gan_names` is 3; expected tuple"),
        ("COMPUTE=3", "`COMPUTE` is 3; expected ComputeSection"),
    ],
)
def test_a_fault_is_one_line_that_names_file_and_remedy(override, told):
    with pytest.raises(BadInput) as caught:
        load("smoke", override)
    assert told in str(caught.value) and "smoke.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_without_a_data_set_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("SUBSET: {train: 3}\n")
    with pytest.raises(BadInput, match="missing key `dataset`; choose one of CIFAR10"):
        load_config(GafiConfig, tmp_path / "a.yaml")


# --- what follows from settings ---


def test_run_zero_has_the_published_seeds_and_no_two_gans_of_any_runs_share_one():
    config = load("paper")
    assert effective_seed(config.classifier.RUN, 0) == 42
    assert [gan_seed(config, gan, 0) for gan in range(6)] == list(PUBLISHED["FashionMNIST"][3])
    seeds = [gan_seed(config, gan, seed) for gan in range(6) for seed in range(50)]
    assert len(set(seeds)) == len(seeds)
    assert effective_seed(RunSection(seed=1), 2) == 1 + 2 * SEED_STEP


def test_milestones_are_epochs_from_one_on_and_shares_below():
    assert milestones(ComputeSection(lr_milestones=(60, 80)), 100) == (60, 80)
    assert milestones(ComputeSection(lr_milestones=(60, 80)), 300) == (60, 80)
    assert milestones(ComputeSection(lr_milestones=(0.6, 0.8)), 100) == (60, 80)
    assert milestones(ComputeSection(lr_milestones=(0.6, 0.8)), 10) == (6, 8)


@given(st.integers(1, 400), st.lists(st.floats(0.01, 0.99), max_size=3))
def test_a_share_is_always_an_epoch_of_the_training(epochs, shares):
    found = milestones(ComputeSection(lr_milestones=tuple(shares)), epochs)
    assert all(1 <= epoch <= epochs for epoch in found)


def test_precision_is_what_compute_says_unless_that_is_the_default():
    half, run = ComputeSection(precision="mixed_bfloat16"), RunSection(mixed_precision=True)
    assert precision_of(RunSection(), ComputeSection()) == "float32"
    assert precision_of(run, ComputeSection()) == "mixed_float16"
    assert precision_of(run, half) == precision_of(RunSection(), half) == "mixed_bfloat16"


def test_minus_one_attempts_are_our_cap():
    config = load("smoke", "SAMPLING.max_attempts=77")
    assert (max_attempts(config, -1), max_attempts(config, 5)) == (77, 5)
    assert max_attempts(load("smoke", "SAMPLING.max_attempts=0"), -1) is None


def test_candidates_are_trained_as_long_as_the_final_classifier_unless_said():
    assert search_epochs(load("paper")) == 100
    assert search_epochs(load("medium")) == 30


@given(st.integers(1, 60), st.integers(1, 60))
def test_the_last_epoch_and_every_multiple_are_kept(epochs, keep_every):
    kept = [e for e in range(1, epochs + 1) if is_kept(e, epochs=epochs, keep_every=keep_every)]
    assert kept[-1] == epochs
    assert set(kept) == {*range(keep_every, epochs + 1, keep_every), epochs}


def test_epochs_of_the_grid_that_will_not_be_kept_are_passed_over():
    config = load("small", "COMPUTE.keep_every=3", "pipeline.PIPELINE.ckpt_epochs=[2, 3, 4, 6, 9]")
    assert ckpt_epochs(config) == (3, 6)
    steps = replace(config, gan=GanScript(
        DATA=config.gan.DATA, OPTIMIZATION=replace(config.gan.OPTIMIZATION, epochs=None),
    ))  # fmt: skip
    assert ckpt_epochs(steps) == (2, 3, 4, 6, 9)


@pytest.mark.parametrize("name", ["BigGAN_Deep_cifar10", "BigGAN_seedx_3discStep", ""])
def test_a_gan_name_without_a_seed_is_refused(name):
    with pytest.raises(BadInput, match="no seed in the GAN's name"):
        seed_of_name(name)
