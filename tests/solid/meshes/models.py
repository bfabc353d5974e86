"""Small model files, good and bad, and the index stage run over a folder of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.solid.config import SolidConfig
from experiments.solid.meshes import fetch, index
from experiments.solid.stages import STAGES
from suite.config import load_config
from suite.stage import Context

CONFIGS = Path(__file__).resolve().parents[3] / "experiments" / "solid" / "configs"


def config(*overrides: str) -> SolidConfig:
    return load_config(SolidConfig, CONFIGS / "tiny.yaml", overrides)


def context(verb: str, out: Path, *overrides: str, **inputs: Path) -> Context:
    out.mkdir(parents=True, exist_ok=True)
    return Context(
        stage=STAGES[verb],
        config=config(*overrides),
        seed=0,
        device="cpu",
        inputs=inputs,
        out=out,
        final=out,
        key="test",
    )


def tetrahedron(scale: float = 1.0, stretch: float = 1.0) -> np.ndarray:
    """Vertices (4, 3); another `stretch` is another shape, another `scale` is not."""
    return scale * np.array([[0, 0, 0], [stretch, 0, 0], [0, 2, 0], [0, 0, 3]], dtype=float)


TETRAHEDRON_FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])


def obj_text(vertices: np.ndarray, faces: np.ndarray = TETRAHEDRON_FACES, head: str = "") -> str:
    lines = [head] if head else []
    lines += ["v " + " ".join(f"{x:.9g}" for x in row) for row in vertices]
    lines += ["f " + " ".join(str(i + 1) for i in row) for row in faces]
    return "\n".join(lines) + "\n"


def write_obj(path: Path, text: str | None = None, *, stretch: float = 1.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if text is not None else obj_text(tetrahedron(stretch=stretch)))
    return path


def write_textured_obj(path: Path, *, stretch: float, texture: str | None = "skin.png") -> Path:
    """An OBJ with an MTL that names skin.png; `texture` is the picture that is really written."""
    head = "mtllib model.mtl\nvt 0 0\nusemtl skin"
    write_obj(path, obj_text(tetrahedron(stretch=stretch), head=head))
    (path.parent / "model.mtl").write_text("newmtl skin\nKd 1 1 1\nmap_Kd skin.png\n")
    if texture:
        Image.new("RGB", (2, 2), "red").save(path.parent / texture)
    return path


def run_index(folder: Path, out: Path, *overrides: str) -> tuple[list[dict], list[dict], Context]:
    """Collect `folder` and index it; (index.json, rejected.json, the index stage's context)."""
    settings = ("meshes.source=folder", f"meshes.folder={folder}", "meshes.max_bad_share=1", *overrides)
    collect = context("fetch-meshes", out / "meshes", *settings)
    fetch.run(collect)
    ctx = context("index", out / "index", *settings, meshes=out / "meshes")
    index.run(ctx)
    return *(json.loads((ctx.out / name).read_text()) for name in ("index.json", "rejected.json")), ctx
