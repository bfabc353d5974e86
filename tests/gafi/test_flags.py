"""The published flags: each one is a setting, with its default; precedence; what is refused."""

import typing
from dataclasses import fields

import pytest

from experiments.gafi.config import CONFIGS, FILES, SCRIPTS
from experiments.gafi.flags import FALSE, FLAGS, TRUE, add_flags, settings_of
from suite.by_hand import Parser
from suite.errors import BadInput

# GaFi, published code: the flags of each script.
COMMON_DATA = """--dataset --img_size --categorical --val_categorical --normalize --dequantize --resize
--padding --horizontal_flip --merge_train_val --drop_remainder"""
LEARNING = """--optimizer --lr --momentum --nesterov --weight_decay --batch_size --val_batch_size --epochs
--model --width --random_flip --random_crop --random_rotation --random_zoom --random_erasing"""
COMMON_RUN = "--seed --save_path --extra_name --mixed_precision"
CLS_PRE = """--cls_pre_name --cls_pre_optimizer --cls_pre_random_erasing --cls_pre_extra_name
--cls_pre_save_path"""
GAN = """--optimizer --g_lr --g_beta1 --g_beta2 --d_lr --d_beta1 --d_beta2 --adam_eps --g_updates_per_step
--d_updates_per_step --split_batch_d_steps --acml_steps --random_labels --batch_size --val_batch_size
--total_steps --epochs --save_optimizer --save_optimizer_ckpt --model_name --studiogan --hier --latent_dim
--shared_dim --g_conv_dim --g_depth --apply_g_attn --d_conv_dim --d_depth --apply_d_attn --d_wide
--blur_resample --residual_concat --apply_g_ema --g_ema_decay --g_ema_start --loss_type --grad_penalty_type
--grad_penalty_cost --save --compute_metrics --start_eval_epoch --compute_classifier_stats --reload
--show_plots --plot_with_title --plot_title --keep_images --fixed_seed"""
SAMPLING = "--load_path --apply_standing_stats --standing_stats_bs --filtering_attempts --class_samples"
PUBLISHED = {
    "classifier": f"{COMMON_DATA} {LEARNING} {COMMON_RUN}",
    "gan": f"{COMMON_DATA} {GAN} {CLS_PRE} {COMMON_RUN}",
    "pipeline": f"""{COMMON_DATA} {LEARNING} {CLS_PRE} {COMMON_RUN} {SAMPLING} --gan_name --steps
--ckpt_epochs --stddev_search --threshold_search""",
    "multigan": f"""{COMMON_DATA} {LEARNING} {CLS_PRE} {COMMON_RUN} {SAMPLING} --gan_names --one_gan_for_epoch
--best_class_samples --best_extra_name""",
}


def parser_of(script):
    parser = Parser(prog="gafi")
    add_flags(parser, script)
    return parser


def settings(script, *words):
    return getattr(settings_of(script, parser_of(script).parse(words)), script)


def fashion(script):
    return "--cfg_file", str(CONFIGS / "FashionMNIST" / FILES[script])


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_has_the_published_flags_and_no_other(script):
    assert sorted(FLAGS[script]) == sorted(PUBLISHED[script].split())


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_key_of_a_script_has_a_flag(script):
    sections = typing.get_type_hints(SCRIPTS[script])
    keys = {f"{section}.{field.name}" for section, schema in sections.items() for field in fields(schema)}
    assert keys == set(FLAGS[script].values())


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_lists_every_flag_with_its_setting_and_default(script):
    text = " ".join(parser_of(script).format_help().split())
    built = SCRIPTS[script]()
    for flag, setting in FLAGS[script].items():
        section, _, key = setting.partition(".")
        default = getattr(getattr(built, section), key)
        assert flag in text
        if isinstance(default, tuple) and len(default) > 3:
            assert f"{setting}, default {len(default)} values" in text
        elif not isinstance(default, tuple):
            assert f"{setting}, default {default if default != '' else repr('')}" in text


@pytest.mark.parametrize("script", SCRIPTS)
def test_without_a_file_the_base_defaults_hold(script):
    assert settings(script) == SCRIPTS[script]()


@pytest.mark.parametrize("script", SCRIPTS)
def test_defaults_give_way_to_the_file_that_to_flags_and_these_to_overrides(script):
    name = "g_lr" if script == "gan" else "lr"

    def rate(*words):
        return getattr(settings(script, *words).OPTIMIZATION, name)

    section = settings(script, *fashion(script))
    assert section.DATA.dataset == "FashionMNIST" and section.DATA.padding is True
    flag, override = (f"--{name}", "0.5"), ("-o", f"OPTIMIZATION.{name}=0.25")
    assert rate(*fashion(script), *flag) == 0.5
    assert rate(*fashion(script), *flag, *override) == rate(*override, *flag) == 0.25
    assert settings(script, *fashion(script), *flag).DATA == section.DATA


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_scale_of_the_chain_is_a_file_too(script):
    words = ("--config", str(CONFIGS / "smoke.yaml"), "--seed", "9", "-o", "COMPUTE.threads=3")
    config = settings_of(script, parser_of(script).parse(words))
    assert getattr(config, script).RUN.seed == 9 and config.COMPUTE.threads == 3
    assert [getattr(config, other).RUN.seed for other in SCRIPTS if other != script] == [42, 42, 42]
    assert config.SUBSET.train == 2000


@pytest.mark.parametrize("text", [*TRUE, "True", "YES", "T"])
def test_words_for_true(text):
    assert settings("classifier", "--random_rotation", text).AUG.random_rotation is True
    assert settings("classifier", f"--random_rotation={text}").AUG.random_rotation is True


@pytest.mark.parametrize("text", [*FALSE, "False", "NO", "F"])
def test_words_for_false(text):
    assert settings("classifier", "--random_erasing", text).AUG.random_erasing is False


def test_a_boolean_flag_alone_means_true():
    section = settings("gan", "--mixed_precision", "--reload", "--seed", "3").RUN
    assert (section.mixed_precision, section.reload, section.seed) == (True, True, 3)


def test_none_is_null_where_null_is_allowed():
    section = settings("gan", "--epochs", "None", "--padding", "None", "--grad_penalty_type", "none")
    assert (section.OPTIMIZATION.epochs, section.DATA.padding, section.LOSS.grad_penalty_type) == (None,) * 3


def test_grids_are_ranges_or_lists():
    words = (
        "--ckpt_epochs",
        "(10, 30, 10)",
        "--stddev_search",
        "[1.0,1.5]",
        "--threshold_search=(0,0.2,0.1)",
    )
    section = settings("pipeline", *words).PIPELINE
    assert (section.ckpt_epochs, section.stddev_search) == ((10, 20, 30), (1.0, 1.5))
    assert section.threshold_search == (0.0, 0.1, 0.2)


def test_lists_of_names_are_separated_by_commas():
    assert settings("pipeline", "--steps", "ckpt,stddev").PIPELINE.steps == ("ckpt", "stddev")
    assert settings("pipeline", "--steps", "all").PIPELINE.steps == ("all",)
    assert settings("multigan", "--gan_names", "a_seed1_x,b_seed2_x").PIPELINE.gan_names == (
        "a_seed1_x",
        "b_seed2_x",
    )


def test_negative_numbers_are_values():
    assert settings("pipeline", "--filtering_attempts", "-1").PIPELINE.filtering_attempts == -1


def test_class_samples_of_a_multigan_is_a_number():
    assert settings("multigan", "--class_samples", "4000").PIPELINE.class_samples == 4000


def test_a_script_by_hand_lends_its_data_to_the_rest_of_the_config():
    config = settings_of("gan", parser_of("gan").parse([*fashion("gan"), "--img_size", "64", "--seed", "5"]))
    assert {getattr(config, script).DATA.image_size for script in SCRIPTS} == {64}
    assert config.dataset == "FashionMNIST" and config.COMPUTE.gan_seeds == (5,)


def test_our_sections_may_stand_in_a_file_of_a_script(tmp_path):
    (tmp_path / "a.yaml").write_text("DATA: {dataset: CIFAR10}\nSUBSET: {train: 30}\nCOMPUTE: {threads: 2}\n")
    config = settings_of("pipeline", parser_of("pipeline").parse(["--cfg_file", str(tmp_path / "a.yaml")]))
    assert (config.SUBSET.train, config.COMPUTE.threads) == (30, 2)


@pytest.mark.parametrize(
    ("script", "words", "told"),
    [
        ("classifier", ["--lrr", "0.1"], "unknown flag --lrr; did you mean --lr"),
        ("gan", ["--g_learning=3"], "unknown flag --g_learning=3"),
        ("classifier", ["stray"], "unknown flag stray"),
        ("classifier", ["--lr", "fast"], "argument --lr: invalid float value: 'fast'"),
        ("classifier", ["--width", "2.5"], "argument --width: invalid int value: '2.5'"),
        ("classifier", ["--random_crop", "perhaps"], "'perhaps' is neither true nor false"),
        ("classifier", ["--epochs"], "argument --epochs: expected one argument"),
        ("classifier", ["--epochs", "0"], "`OPTIMIZATION.epochs` is 0, must be above 0"),
        ("classifier", ["--optimizer", "lion"], "`OPTIMIZATION.optimizer` is 'lion'; choose one of sgdw"),
        ("classifier", ["--dataset", "CIFAR"], "no data set 'CIFAR'; did you mean CIFAR"),
        ("classifier", ["--dataset", "MNIST"], "no data set 'MNIST'"),
        ("classifier", ["-o", "OPTIMIZATION.lrr=1"], "unknown key `OPTIMIZATION.lrr`; did you mean lr"),
        ("classifier", ["-o", "OPTIM.lr=1"], "unknown section `OPTIM`; did you mean OPTIMIZATION"),
        ("classifier", ["-o", "PIPELINE.steps=all"], "unknown section `PIPELINE`"),
        ("classifier", ["-o", "DATA=3"], "`DATA` is 3; expected DataSection"),
        ("classifier", ["-o", "nonsense"], "not of the form key=value"),
        ("classifier", ["--cfg_file", "nowhere.yaml"], "nowhere.yaml: cannot read the config file"),
        ("classifier", ["--resize", "--padding"], "`DATA.resize` and `DATA.padding` exclude each other"),
        ("pipeline", ["--threshold_search", "[0.5, 1]"], "a threshold is at least 0 and below 1"),
        ("pipeline", ["--stddev_search", "[]"], "an empty grid"),
        ("pipeline", ["--ckpt_epochs", "10:30"], "no Python literal"),
        ("pipeline", ["--steps", "ckpt,sigma"], "'sigma'"),
        ("pipeline", ["--steps", ","], "`PIPELINE.steps` is empty"),
        ("multigan", ["--gan_names", "a,a"], "names a GAN twice"),
    ],
)
def test_a_fault_is_one_line(script, words, told):
    with pytest.raises(BadInput) as caught:
        settings(script, *words)
    assert told in str(caught.value) and "\n" not in str(caught.value)
