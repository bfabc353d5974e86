"""The stage `train-classifier`: C_real, the classifier of real images that filters generated ones.

Writes `classifier.npz` (the network after its best epoch by validation accuracy), `classifier.json`
(architecture, digest, best epoch, accuracies, parameter counts) and `history.csv` (a row per epoch: the
learning curve). Test images are not read here, unless SEARCH.selection_split is `test`: the history then
has their columns too, and the best epoch is still that of the validation images, as in the published
script.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import keras

from experiments.gafi.classifier.loop import FitResult, FixedProvider, fit
from experiments.gafi.classifier.trainer import ClassifierTrainer, as_device
from experiments.gafi.config import effective_seed
from experiments.gafi.data.dataset import Dataset, read_dataset
from experiments.gafi.nn import backend
from experiments.gafi.nn.classifiers import build_classifier, num_parameters
from experiments.gafi.nn.state import ModelState, from_arrays, load_arrays, save_arrays, to_arrays
from suite.errors import BadInput
from suite.manifest import file_digest, read_json, write_json
from suite.tables import csv_text

if TYPE_CHECKING:
    from experiments.gafi.config_ours import ComputeSection
    from experiments.gafi.config_sections import ClassifierModel, ClassifierScript
    from suite.stage import Context

WEIGHTS, FACTS, HISTORY = "classifier.npz", "classifier.json", "history.csv"
SCHEMA = 1


class LoadedClassifier(NamedTuple):
    """A network and the weights to run it with; the values of its own variables are the same."""

    model: keras.Model
    state: ModelState


def run(ctx: Context) -> None:
    """The stage."""
    config, script = ctx.config, ctx.config.classifier
    backend.setup(threads=config.COMPUTE.threads, device=ctx.device)
    with_test = config.SEARCH.selection_split == "test"
    if script.DATA.merge_train_val and not with_test:
        what = "classifier.DATA.merge_train_val makes the test images the validation images"
        raise BadInput(what, fix="leave it false, or set SEARCH.selection_split=test")
    dataset = read_dataset(
        ctx.inputs["import"], script.DATA, merged=script.DATA.merge_train_val,
        as_uint8=not script.DATA.dequantize,
    )  # fmt: skip
    with ctx.progress(script.OPTIMIZATION.epochs) as bar:

        def tell(row: Mapping[str, Any]) -> None:
            bar.advance()
            loss, accuracy = f"{row['loss']:.4f}", f"{row['val_accuracy']:.4f}"
            ctx.event("epoch", number=row["epoch"], loss=loss, val_accuracy=accuracy)

        facts = train(
            script, dataset, compute=config.COMPUTE, seed=effective_seed(script.RUN, ctx.seed), out=ctx.out,
            work=ctx.work, with_test=with_test, check_stop=ctx.check_stop, progress=tell,
        )  # fmt: skip
    ctx.count("epochs", facts["epochs"])
    ctx.count("images", dataset.counts["train"])


def train(
    script: ClassifierScript, dataset: Dataset, *, compute: ComputeSection, seed: int, out: Path, work: Path,
    with_test: bool = False, check_stop: Callable[[], None] = lambda: None,
    progress: Callable[[Mapping[str, Any]], None] = lambda row: None,
) -> dict[str, Any]:  # fmt: skip
    """Train on `dataset`'s train split, write the files of the stage to `out`; returns classifier.json.

    work: folder of the resumable state. with_test: the test split is evaluated after every epoch as well.
    """
    size, channels = dataset.image_size, dataset.channels
    trainer = ClassifierTrainer(
        script, image_shape=(size, size, channels), num_classes=dataset.num_classes, compute=compute
    )
    evals = {"val": (dataset.x_val, dataset.y_val)}
    if with_test:
        evals["test"] = (dataset.x_test, dataset.y_test)
    provider = FixedProvider(as_device(dataset.x_train), as_device(dataset.y_train))
    result = fit(
        trainer, provider, evals=evals, epochs=script.OPTIMIZATION.epochs, seed=seed, work=work,
        check_stop=check_stop, progress=progress,
    )  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    (out / HISTORY).write_text(csv_text(result.history), encoding="utf-8")
    save_arrays(out / WEIGHTS, to_arrays(trainer.model, result.best["val"].model))
    facts = describe(trainer, result, seed=seed, path=out / WEIGHTS)
    write_json(out / FACTS, facts)
    return facts


def describe(trainer: ClassifierTrainer, result: FitResult, *, seed: int, path: Path) -> dict[str, Any]:
    """What classifier.json holds."""
    best, script = result.best["val"], trainer.script
    trainable, other = num_parameters(trainer.model)
    size, _, channels = trainer.image_shape
    return {
        "schema": SCHEMA,
        "architecture": {
            "name": script.MODEL.name,
            "width": script.MODEL.width,
            "num_classes": trainer.num_classes,
            "channels": channels,
            "image_size": size,
        },
        "normalize": script.DATA.normalize,
        "parameters": {"trainable": trainable, "other": other},
        "seed": seed,
        "epochs": len(result.history),
        "best_epoch": best.epoch,
        "val_accuracy": best.accuracy,
        "val_loss": result.history[best.epoch - 1]["val_loss"],
        "precision": trainer.precision,
        "sha256": file_digest(path),
    }


def read_facts(folder: Path) -> dict[str, Any]:
    """classifier.json of a folder that `train` wrote. Raises BadInput."""
    facts = read_json(folder / FACTS)
    known = isinstance(facts, dict) and facts.get("schema") == SCHEMA
    if not known or not {"architecture", "normalize", "sha256"} <= facts.keys():
        raise BadInput("no readable classifier", file=folder / FACTS, fix="run train-classifier first")
    return facts


def load_classifier(folder: Path, wanted: ClassifierModel | None = None) -> LoadedClassifier:
    """(model, state) of a folder that `train` wrote, in float32.

    wanted: the section MODEL that the network must have; None: whatever the folder holds. Raises BadInput
    for a checkpoint of another architecture and for weights whose digest is not the recorded one.
    """
    facts = read_facts(folder)
    found, path = facts["architecture"], folder / WEIGHTS
    if wanted is not None:
        for key in ("name", "width"):
            have, want = found[key], getattr(wanted, key)
            if have != want:
                what = f"checkpoint of another architecture: MODEL.{key} is {have}, not {want}"
                raise BadInput(
                    what, file=path, fix="give the settings that it was trained with, or train again"
                )
    arrays = load_arrays(path)
    if file_digest(path) != facts["sha256"]:
        raise BadInput("is not the file that classifier.json describes", file=path, fix="train it again")
    model = build_classifier(
        _Named(found["name"], found["width"]), num_classes=found["num_classes"], channels=found["channels"],
        image_size=found["image_size"], seed=0,
    )  # fmt: skip
    return LoadedClassifier(model, from_arrays(model, arrays, where=path))


class _Named(NamedTuple):
    """The keys of MODEL that decide a network."""

    name: str
    width: int
