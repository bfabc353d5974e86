"""`generate` and its steps: the stages of a run in a folder of the user, one after the other.

    <outputdir>/prompt.txt, image/, annotation/   in the published layout, of the kept pictures
    <outputdir>/manifest.jsonl, classes.csv       every candidate; what each class asked for and got
    <outputdir>/stages/<stage>/, logs/            what the stages left, and said
    <outputdir>/config.yaml, seed.json            what it was made with

Every stage runs in its toolchain by the launcher of the suite, so DALL-E mini and CLIP need not live in one
environment. The same command again does what is missing; a killed one goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from experiments.imaginarynet.config import ImaginaryNetConfig
from experiments.imaginarynet.flags import CONFIG_FILE, SEED_FILE, STEPS, Choice, output_of, settings_of
from experiments.imaginarynet.models import PACKAGED, find_model
from experiments.imaginarynet.publish import publish, write_prompts
from experiments.imaginarynet.stage_maker import SYSTEM
from experiments.imaginarynet.stages import models_of, stages_of
from suite.config import dump
from suite.errors import EXIT_OK, EXIT_STOPPED, BadInput
from suite.inspect_run import inspect
from suite.launch import __main__ as launcher
from suite.launch.engine import pick_accel, pick_device, pick_place
from suite.launch.pool import StopRequest
from suite.launch.state import exclusive
from suite.manifest import read_manifest, write_json
from suite.provenance import ROOT
from suite.runs import folder_setting
from suite.stage import Stage

LAST = {"generate": "export"}  # command: its last stage, where the names differ
BEGUN = {"logs", "stages", ".lock", SEED_FILE, f".{CONFIG_FILE}.tmp"}  # what a kill at the very start leaves


@dataclass(frozen=True, kw_only=True)
class Output:
    """A run in a folder of the user; what suite.inspect_run asks of a run."""

    home: Path
    config: ImaginaryNetConfig
    seed: int

    @property
    def folder(self) -> Path:
        """Where the stages lie."""
        return self.home / "stages"

    @cached_property
    def stages(self) -> Mapping[str, Stage]:
        """What a folder of the user needs: all but the report."""
        return {name: stage for name, stage in stages_of(self.config).items() if name != "report"}

    def producer(self, name: str) -> str:
        """Inputs have the names of stages."""
        return name

    def until(self, last: str) -> list[Stage]:
        """The stages that lead to the last one, itself included, in order."""
        wanted, waiting = set(), [last]
        while waiting:
            name = waiting.pop()
            wanted.add(name)
            waiting += [other for other in self.stages[name].inputs if other not in wanted]
        return [stage for stage in self.stages.values() if stage.name in wanted]


def generate(args: argparse.Namespace, verb: str = "generate") -> int:
    """Bring the output folder up to a step; returns the exit code of the stage that failed, or 0."""
    assert verb in STEPS
    home = output_of(args)
    choice = settings_of(args, goes_on=verb != "generate")
    claim(home)
    with exclusive(home / ".lock"):
        output = save(home, choice)
        stages = output.until(LAST.get(verb, verb))
        code = run_stages(output, stages, args)
        if code == EXIT_OK:
            for text in warnings_of(output, stages):
                print(f"warning: {text}", file=sys.stderr)
            tell(output, verb)
    return code


def claim(home: Path) -> None:
    """The folder, new or ours. Raises BadInput where it holds something else."""
    is_ours = (home / CONFIG_FILE).is_file()
    if home.is_dir() and not is_ours and {path.name for path in home.iterdir()} - BEGUN:
        fix = "name another --outputdir; `import-archive` reads a folder of the published code"
        raise BadInput("holds something else", file=home, fix=fix)
    try:
        (home / "logs").mkdir(parents=True, exist_ok=True)
        (home / "stages").mkdir(exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise BadInput(
            "a file stands where a folder is needed", file=home, fix="name another --outputdir"
        ) from None


def save(home: Path, choice: Choice) -> Output:
    """Keep the settings beside the result, from where the stages read them.

    The seed comes first: where there are settings, there is the seed that belongs to them.
    """
    write_json(home / SEED_FILE, {"seed": choice.seed})
    text = dump(choice.config)
    path = home / CONFIG_FILE
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        temporary = home / f".{CONFIG_FILE}.tmp"
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    return Output(home=home, config=choice.config, seed=choice.seed)


def run_stages(output: Output, stages: list[Stage], args: argparse.Namespace) -> int:
    """Every stage that is not done, by the launcher; returns the first exit code that is not 0."""
    stop = StopRequest()
    stop.install()
    place = pick_place(args.place)
    device, _ = pick_device(args.device, place)
    done = {state.name for state in inspect(output) if state.is_done}  # type: ignore[arg-type]
    left = [stage for stage in stages if stage.name not in done]
    if left:
        check_place(output.home, place)
        check_models(output.config, left, place)
    for stage in left:
        if stop.is_set:
            return EXIT_STOPPED
        words = launch_words(output, stage, place=place, device=device, args=args)
        code = launcher.launch(launcher.build_parser().parse_args(words), stop)
        if code != EXIT_OK:
            return code
    return EXIT_STOPPED if stop.is_set else EXIT_OK


def check_place(home: Path, place: str) -> None:
    """Raises BadInput for a folder that the stages cannot write: of a container, all but RUNS_DIR."""
    runs = folder_setting("RUNS_DIR", "runs")
    if place == "docker" and not home.is_relative_to(runs):
        fix = f"add `--place venv`, or name an --outputdir below {runs}"
        raise BadInput("a container cannot write there", file=home, fix=fix)


def check_models(config: ImaginaryNetConfig, stages: Sequence[Stage], place: str) -> None:
    """Find the models of these stages, so that no prompt is written for weights that are not there.

    Raises Missing or BadInput as find_model does. Left to the stage are the packaged language model, which is
    installed in its environment alone, and paths that only a container knows.
    """
    with contextlib.chdir(ROOT):  # where stages run, and names of folders begin
        for kind, name in dict.fromkeys(model for stage in stages for model in models_of(stage, config)):
            is_elsewhere = name == PACKAGED if kind == "lm" else place == "docker" and os.path.isabs(name)
            if not is_elsewhere:
                find_model(kind, name)


def launch_words(
    output: Output, stage: Stage, *, place: str, device: str, args: argparse.Namespace
) -> list[str]:
    """The launcher's command for one stage."""
    words: list[Any] = ["--system", SYSTEM, "--toolchain", stage.toolchain, "--place", place]
    words += ["--jobs", args.jobs, "--accel", pick_accel(args.accel, device)]
    words += ["--log", output.home / "logs" / f"{stage.name}.log", *(["--wide"] if stage.is_wide else [])]
    words += ["--", stage.name, "--config", output.home / CONFIG_FILE, "--seed", output.seed]
    words += ["--device", device if stage.uses_gpu else "cpu", "--out", output.folder / stage.name]
    words += [word for name in stage.inputs for word in (f"--{name}", output.folder / name)]
    return [str(word) for word in words]


def warnings_of(output: Output, stages: Sequence[Stage]) -> list[str]:
    """What finished stages warn of, such as classes that are short; each text once, in order."""
    manifests = {stage.name: read_manifest(output.folder / stage.name) or {} for stage in stages}
    found = {text: name for name, tree in reversed(manifests.items()) for text in tree.get("warnings", ())}
    return [f"{name}: {text}" for text, name in reversed(found.items())]


def tell(output: Output, verb: str) -> None:
    """Put the files where the published code has them, and say where they are."""
    if verb in ("generate", "export"):
        pictures, is_new = publish(output.folder / "export", output.home)
        print(f"{pictures} pictures: {'done' if is_new else 'up to date'}, in {output.home}")
    elif verb == "prompts":
        prompts = write_prompts(output.folder / "prompts", output.home, output.config)
        print(f"{prompts} prompts: {output.home / 'prompt.txt'}")
    else:
        print(f"{verb}: {output.folder / verb}")
