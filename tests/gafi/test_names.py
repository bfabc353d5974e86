"""The published folder names, rule by rule."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.gafi import names
from experiments.gafi.config import seed_of_name
from experiments.gafi.config_sections import (
    AugSection,
    ClassifierOptimization,
    ClassifierRun,
    ClassifierScript,
    ClsPre,
    DataSection,
    GanDataSection,
    GanModel,
    GanOptimization,
    GanRun,
    GanScript,
    MultiGanScript,
    PipelineScript,
    RunSection,
)


def test_the_published_example_of_a_gan():
    assert names.gan_name(GanScript()) == "BigGAN_Deep_StudioGAN_cifar10_normalized_seed42_3discStep"


@pytest.mark.parametrize(
    ("script", "name"),
    [
        (GanScript(MODEL=GanModel(studiogan=False)), "BigGAN_Deep_cifar10_normalized_seed42_3discStep"),
        (
            GanScript(MODEL=GanModel(residual_concat=True)),
            "BigGAN_Deep_StudioGAN_concat_cifar10_normalized_seed42_3discStep",
        ),
        (
            GanScript(DATA=GanDataSection(dataset="FashionMNIST", padding=True), RUN=GanRun(seed=7)),
            "BigGAN_Deep_StudioGAN_fashionmnist_pad32_normalized_seed7_3discStep",
        ),
        (
            GanScript(DATA=GanDataSection(dataset="DermaMNIST", resize=True, normalize=False)),
            "BigGAN_Deep_StudioGAN_dermamnist_resized32_seed42_3discStep",
        ),
        (
            GanScript(OPTIMIZATION=GanOptimization(d_updates_per_step=5), RUN=GanRun(extra_name="mine")),
            "BigGAN_Deep_StudioGAN_cifar10_normalized_seed42_5discStep_mine",
        ),
    ],
)
def test_every_part_of_a_gan_name_follows_from_one_setting(script, name):
    assert names.gan_name(script) == name
    assert names.gan_folder(script) == Path(script.RUN.save_path, script.DATA.dataset, name)


@pytest.mark.parametrize(
    ("script", "name"),
    [
        (ClassifierScript(), "pretrained_resnet20_cifar10_sgdw_normalized_erasing"),
        (
            ClassifierScript(DATA=DataSection(dataset="FashionMNIST", padding=True)),
            "pretrained_resnet20_fashionmnist_sgdw_pad32_normalized_erasing",
        ),
        (
            ClassifierScript(
                AUG=AugSection(random_erasing=False),
                OPTIMIZATION=ClassifierOptimization(optimizer="adam"),
                RUN=ClassifierRun(extra_name="mine"),
            ),
            "pretrained_resnet20_cifar10_adam_normalized_mine",
        ),
    ],
)
def test_a_classifier_is_named_after_what_it_was_trained_with(script, name):
    assert names.classifier_name(script) == name


@given(
    st.builds(
        ClassifierScript,
        DATA=st.builds(
            DataSection, dataset=st.sampled_from(["CIFAR100", "DermaMNIST"]),
            image_size=st.sampled_from([16, 32]), resize=st.sampled_from([None, True, False]),
            normalize=st.booleans(),
        ),
        AUG=st.builds(AugSection, random_erasing=st.booleans()),
        OPTIMIZATION=st.builds(ClassifierOptimization, optimizer=st.sampled_from(["sgdw", "adam"])),
        RUN=st.builds(ClassifierRun, extra_name=st.sampled_from(["", "a", "b_c"]), save_path=st.just("x")),
    )
)  # fmt: skip
def test_the_pipeline_looks_where_train_classifier_puts_it(script):
    wanted = ClsPre(
        name=script.MODEL.name, optimizer=script.OPTIMIZATION.optimizer,
        random_erasing=script.AUG.random_erasing, extra_name=script.RUN.extra_name, save_path="x",
    )  # fmt: skip
    assert names.classifier_folder(script.DATA, wanted) == names.trained_folder(script)


@given(st.integers(0, 10**9), st.sampled_from(["", "v2", "seed9"]))
def test_the_seed_in_a_gan_name_reads_back(seed, extra):
    script = GanScript(RUN=GanRun(seed=3, extra_name=extra))
    assert seed_of_name(names.gan_name(script, seed=seed)) == seed
    assert names.gan_name(replace(script, RUN=replace(script.RUN, seed=seed))) == names.gan_name(
        script, seed=seed
    )


def test_folders_of_a_search_and_of_a_multigan():
    script = PipelineScript(RUN=RunSection(extra_name="mine"))
    candidates = names.candidate_name(script, class_samples=4000)
    assert candidates == "resnet20_4000classSamples_bs128_sgdw_erasing_mine"
    assert names.search_folder(Path("g"), candidates) == Path("g/pipeline", candidates)
    multi = MultiGanScript()
    plain = names.candidate_name(multi, class_samples=4000)
    assert names.multigan_folder(multi, plain, [42, 137]) == Path(
        "save/Models/BigGAN/CIFAR10/MultiGAN/resnet20_4000classSamples_bs128_sgdw_erasing/seed_42_137"
    )


def test_a_multigan_finds_a_search_by_its_extra_name():
    search = PipelineScript(RUN=RunSection(extra_name="mine"))
    found = names.candidate_name(MultiGanScript(), class_samples=5, extra_name="mine")
    assert found == names.candidate_name(search, class_samples=5)
