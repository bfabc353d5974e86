"""The published commands outside a run: the stages' own functions, with results in the published folders.

Each function takes a GafiConfig (flags.py), works, and yields the lines to be printed. A folder carries the
key of what decided it: the same command again is up to date, a killed one goes on, and other settings are
refused until `force` moves the old result aside. The data set is imported once, below the save path. The
searches are in by_hand_search.py.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from experiments.gafi import names
from experiments.gafi.config import GafiConfig
from experiments.gafi.stages import STAGES
from suite.by_hand import bring_up, key_at
from suite.errors import BadInput
from suite.manifest import KEY_FILE, MANIFEST, key_of, read_json, write_json
from suite.runs import folder_setting
from suite.stage import Context, Job, Stage, resolve

METERS = (
    "gan.RUN.compute_metrics",
    "gan.RUN.compute_classifier_stats",
    "gan.RUN.start_eval_epoch",
    "METRICS",
)
GAN_STAGE = replace(
    STAGES["train-gan"], num_shards=None, disk_bytes=None, run=f"{__name__}:train_one_gan",
    config=(*STAGES["train-gan"].config, *METERS),
)  # fmt: skip
OTHER = "repeat those, or give another --extra_name, or --force"
LEFT_OUT = (MANIFEST, KEY_FILE, "config.yaml")  # of the result of fewer epochs
SAVED = {  # script: sections with folders of results
    "classifier": {"RUN": "save_path"},
    "gan": {"RUN": "save_path", "CLS_PRE": "save_path"},
    "pipeline": {"RUN": "save_path", "CLS_PRE": "save_path", "PIPELINE": "load_path"},
    "multigan": {"RUN": "save_path", "CLS_PRE": "save_path", "PIPELINE": "load_path"},
}


def train_classifier(config: GafiConfig, *, device: str, force: bool) -> Iterator[str]:
    """Train the classifier of real pictures into its published folder."""
    config = placed(config)
    folder = names.trained_folder(config.classifier)
    data = imported(config, Path(config.classifier.RUN.save_path))
    job = _job(STAGES["train-classifier"], config, device, {"import": data}, folder)
    yield from bring_up(job, force=force, fix=OTHER)
    facts = read_json(folder / "classifier.json")
    yield f"best epoch {facts['best_epoch']}: validation accuracy {facts['val_accuracy']:.4f}"
    yield str(folder)


def train_gan(config: GafiConfig, *, device: str, force: bool) -> Iterator[str]:
    """Train one GAN into its published folder; with RUN.reload, go on from the epochs that it has."""
    config = placed(config)
    run = config.gan.RUN
    if len(config.COMPUTE.gan_seeds) != 1 or config.COMPUTE.gan_seeds[0] != run.seed:
        config = replace(config, COMPUTE=replace(config.COMPUTE, gan_seeds=(run.seed,)))
    folder = names.gan_folder(config.gan)
    data = imported(config, Path(run.save_path))
    job = _job(GAN_STAGE, config, device, {"import": data}, folder)
    if run.reload:
        _reload(job)
    yield from bring_up(job, force=force, fix=OTHER, goes_on=run.reload)
    yield str(folder)


def train_one_gan(ctx: Context) -> None:
    """The stage `train-gan` for the only GAN of a command by hand, measured by the classifier of CLS_PRE."""
    classifier = names.classifier_folder(ctx.config.gan.DATA, ctx.config.gan.CLS_PRE)
    resolve(STAGES["train-gan"].run)(replace(ctx, shard=0), classifier=classifier)


# --- folders ---


def placed(config: GafiConfig) -> GafiConfig:
    """The config with its folders of results made absolute.

    Relative ones begin at the current folder, or, where that cannot be written (a container), at RUNS_DIR.
    """
    here = Path.cwd()
    base = here if os.access(here, os.W_OK) else folder_setting("RUNS_DIR", "runs")
    for script, keys in SAVED.items():
        settings = getattr(config, script)
        for section, key in keys.items():
            old = getattr(settings, section)
            path = os.path.abspath(base / getattr(old, key))
            settings = replace(settings, **{section: replace(old, **{key: path})})
        config = replace(config, **{script: settings})
    return config


def imported(config: GafiConfig, save_path: Path) -> Path:
    """The finished folder of the stage `import`, made where it is not there; one per subset and data set."""
    stage = STAGES["import"]
    parts = [stage.config_tree(config), stage.outside(config)]
    folder = save_path / config.dataset / f".import-{key_of({'parts': parts})[:12]}"
    _job(stage, config, "cpu", {}, folder).run()
    return folder


def _job(stage: Stage, config: GafiConfig, device: str, inputs: dict[str, Path], out: Path) -> Job:
    return Job(stage=stage, config=config, seed=0, device=device, inputs=inputs, out=out)


def _reload(job: Job) -> None:
    """RUN.reload: the work folder begins as a copy of the finished GAN, with the searches that lie in it."""
    if key_at(job.out) == job.key or job.part.exists():
        return  # finished, or under way
    if not (job.out / "last_epoch").is_dir():
        fix = "leave --reload out, or check the name"
        raise BadInput("no finished GAN to reload", file=job.out, fix=fix)
    copy = job.part.with_name(f".{job.part.name}.copy")
    if copy.exists():
        shutil.rmtree(copy)
    shutil.copytree(job.out, copy, ignore=lambda place, _: LEFT_OUT if Path(place) == job.out else ())
    write_json(copy / KEY_FILE, {"key": job.key})
    copy.rename(job.part)
