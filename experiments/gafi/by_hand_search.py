"""`run-pipeline` and `run-multigan` outside a run: the search's own functions, in the published folders.

The classifier of real pictures and the GANs are found by their published names (names.py). What lies in a
folder of a search is told by its ledger: finished candidates stay, and one of other settings is refused.
"""

from __future__ import annotations

import fcntl
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments.gafi import names
from experiments.gafi.by_hand import imported, placed
from experiments.gafi.classifier.stage import read_facts
from experiments.gafi.classifier.trainer import ClassifierTrainer
from experiments.gafi.config import GafiConfig, effective_seed, seed_of_name
from experiments.gafi.config_sections import ClsPre, DataSection, GanScript
from experiments.gafi.data.dataset import Dataset, read_dataset
from experiments.gafi.flags import PROGRAM
from experiments.gafi.nn import backend
from experiments.gafi.nn.state import from_arrays, load_arrays
from experiments.gafi.search import stages as search
from experiments.gafi.search.candidate import BEST
from experiments.gafi.search.inputs import Gan, Inputs
from experiments.gafi.search.ledger import LEDGER, RESULT, CandidateResult
from experiments.gafi.search.multigan import best_source, candidate_of
from experiments.gafi.search.multigan import run_multigan as search_multigan
from experiments.gafi.search.plan import FOLDERS
from experiments.gafi.search.selection import best_result
from experiments.gafi.search.steps import Hooks
from suite.by_hand import move_aside
from suite.config import build, to_tree
from suite.errors import BadInput, Missing, Stopped
from suite.manifest import key_of, read_json, write_json
from suite.progress import Progress
from suite.stage import STOP

CONFIG = "config.json"  # published name: all settings of a MultiGAN
TEST = "test.json"  # accuracy on the test pictures, in the folder of the classifier


def run_pipeline(config: GafiConfig, *, device: str, force: bool) -> Iterator[str]:
    """The wanted steps of the search on one GAN; after `best`, accuracy on the test pictures."""
    config = placed(config)
    script = config.pipeline
    if script.PIPELINE.gan_name is None:
        raise BadInput("no GAN is named", fix="give --gan_name NAME, the folder's name below --load_path")
    gan, settings = found_gan(script.PIPELINE.load_path, script.DATA, script.PIPELINE.gan_name)
    config = replace(config, gan=settings)
    classifier = found_classifier(script.DATA, script.CLS_PRE)
    dataset = opened(config, script, device)
    seed = effective_seed(script.RUN, 0)
    inputs = Inputs(
        config=config, script=script, dataset=dataset, classifier=classifier, gans=(gan,), seed=seed,
        check_model=False,
    )  # fmt: skip
    candidates = names.candidate_name(script, class_samples=inputs.class_samples)
    home = names.search_folder(gan.folder, candidates)
    if force:
        yield from set_aside(home, inputs.settings())
    with alone(home):
        found = search.run_pipeline(
            home, script.PIPELINE.steps, config=config, dataset=dataset, gan=gan.folder, gan_name=gan.name,
            classifier=classifier, seed=seed, hooks=hooks_of("run-pipeline"),
        )  # fmt: skip
        for step, results in found.items():
            best = best_result(results)
            yield f"{step}: {best.candidate.name}, {best.candidate.split} accuracy {best.score:.4f}"
            if step == "best":
                yield judged(best, home / FOLDERS[step] / best.candidate.name, inputs)
    yield str(home)


def run_multigan(config: GafiConfig, *, device: str, force: bool) -> Iterator[str]:
    """One classifier from the GANs that are named, each as its own search chose; its test accuracy."""
    config = placed(config)
    script = config.multigan
    section = script.PIPELINE
    if not section.gan_names:
        raise BadInput(
            "no GANs are named", fix="give --gan_names NAME,NAME,.., folders' names below --load_path"
        )
    found = [
        found_gan(section.load_path, script.DATA, name, index=index)
        for index, name in enumerate(section.gan_names)
    ]
    gans = [gan for gan, _ in found]
    config = replace(config, gan=found[0][1])
    classifier = found_classifier(script.DATA, script.CLS_PRE)
    dataset = opened(config, script, device)
    inputs = Inputs(
        config=config, script=script, dataset=dataset, classifier=classifier, gans=gans,
        seed=effective_seed(script.RUN, 0), check_model=False,
    )  # fmt: skip
    searched = names.candidate_name(
        script, class_samples=section.best_class_samples or inputs.class_samples,
        extra_name=section.best_extra_name,
    )  # fmt: skip
    sources = [best_source(found_search(gan, searched), gan) for gan in gans]
    candidates = names.candidate_name(script, class_samples=inputs.class_samples)
    home = names.multigan_folder(script, candidates, [seed_of_name(gan.name) for gan in gans])
    held = read_json(home / RESULT)
    if force and held is not None and held.get("key") != candidate_of(inputs, sources).key:
        yield f"{home} is now {move_aside(home)}"
    with alone(home):
        work = home / search.WORK
        result = search_multigan(home, inputs, sources, work=work, hooks=hooks_of("run-multigan"))
        shutil.rmtree(work, ignore_errors=True)
        write_json(home / CONFIG, to_tree(config))
        yield f"{len(gans)} GANs: {result.candidate.split} accuracy {result.score:.4f}"
        yield judged(result, home, inputs)
    yield str(home)


# --- what is found by name ---


def found_gan(load_path: str, data: DataSection, name: str, *, index: int = 0) -> tuple[Gan, GanScript]:
    """A GAN by its folder's name, and the settings that it was trained with. Raises Missing, BadInput."""
    folder = Path(load_path) / data.dataset / name
    path = folder / "last_epoch" / "config.json"
    if not folder.is_dir():
        fix = f"train it: {PROGRAM} train-gan --seed {seed_of_name(name)} ..., or check --load_path"
        raise Missing("no GAN of this name", file=folder, fix=fix)
    tree = read_json(path)
    if not isinstance(tree, dict):
        raise BadInput("no finished GAN: its settings cannot be read", file=path, fix="train it to its end")
    return Gan(name=name, index=index, folder=folder), build(GanScript, tree, where=str(path))


def found_classifier(data: DataSection, wanted: ClsPre) -> Path:
    """The folder of the classifier of real pictures that CLS_PRE describes. Raises Missing, BadInput."""
    folder = names.classifier_folder(data, wanted)
    if not folder.is_dir():
        fix = f"train it: {PROGRAM} train-classifier ..., or check CLS_PRE (--cls_pre_*)"
        raise Missing("no classifier of this name", file=folder, fix=fix)
    read_facts(folder)
    return folder


def found_search(gan: Gan, candidates: str) -> Path:
    """The search of a GAN, done to its last step. Raises Missing."""
    folder = names.search_folder(gan.folder, candidates)
    if not (folder / FOLDERS["best"] / LEDGER).is_file():
        fix = f"{PROGRAM} run-pipeline --gan_name {gan.name} ..., or check --best_class_samples"
        raise Missing("the search of this GAN has no result", file=folder, fix=fix)
    return folder


# --- what both commands do ---


def opened(config: GafiConfig, script: Any, device: str) -> Dataset:
    """The data set, and a framework that is ready to compute."""
    folder = imported(config, Path(script.RUN.save_path))
    backend.setup(threads=config.COMPUTE.threads, device=device)
    data = script.DATA
    return read_dataset(folder, data, merged=data.merge_train_val, as_uint8=not data.dequantize)


def judged(result: CandidateResult, folder: Path, inputs: Inputs) -> str:
    """Accuracy on the test pictures of the classifier in a candidate's folder; kept there as test.json."""
    dataset = inputs.dataset
    size = dataset.image_size
    trainer = ClassifierTrainer(
        inputs.script, image_shape=(size, size, dataset.channels), num_classes=dataset.num_classes,
        compute=inputs.config.COMPUTE,
    )  # fmt: skip
    state = from_arrays(trainer.model, load_arrays(folder / BEST), where=folder / BEST)
    _, accuracy = trainer.evaluate(state, dataset.x_test, dataset.y_test)
    chosen_by = result.candidate.split
    facts = {"key": result.key, "epoch": result.best_epoch, "chosen_by": chosen_by}
    write_json(folder / TEST, {**facts, "test_accuracy": accuracy})
    return f"CAS: test accuracy {accuracy:.4f} (all chosen by {chosen_by})"


def set_aside(home: Path, settings: dict[str, Any]) -> Iterator[str]:
    """--force: a search of other settings gets another name."""
    found = read_json(home / search.SETTINGS)
    if home.exists() and key_of({"settings": found}) != key_of({"settings": settings}):
        yield f"{home} is now {move_aside(home)}"


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """One process per folder of results; the lock dies with its holder."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / ".lock").open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fix = "wait for it, or stop it"
            raise BadInput("another process works on this", file=home, fix=fix) from None
        yield


def hooks_of(name: str) -> Hooks:
    """Progress and events on stderr; SIGTERM ends between two epochs."""

    def check_stop() -> None:
        if STOP.is_set:
            raise Stopped(f"{name} stopped by SIGTERM", fix="the same command goes on from here")

    def event(kind: str, **facts: Any) -> None:
        print(f"{name}: {kind} {' '.join(f'{k}={v}' for k, v in facts.items())}", file=sys.stderr)

    return Hooks(
        check_stop=check_stop,
        progress=lambda total: Progress(total, name),
        event=event,
        warn=lambda text: print(f"warning: {name}: {text}", file=sys.stderr),
    )
