"""A RUNS_DIR with finished reports, a comparison and an audit, and no stage behind them."""

from __future__ import annotations

import json

import numpy as np

from suite.manifest import write_json
from suite.report.figures import Figures
from suite.report.plots import lines

HEAD = "table,row,metric,value,unit\n"
HOST = {"name": "vm", "system": "Linux", "cpu": "toy CPU", "cores": 2, "memory_bytes": 2, "gpus": []}
IMAGE = {"toolchain": "blender", "accel": "cpu", "record_sha256": "c" * 64, "id": "sha256:" + "d" * 64}
# Numbers that no paper has, so that a number on the page says where it comes from.
SOLID = ("dataset,targets,images,64.125,count", "results,tabletop random,box AP,7.0625,%")
GAFI = (
    "gap,FashionMNIST,real accuracy minus CAS,11.03125,points",
    "CAS,real pictures,accuracy,0.703125,fraction",
)
QR_KEY = '"QR codes, test, stand-in","SSDMobileNet, finetuned, 10 real","mAP@0.5 as published'
QR = (f'{QR_KEY}, mean over 2 runs",18.21875,%', f'{QR_KEY}, sd over 2 runs",3.140625,%')
COMPARE = ("dense,pasted,AP at 50,12.140625,%",)


def manifest(stage, inputs=(), **more):
    """What a finished stage leaves."""
    return {
        "key": f"{stage}-key-of-many-characters", "stage": stage, "system": "toy", "device": "cpu",
        "wall_seconds": 12.0, "cpu_seconds": 9.0, "peak_rss_bytes": 5_000_000, "peak_gpu_bytes": None,
        "warnings": [], "outputs": [], "host": HOST, "git": {"commit": "0123456789abcdef", "dirty": False},
        "config": {"width": 8},
        "environment": {"image": IMAGE if stage == "train" else None, "lock_sha256": "a" * 64,
                        "packages_sha256": "b" * 64, "prefix": "/x/.tox/blender", "python": "3.11"},
        "inputs": {name: {"key": f"{name}-key-of-many-characters", "path": f"../{name}"} for name in inputs},
        **more,
    }  # fmt: skip


def run(runs, system, rows, *, scale="smoke", seed=0, deviations=3, figures=True, config=None):
    """A finished run of two stages; returns its report folder."""
    folder = runs / system / scale / f"seed{seed}"
    (folder / "train").mkdir(parents=True)
    report = folder / "report"
    report.mkdir()
    told = {"warnings": ["odd <thing> happened"], "config": config or {"width": 8}}
    write_json(folder / "train/manifest.json", manifest("train", **told))
    write_json(report / "manifest.json", manifest("report", ["train"], **told))
    (report / "index.html").write_text("<p>own page</p>")
    (report / "results.csv").write_text(HEAD + "".join(row + "\n" for row in rows))
    keys = [{"key": f"a.b{k}", "here": 1, "published": 2} for k in range(deviations)]
    switches = [{"key": "s.t", "here": True, "published": False, "why": "it leaks"}]
    write_json(report / "summary.json", {"deviations": keys, "switches": switches})
    if figures:
        drawn = Figures(report)
        drawn.svg("loss", "Loss", lines({"a": ([0, 1], [2, 1])}, title="Loss <1>", x="step", y="loss"))
        pictures = [np.full((60, 80, 3), 40 * k, np.uint8) for k in range(5)]
        drawn.sheet("found", "Found", pictures, columns=2, caption="boxes & masks")
        drawn.write()
    return report


def audit(runs, passed=True):
    """The result of an audit."""
    case = {"group": "solid", "name": "a < b", "outcome": "exit 2", "detail": "two lines", "passed": True}
    cases = [case, {**case, "name": "c", "passed": passed, "outcome": "exit 2" if passed else "traceback"}]
    tree = {
        "schema": 1, "audit": "inputs", "command": "make audit-inputs", "machine": HOST, "seconds": 61.0,
        "counts": {"cases": 2, "failed": int(not passed)}, "passed": passed, "cases": cases,
        "skipped": [{"name": "gpu", "why": "no GPU here"}],
    }  # fmt: skip
    folder = runs / "audits/inputs"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(tree))


def all_runs(runs):
    """Runs of three papers, one with two seeds, the comparison, an audit."""
    for seed, gap in enumerate(("11.03125", "13.03125")):
        run(runs, "gafi", [GAFI[0].replace("11.03125", gap), *GAFI[1:]], seed=seed)
    run(runs, "solid", SOLID)
    run(runs, "solid", SOLID, scale="tiny")
    run(runs, "sample-synthesis", QR)
    report = run(runs, "compare", COMPARE)
    line = {
        "title": "pasted samples + 50 real", "detector": "dense", "arm": "pasted", "kind": "data", "real": 50,
        "seeds": 3, "ap": 0.1214, "ap_sd": 0.01, "ap50": 0.3, "ap50_sd": None, "gain": None, "gain_sd": None,
        "data_cpu_hours": 0.125, "data_gpu_hours": 0.0, "training_cpu_hours": 0.5, "training_gpu_hours": 0.0,
    }  # fmt: skip
    first = {**line, "title": "SOLID weights", "detector": "mask-rcnn", "kind": "init", "ap": 0.2}
    write_json(report / "summary.json", {"table": [line, first], "costs": {}})
    audit(runs)
