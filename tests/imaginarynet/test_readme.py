"""The README's commands, flags, settings, files and tables are those of the program."""

import re
import shlex
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from experiments.imaginarynet.arms import DETECTORS, auto_detector, fits, pick
from experiments.imaginarynet.classes import FOLDER, LISTS, classes_of
from experiments.imaginarynet.cli import CHAIN, COMMANDS, overview
from experiments.imaginarynet.config import CONFIG, CONFIGS
from experiments.imaginarynet.config_sections import Format
from experiments.imaginarynet.flags import STEPS, parser_of
from experiments.imaginarynet.report_switches import SWITCHES
from experiments.imaginarynet.rounds import num_rounds, round_of
from experiments.imaginarynet.stages import STAGES
from experiments.imaginarynet.store.manifest import Candidate
from suite.by_hand import Parser
from suite.config import load_config, to_tree
from suite.report.switches import value_of

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "experiments" / "imaginarynet"
README = (HOME / "README.md").read_text(encoding="utf-8")
PAPER = load_config(CONFIG, CONFIGS / "paper.yaml")
TREE = to_tree(PAPER)
SECTIONS = [name for name, value in TREE.items() if isinstance(value, dict)]
PUBLISHED_FLAGS = {
    "--seed", "--num", "--classfile", "--outputdir", "--gpt", "--clip", "--cpu", "--backend", "--threshold",
}  # fmt: skip


def section(title):
    return README.split(f"## {title}\n")[1].split("\n## ")[0]


def rows(text):
    """Cells of the lines of Markdown tables, without head and rule."""
    tables = re.findall(r"(?:^\|.*\n?)+", text, flags=re.M)
    lines = [line for table in tables for line in table.splitlines()[2:]]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def commands(text):
    """`imaginarynet ...` in backticks, as words without `imaginarynet`."""
    return [shlex.split(line) for line in re.findall(r"`imaginarynet ([^`]+)`", text)]


COMING = section("Coming from the original repository")
BASH = [
    shlex.split(line)
    for line in re.findall(r"^python -m experiments\.imaginarynet (.*)$", README, flags=re.M)
]


@pytest.mark.parametrize("words", [*commands(COMING), *BASH], ids=" ".join)
def test_every_command_of_the_table_and_of_the_first_page_is_one_that_is_understood(words):
    verb, rest = words[0], words[1:]
    assert verb in {**STEPS, **COMMANDS, **CHAIN}
    if verb in STEPS:
        parser_of(verb).parse(rest)


def test_every_published_flag_stands_on_the_left_and_is_typed_on_the_right():
    left = {flag for there, *_ in rows(COMING) for flag in re.findall(r"--[a-z-]+", there)}
    typed = {word for words in commands(COMING) for word in words if word.startswith("--")}
    assert left == PUBLISHED_FLAGS
    assert PUBLISHED_FLAGS <= typed


def test_the_published_defaults_that_are_typed_are_the_defaults():
    from experiments.imaginarynet.flags import OUTPUT, PUBLISHED

    for flag, value in (
        ("num", PUBLISHED["num"]),
        ("classfile", PUBLISHED["classes"]),
        ("outputdir", OUTPUT),
    ):
        assert f"`imaginarynet generate --{flag} {value}`" in COMING
    assert f"`imaginarynet filter --threshold {PUBLISHED['filter.threshold']}`" in COMING


def test_the_table_of_switches_is_the_list_of_switches_with_the_values_of_paper_scale():
    table = [cells for cells in rows(section("Deviations from the original code")) if len(cells) == 4]
    assert [cells[0].strip("`") for cells in table] == [switch.key for switch in SWITCHES]
    for (_, faithful, here, why), switch in zip(table, SWITCHES, strict=True):
        assert yaml.safe_load(faithful) == to_tree(switch.faithful), switch.key
        assert yaml.safe_load(here) == value_of(TREE, switch.key), switch.key
        assert why == switch.why


NAMED = set(re.findall(rf"`((?:{'|'.join(SECTIONS)})\.\w+)", README)) - {"images.tar"}  # a file


@pytest.mark.parametrize("setting", sorted(NAMED))
def test_every_setting_in_the_readme_exists(setting):
    part, name = setting.split(".")
    assert name in TREE[part]


def test_the_table_of_stages_names_every_stage():
    named = re.findall(r"`([a-z-]+(?:-\d)?)`", " ".join(cells[0] for cells in rows(section("Stages"))))
    assert sorted(named) == sorted(name for name in STAGES if round_of(name) < 3)


def test_the_table_of_fields_is_the_row_of_the_manifest():
    named = [cells[0] for cells in rows(section("What is written")) if len(cells) == 2]
    found = [name for cell in named for name in re.findall(r"`(\w+)`", cell)]
    wanted = [field.name for field in fields(Candidate)]
    assert sorted(set(found) - set(Format.__args__)) == sorted(wanted)
    assert set(Format.__args__) <= set(found)


def test_the_table_of_scales_says_what_the_files_say():
    cells = {row[0]: row[1:] for row in rows(section("Scales"))}
    for column, scale in enumerate(("tiny", "smoke", "small", "paper")):
        config = load_config(CONFIG, CONFIGS / f"{scale}.yaml")
        said = {name: row[column] for name, row in cells.items()}
        assert str(len(classes_of(config))) in re.findall(r"\d+", said["classes"])
        assert said["prompts per class"] == str(config.num)
        assert said["rounds at most"] == str(num_rounds(config))
        assert said["diffusion pictures beside the set"] == str(config.diffusion_samples)
        assert said["pixels, DALL-E mini / diffusion"].endswith(f"/ {config.diffusion.size}")
        is_tiny = config.dalle_mini.model == config.clip.model == config.diffusion.model == "embedded-tiny"
        assert said["models"].startswith("embedded-tiny") == is_tiny
        limit = f", {config.target.limit} of each split" if config.target.limit else ""
        assert said["real pictures (`target.data`)"] == f"{config.target.data}{limit}"
        assert {said["backbone of WSDDN and OICR"]} == {config.wsddn.backbone, config.oicr.backbone}
        for settings in (
            config.unbiased_teacher,
            config.soft_teacher,
            config.faster_rcnn,
            config.w2n.student,
        ):
            assert said["backbone of the others, width"] == f"{settings.backbone}, {settings.width}"


def test_models_of_paper_scale_are_the_folders_of_the_table():
    text = section("Models")
    for part, key in (
        ("prompts", "model"), ("dalle_mini", "model"), ("dalle_mini", "vqgan"), ("diffusion", "model"),
        ("clip", "model"),
    ):  # fmt: skip
        assert f"`{TREE[part][key]}`" in text
        assert f"`{part}.{key}`" in text
    for verb in COMMANDS:
        assert verb in README
        assert verb in overview()


# --- detectors ---

FIRST_DETECTORS = section("Detectors")
THEIRS = section("Coming from the repositories of the detectors")


def test_the_table_of_detectors_names_all_of_them():
    named = [cells[0].strip("`") for cells in rows(FIRST_DETECTORS) if len(cells) == 3]
    assert sorted(named) == sorted(DETECTORS)


def test_the_table_of_settings_is_that_of_paper_scale():
    table = [cells for cells in rows(FIRST_DETECTORS) if len(cells) == 6]
    assert [cells[0].strip("`") for cells in table] == list(PAPER.settings)
    for name, labels, boxes, unlabelled, detectors, _ in table:
        setting = PAPER.settings[name.strip("`")]
        said = re.sub(r", dealt anew", "", labels)
        assert said.split(", ") == list(setting.image_labels or ["-"])
        assert boxes.split(", ") == list(setting.boxes or ["-"])
        assert unlabelled.split(", ") == list(setting.unlabelled or ["-"])
        assert ("dealt anew" in labels) == setting.shuffle_labels
        named = re.findall(r"`([a-z0-9-]+)`", detectors)
        assert named[0] == auto_detector(setting)
        assert sorted(named) == sorted(one for one in DETECTORS if fits(one, setting))


def test_every_setting_and_detector_that_is_typed_makes_arms():
    typed = re.findall(r"SETTING=([\w,-]+)(?:.*?DETECTOR=([\w,-]+))?", README)
    assert len(typed) > 5
    for settings, detectors in (words for words in typed if words[0] != "none"):
        assert pick(settings.split(","), (detectors or "auto").split(","), PAPER.settings)


DETECTOR_COMMANDS = [
    words for words in (*commands(THEIRS), *BASH) if words[0] in ("predict", "import-checkpoint")
]


@pytest.mark.parametrize("words", DETECTOR_COMMANDS, ids=" ".join)
def test_the_flags_of_the_commands_for_detectors_are_understood(words):
    parser = Parser()
    import_module(f"experiments.imaginarynet.{COMMANDS[words[0]]}").add_flags(parser)
    parser.parse(words[1:])


def test_users_of_other_repositories_are_told_both_commands():
    assert {words[0] for words in commands(THEIRS)} == {"predict", "import-checkpoint"}


def test_variants_that_are_named_are_files():
    named = re.findall(r"`((?:wsddn|oicr)-[a-z]+)`|variant=([a-z-]+)", README)
    names = {one or other for one, other in named}
    assert names == {path.stem for path in (CONFIGS / "weak").glob("*.yaml")}


def test_the_class_lists_have_the_numbers_that_are_said():
    for file, number in re.findall(r"`(\w+\.txt)` \((\d+)\)", README.replace("\n", " ")):
        assert file in LISTS.values()
        assert len((FOLDER / file).read_text(encoding="utf-8").split("\n")) - 1 == int(number)


def test_every_file_of_the_repository_that_is_named_exists():
    for name in re.findall(r"\]\(([^)#]+)\)", README):
        assert (HOME / name).exists(), name
    for name in re.findall(r"experiments/imaginarynet/configs/\w+\.yaml", README):
        assert (ROOT / name).is_file(), name
    for file in LISTS.values():
        assert f"`classes/{file}`" in README or file == "tabletop.txt"


def test_make_targets_and_variables_that_are_named_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"make ((?:reproduce|t2i)-[a-z0-9-]+)", README)):
        assert f"\n{target}:" in makefile, target
    for variable in ("CLASSES", "NUM", "BACKEND", "THRESHOLD", "SETTING", "DETECTOR"):
        assert re.search(rf"^export .*\b{variable}\b", makefile, flags=re.M)
