"""The README's commands, flags, settings, files and tables are those of the program."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from experiments.gafi.cli import BY_HAND, CHAIN
from experiments.gafi.config import DATASETS, GafiConfig, ckpt_epochs, search_epochs
from experiments.gafi.report_switches import SWITCHES
from experiments.gafi.stages import STAGES
from suite.config import load_config, to_tree
from suite.report.switches import value_of

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "experiments" / "gafi"
README = (HOME / "README.md").read_text(encoding="utf-8")
PAPER = load_config(GafiConfig, HOME / "configs/paper.yaml")
TREE = to_tree(PAPER)
SCRIPTS = ("classifier", "gan", "pipeline", "multigan")
OURS = [name for name in TREE if name.isupper()]


def section(title):
    return README.split(f"## {title}\n")[1].split("\n## ")[0]


def rows(text):
    """Cells of the lines of a Markdown table, without head and rule."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def commands(text):
    """`gafi ...` in backticks, as words without `gafi`."""
    found = [shlex.split(line) for line in re.findall(r"`gafi ([^`]+)`", text)]
    return [words for words in found if words]


COMING = commands(section("Coming from the original repository"))
FIRST_PAGE = README.split("## Data")[0].replace("\\\n", " ")
BASH = [
    shlex.split(line) for line in re.findall(r"^python -m experiments\.gafi (.*)$", FIRST_PAGE, flags=re.M)
]


@pytest.fixture(scope="module")
def helps():
    def help_of(verb):
        line = [sys.executable, "-m", "experiments.gafi", verb, "--help"]
        return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    return {verb: help_of(verb) for verb in {*BY_HAND, *CHAIN, *STAGES}}


def test_every_command_of_the_tables_and_of_the_first_page_answers_help_and_has_its_flags(helps):
    assert len(COMING) > 20
    assert len(BASH) == 5
    for verb, *words in COMING + BASH:
        for word in words:
            if word.startswith("--"):
                stage_only = word in ("--config", "--out")
                assert word in helps[verb] or stage_only, f"{verb} {word}"


def test_every_published_flag_of_the_left_side_has_its_place_on_the_right():
    """Flag groups name the published flags; each must be typed somewhere on the right."""
    left, right = set(), set()
    for there, *here in rows(section("Coming from the original repository")):
        left |= set(re.findall(r"--[a-z][a-z_0-9]*", there))
        right |= set(re.findall(r"--[a-z][a-z_0-9]*", " ".join(here)))
    assert left - right - {"--runtime"} == set()


def test_the_flags_of_the_readme_are_all_the_published_flags():
    from experiments.gafi.flags import FLAGS

    typed = {word for _, *words in COMING for word in words if word.startswith("--")}
    published = {flag for flags in FLAGS.values() for flag in flags}
    assert published - typed == set()


def test_the_table_of_stages_is_the_list_of_stages():
    assert re.findall(r"^\| `([a-z-]+)` \|", section("Stages"), flags=re.M) == list(STAGES)


@pytest.mark.parametrize("setting", sorted(set(re.findall(rf"`((?:{'|'.join(OURS)})\.\w+)", README))))
def test_every_setting_of_ours_in_the_readme_exists(setting):
    part, name = setting.split(".")
    assert name in TREE[part]


def test_the_table_of_switches_is_the_list_of_switches_with_the_values_of_paper_scale():
    table = [cells for cells in rows(section("Deviations from the original code")) if len(cells) == 4]
    assert [cells[0].strip("`") for cells in table] == [switch.key for switch in SWITCHES]
    for (_, faithful, here, why), switch in zip(table, SWITCHES, strict=True):
        assert yaml.safe_load(faithful) == to_tree(switch.faithful), switch.key
        assert yaml.safe_load(here) == value_of(TREE, switch.key), switch.key
        assert why == switch.why


def test_the_table_of_data_names_every_data_set_and_an_existing_target():
    text = section("Data")
    assert set(re.findall(r"`(\w+(?:MNIST|CIFAR\d+|CINIC10)|CIFAR\d+|CINIC10)`", text)) == set(DATASETS)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make (fetch-[a-z0-9-]+)`", text):
        assert target in makefile


def test_the_table_of_scales_says_what_the_files_say():
    """Rows in the order of the README; the first number of a cell is the published data set's."""
    cells = {row[0]: row[1:] for row in rows(section("Scales"))}
    for column, scale in enumerate(("tiny", "smoke", "small", "medium", "paper")):
        config = load_config(GafiConfig, HOME / f"configs/{scale}.yaml")
        search, epochs = config.pipeline.PIPELINE, config.pipeline.OPTIMIZATION.epochs
        grids = len(ckpt_epochs(config)), len(search.stddev_search), len(search.threshold_search)
        said = {name: row[column] for name, row in cells.items()}
        assert said["pixels"] == str(config.gan.DATA.image_size)
        assert (
            said["width of GAN / classifier"]
            == f"{config.gan.MODEL.g_conv_dim} / {config.pipeline.MODEL.width}"
        )
        assert said["GANs"].split()[0] == str(len(config.COMPUTE.gan_seeds))
        assert said["GAN epochs"].split()[0] == str(config.gan.OPTIMIZATION.epochs)
        assert said["trials per GAN: epoch + s + threshold"] == " + ".join(map(str, grids))
        assert said["classifier epochs: search / last"] == f"{search_epochs(config)} / {epochs}"
        assert said["generated pictures per class"] == f"{search.class_samples or 5000:,}"
        assert said["training pictures"].startswith(
            "all" if config.SUBSET.train is None else f"{config.SUBSET.train:,}"
        )


def test_every_file_of_the_repository_that_is_named_exists():
    for name in re.findall(r"experiments/gafi/configs/[\w/]+\.yaml", README):
        assert (ROOT / name).is_file(), name
    for name in ("ResNet20.yaml", "BigGAN_deep.yaml", "Pipeline.yaml", "MultiGAN.yaml"):
        assert f"`{name}`" in README
        assert all((HOME / "configs" / dataset / name).is_file() for dataset in DATASETS)


def test_the_published_gaps_in_prose_are_those_of_the_table():
    from experiments.gafi.report_tables import published_value

    for dataset in ("FashionMNIST", "CIFAR10", "CIFAR100"):
        assert published_value("gap", dataset)[0] in README.split("```")[0]
