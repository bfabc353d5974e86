"""A finished run with made-up scores: pictures of noise, the real filter, and what `report` reads of it."""

from dataclasses import replace

import numpy as np

from experiments.imaginarynet.clip import filter_stage
from experiments.imaginarynet.config import CONFIG, CONFIGS
from experiments.imaginarynet.stages import SAMPLES, stages_of
from experiments.imaginarynet.store.manifest import CANDIDATES, write_rows
from experiments.imaginarynet.store.shard import ShardWriter
from suite.config import load_config
from suite.manifest import MANIFEST, write_json
from tests.imaginarynet.candidates import context, images_stage, picture, queued

CLASSES = ("mug", "traffic light", "lemon <b>")
DIGEST = "ab" * 32


def config_of(*overrides, clip=True):
    """Tiny settings for the three classes."""
    names = 'classes=["mug", "traffic light", "lemon <b>"]'
    more = (names, "num=4", f"clip.enabled={str(clip).lower()}", "setting=[]")
    return load_config(CONFIG, CONFIGS / "tiny.yaml", [*more, *overrides])


def manifest(stage, inputs, **extra):
    """A manifest with the fields of suite.stage."""
    return {
        "stage": stage,
        "key": f"key of {stage}",
        "key_parts": {"packages": {"torch": "2.13"}, "seed": 0},
        "inputs": {name: {"path": f"../{name}", "key": ""} for name in inputs},
        "outputs": [],
        "packages": {"numpy": "2.4.0"},
        "environment": {"python": "3.11", "prefix": "/v", "packages_sha256": "ab" * 32, "lock_sha256": None},
        "git": {"commit": "cd" * 20, "dirty": False},
        "host": {"name": "box", "system": "Linux", "cpu": "CPU", "cores": 2, "memory_bytes": 1, "gpus": []},
        "device": "cpu",
        "counts": {"pictures": 10},
        "warnings": ["odd <thing>"] if stage == "images" else [],
        "wall_seconds": 2.0,
        "cpu_seconds": 3.0,
        "peak_rss_bytes": 1_000_000,
        "peak_gpu_bytes": None,
        "facts": {},
        **extra,
    }


def judged(rows, rng):
    """Rows with scores that the generator decides; the own class leads in about two of three."""
    done = []
    for row in rows:
        raw = rng.random(len(CLASSES)) ** 3
        raw[row.class_id] += rng.random() * 3
        scores = tuple((raw / raw.sum()).tolist())
        done.append(
            replace(
                row, scores=scores, top1=int(np.argmax(scores)), p_label=scores[row.class_id],
                models={"dallebart": DIGEST, "clip": DIGEST[::-1]}, params={"top_k": 50},
            )
        )  # fmt: skip
    return done


def finished_run(root, config):
    """{input of `report`: folder} below root."""
    rng = np.random.default_rng(0)
    stages = stages_of(config)
    folders = {name: root / name for name in stages["report"].inputs}
    for round, name in enumerate((name for name in folders if name.startswith("images")), start=1):
        numbers = range(4) if round == 1 else range(4, 6)
        rows = [queued(c, n, classes=CLASSES, round=round) for c in range(3) for n in numbers]
        made = judged(images_stage(root, rows, name=name), rng)
        verb = name.replace("images", "scores") if config.clip.enabled else name
        (root / verb / "00000").mkdir(parents=True, exist_ok=True)
        write_rows(root / verb / "00000" / CANDIDATES, made)
    if SAMPLES in folders:
        ctx = context(root, SAMPLES, config=config)
        samples = ShardWriter(ctx, [queued(c, 0, classes=CLASSES) for c in range(2)])
        samples.put(samples.missing, [picture(9), picture(10)])
        samples.finish()
        ctx.out.rename(folders[SAMPLES])
    if "filter" in folders:
        judges = {name: root / name for name in stages["filter"].inputs}
        ctx = context(root, "filter", config=config, inputs=judges)
        filter_stage.run(ctx)
        ctx.out.rename(folders["filter"])
    for name, folder in folders.items():
        folder.mkdir(exist_ok=True)
        write_json(folder / MANIFEST, manifest(name, stages[name].inputs))
    return folders
