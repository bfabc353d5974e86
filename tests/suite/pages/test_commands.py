"""Every command that a page shows is one that the program has: target, variables, settings, service, verb."""

import re
import subprocess
import sys
from functools import cache

import pytest
import yaml

from suite.cli import build_parser
from suite.errors import BadInput
from suite.runs import Run, own_overrides, systems
from tests.suite.pages.markdown import ELLIPSIS, PAGES, ROOT, Command, commands, is_open, text

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z0-9-]+(?: [a-z0-9-]+)*):(?!=)", MAKEFILE, flags=re.M))
TARGETS = {name for line in TARGETS for name in line.split()}
EXPORTED = set(re.search(r"^export (.*)$", MAKEFILE, flags=re.M)[1].split())
SERVICES = set(yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"])
PROGRAM = "".join(
    path.read_text(encoding="utf-8")
    for pattern in ("suite/**/*.py", "tests/containers/*.py", "tests/solid/render/*.py", "compose*.yaml")
    for path in ROOT.glob(pattern)
)
# Shown with the line that it ends in.
WRONG_ON_PURPOSE = {"train.epoch=3"}
ALL = [command for page in PAGES for command in commands(page)]
# Left columns of "coming from": commands of the original repositories.
FOREIGN = re.compile(r"python (tools/|train_net|imaginarynet\.py)|torchrun --(master_port|nproc_per_node)$")


def starting(*words: str) -> list[Command]:
    return [one for one in ALL if one.words[: len(words)] == words]


def python_commands() -> list[Command]:
    """Those that start Python with a module or a file."""
    named = [one for one in ALL if re.search(r"(^|/)python3?$", one.words[0]) and len(one.words) > 1]
    return [one for one in named if not FOREIGN.match(" ".join(one.words))]


def module_and_words(command: Command) -> tuple[str, list[str]]:
    """What Python starts (a module, or a path) and the words behind it."""
    words = list(command.words[1:])
    return (words[1], words[2:]) if words[0] == "-m" else (words[0], words[1:])


@pytest.mark.parametrize("command", starting("make"), ids=str)
def test_every_make_command_names_a_target_and_variables_that_the_makefile_hands_on(command):
    targets = [word for word in command.words[1:] if re.match(r"[a-z]", word)]
    known = [name for name in targets if name in TARGETS or (is_open(name) and any_like(name))]
    assert targets == known or command.words[1] == "/"
    for name, _ in command.settings:
        assert name in EXPORTED or f'"{name}"' in PROGRAM, name


def any_like(name: str) -> bool:
    return any(target.startswith(re.split(r"\.\.\.|<|\u2026", name)[0]) for target in TARGETS)


def runs() -> list[Command]:
    names = [f"reproduce-{name}" for name in systems()] + ["plan", "compare"]
    return [one for one in starting("make") if len(one.words) == 2 and one.words[1] in names]


@pytest.mark.parametrize("command", runs(), ids=str)
def test_every_run_that_is_shown_has_a_config_with_all_of_its_settings(command, monkeypatch, tmp_path):
    settings = dict(command.settings)
    for name in EXPORTED:
        monkeypatch.delenv(name, raising=False)
    for name in EXPORTED & set(settings):
        monkeypatch.setenv(name, stood_in(settings[name], tmp_path))
    target = command.words[1].removeprefix("reproduce-")
    system = settings.get("PAPER", "solid") if target == "plan" else target
    scale = settings.get("SCALE", "smoke")
    overrides = [part.replace("=...", "=x") for part in settings.get("OVERRIDES", "").split()]
    scale = "smoke" if scale in ELLIPSIS else scale
    run = Run(system=system, scale=scale, seed=0, overrides=(*own_overrides(system), *overrides))
    if set(overrides) & WRONG_ON_PURPOSE:
        with pytest.raises(BadInput) as error:
            _ = run.config
        assert str(error.value).removeprefix(f"{ROOT}/") in text(command.page)
    else:
        assert run.stages


def stood_in(value: str, folder) -> str:
    """A file or folder of the reader's own, made so that the program finds one."""
    if not value.startswith("/path"):
        return value
    path = folder / value.strip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix:
        path.write_text("mug\nchair\n", encoding="utf-8")
    else:
        path.mkdir(parents=True)
    return str(path)


@pytest.mark.parametrize("command", starting("docker", "compose"), ids=str)
def test_every_compose_command_names_a_service_and_known_variables(command):
    words = [word for word in command.words[2:] if not word.startswith("-")]
    verb = next(index for index, word in enumerate(words) if word in ("run", "up", "build", "logs", "down"))
    services = words[verb + 1 :] if words[verb] in ("up", "build", "logs") else words[verb + 1 : verb + 2]
    assert set(services) <= SERVICES
    for name, _ in command.settings:
        assert name in EXPORTED or f"${{{name}:" in PROGRAM, name


@pytest.mark.parametrize("command", python_commands(), ids=str)
def test_every_python_command_names_a_module_or_a_file(command):
    module, _ = module_and_words(command)
    if not is_open(module) and not module.endswith(".") and module != "pytest":
        path = ROOT / module.replace(".", "/") if "/" not in module else ROOT / module
        assert path.is_file() or path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module


@cache
def overview(system: str) -> str:
    """What `python -m experiments.<system> -h` lists; needs no framework."""
    line = [sys.executable, "-m", f"experiments.{system}", "-h"]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def by_hand() -> list[Command]:
    return [one for one in python_commands() if module_and_words(one)[0].startswith("experiments.")]


@pytest.mark.parametrize("command", by_hand(), ids=str)
def test_every_verb_by_hand_is_one_of_its_system(command):
    module, words = module_and_words(command)
    system = module.removeprefix("experiments.")
    if "." not in system and not is_open(system) and words and words[0] != "VERB":
        assert re.search(rf"(^ +|, ){words[0]}\b", overview(system), flags=re.M)


@cache
def help_of(module: str, verb: str) -> str:
    """What `-h` behind a verb says."""
    line = [sys.executable, "-m", module, verb, "-h"]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout


# The pages of the systems have tests of their own, with the frameworks that some flags need.
@pytest.mark.parametrize("command", [one for one in by_hand() if one.page.startswith("docs/")], ids=str)
def test_every_flag_by_hand_in_docs_is_one_of_its_verb(command):
    module, words = module_and_words(command)
    if "." not in module.removeprefix("experiments.") and not is_open(module):
        known = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", help_of(module, words[0])))
        assert {word.partition("=")[0] for word in words if word.startswith("-")} - known == set()


def suite_commands() -> list[Command]:
    return [one for one in python_commands() if module_and_words(one)[0] == "suite"]


@pytest.mark.parametrize("command", suite_commands(), ids=str)
def test_every_command_of_the_suite_is_understood(command):
    words = module_and_words(command)[1]
    if "starts" not in words:  # a line of a drawing
        build_parser().parse_args(words)


def test_the_pages_show_more_than_a_handful_of_each():
    assert len(starting("make")) > 60
    assert len(starting("docker", "compose")) > 12
    assert len(by_hand()) > 30
