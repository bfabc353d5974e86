# SPDX-License-Identifier: GPL-3.0-or-later
"""The `clean` stage: every indexed model becomes one welded, split, centred mesh as GLB, and its geometry as
NPZ.

Per model, after SOLID's preprocessing (which follows Kubric): import, apply transforms; for each object merge
duplicate vertices, drop custom normals, split edges sharper than an angle, push the surface out a hair
against z-fighting; join all objects, centre the bounding box at the origin, export. The file is imported
again and the NPZ is what Blender then sees.

A model that fails is dropped with its reason (`dropped.json`, row count `dropped`) before class ids are
given, so position in `classes.json` = class id = number in the file names. A texture file that is missing
costs the texture: the model keeps the base colour of its material and is counted under `missing_textures`.
Each finished model is a checkpoint. Many models, and all of a user's folder, are cleaned by several processes
(clean_pool.py); the result is the same bytes.

Not covered: animation, skins, shape keys and anything that is not a mesh is left out. Vertices that are not
numbers are for the stage `index` to reject: Blender's importers set them to zero.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import bpy  # isort: skip (bmesh and mathutils exist only once bpy is imported)
import bmesh  # isort: skip
import numpy as np
from mathutils import Matrix

from experiments.solid.config import SolidConfig
from experiments.solid.render.clean_pool import clean_all, num_processes
from experiments.solid.render.converter import as_published, check_converter
from experiments.solid.render.importing import (
    current_file,
    discarding,
    images_of,
    import_objects,
    mesh_triangles,
    mesh_vertices,
    reset_blender,
    texture_nodes,
    world_mesh,
)
from experiments.solid.render.quiet import run_operator
from experiments.solid.render.textures import shrink
from suite.arrays import write_arrays
from suite.errors import BadInput, Missing
from suite.manifest import read_json
from suite.stage import Context

ROUND_TRIP_TOLERANCE = 1e-5  # of the largest extent: float32 in the file, and its rounding in the axis change


@dataclass(frozen=True)
class Cleaned:
    """What is recorded of a cleaned model."""

    extent: tuple[float, float, float]
    vertices_before: int  # as imported
    vertices_after: int  # as Blender sees the GLB
    num_materials: int
    missing_textures: int


def run(ctx: Context) -> None:
    """Clean every model of the index. Raises BadInput if more than meshes.max_bad_share of them fail."""
    index_file = ctx.inputs["index"] / "index.json"
    index = json.loads(index_file.read_text(encoding="utf-8"))
    check_converter(ctx.config.meshes.converter)
    records = _all_records(ctx, [ctx.inputs["meshes"] / entry["model"] for entry in index])
    dropped = [{"id": e["id"], "model": e["model"], "reason": r["dropped"]}
               for e, r in zip(index, records, strict=True) if "dropped" in r]  # fmt: skip
    kept = [number for number, record in enumerate(records) if "dropped" not in record]
    if not kept or len(dropped) > ctx.config.meshes.max_bad_share * len(index):
        first = f"first {dropped[0]['id']}: {dropped[0]['reason']}" if dropped else "the index is empty"
        raise BadInput(f"{len(dropped)} of {len(index)} models cannot be cleaned, {first}", file=index_file,
                       fix="repair or remove them, or raise meshes.max_bad_share")  # fmt: skip
    classes = [
        _publish(ctx, class_id, number, index[number], records[number])
        for class_id, number in enumerate(kept)
    ]
    _write_json(ctx.out / "classes.json", classes)
    _write_json(ctx.out / "dropped.json", dropped)
    _report(ctx, index, records, dropped)


def _all_records(ctx: Context, sources: list[Path]) -> list[dict]:
    """The records of all models: from their checkpoints, or by cleaning them."""
    left = [(n, source) for n, source in enumerate(sources) if not checkpoint(ctx.work, n).exists()]
    processes = num_processes(len(left))
    with ctx.progress(len(sources), done=len(sources) - len(left)) as bar:
        if processes == 1 and ctx.config.meshes.source == "embedded":
            ended = _clean_here(ctx, left)
        else:  # a file from outside may make Blender crash, which must not end the stage
            work = partial(clean_to_checkpoint, ctx.work, ctx.config)
            ended = clean_all(left, work, processes, check_stop=ctx.check_stop)
        for number, death in ended:
            if death is not None:
                _write_record(checkpoint(ctx.work, number), {"dropped": death})
            record = read_json(checkpoint(ctx.work, number))
            told = {} if "cleaned" in record else record
            ctx.event("dropped" if told else "cleaned", model=number, **told)
            bar.advance()
    return [read_json(checkpoint(ctx.work, number)) for number in range(len(sources))]


def _clean_here(ctx: Context, left: list[tuple[int, Path]]) -> Iterator[tuple[int, None]]:
    """Clean in this process, one after the other."""
    for number, source in left:
        ctx.check_stop()
        clean_to_checkpoint(ctx.work, ctx.config, number, source)
        yield number, None


def checkpoint(work: Path, number: int) -> Path:
    """Where the record of a model lies: {"cleaned": {...}} or {"dropped": reason}."""
    return work / f"{number:05d}.json"


def clean_to_checkpoint(work: Path, config: SolidConfig, number: int, source: Path) -> None:
    """Clean one model into the work folder; its record is written last."""
    path = checkpoint(work, number)
    if not current_file():  # the first model of this process
        reset_blender()
    try:
        cleaned = clean_model(source, path.with_suffix(".glb"), path.with_suffix(".npz"), config)
        record = {"cleaned": vars(cleaned)}
    except (BadInput, Missing) as error:
        record = {"dropped": error.what}
    _write_record(path, record)


def _write_record(path: Path, record: dict) -> None:
    """The record appears whole or not at all."""
    temporary = path.with_suffix(".tmp")
    _write_json(temporary, record)
    os.replace(temporary, path)


def _publish(ctx: Context, class_id: int, number: int, entry: dict, record: dict) -> dict:
    """Move a model's files to their final name; the entry of classes.json."""
    files = {suffix: f"models/{class_id:05d}.{suffix}" for suffix in ("glb", "npz")}
    (ctx.out / "models").mkdir(exist_ok=True)
    for suffix, name in files.items():
        if not (ctx.out / name).exists():  # else a kill came after this move
            os.replace(ctx.work / f"{number:05d}.{suffix}", ctx.out / name)
    return {**entry, **files, **record["cleaned"]}


def _report(ctx: Context, index: list[dict], records: list[dict], dropped: list[dict]) -> None:
    ctx.count("models", len(index) - len(dropped))
    ctx.count("dropped", len(dropped))
    for row in dropped:
        ctx.warn(f"{row['model']}: dropped, {row['reason']}")
    for entry, record in zip(index, records, strict=True):
        missing = record.get("cleaned", {}).get("missing_textures", 0)
        if missing:
            ctx.count("missing_textures", missing)
            ctx.warn(
                f"{entry['model']}: {missing} textures do not load, the material's base colour stands in"
            )


def clean_model(source: Path, glb: Path, npz: Path, config: SolidConfig) -> Cleaned:
    """Clean one model file into a GLB and an NPZ (`vertices` float32 (V, 3), `faces` int32 (F, 3)).

    Raises Missing if there is no such file, BadInput if it cannot be read, has no faces or no size. Blender's
    data is as before afterwards.
    """
    with discarding(), as_published(source, config.meshes.converter) as file:
        objects = import_objects(file)
        vertices_before = sum(len(o.data.vertices) for o in objects)
        joined = _join([_prepared(o, config) for o in objects])
        low, high = _bounds(joined.data, source)
        joined.data.transform(Matrix.Translation(-(low + high) / 2))
        missing = _drop_missing_textures(joined.data)
        shrink(images_of(joined.data.materials), config.render.texture_limit)
        _export(joined, glb)
        num_materials = len(joined.data.materials)
    with discarding():
        vertices, faces = _read_back(glb, high - low)
    write_arrays(npz, vertices=vertices, faces=faces)
    extent = tuple(np.ptp(vertices.astype(np.float64), axis=0).tolist())
    return Cleaned(extent, vertices_before, len(vertices), num_materials, missing)


def _prepared(source: bpy.types.Object, config: SolidConfig) -> bpy.types.Object:
    """A new object with the source's mesh in world axes, welded, edge-split and displaced."""
    mesh = world_mesh(source)
    if "custom_normal" in mesh.attributes:  # 2.93 ignored them with auto-smooth off
        mesh.attributes.remove(mesh.attributes["custom_normal"])
    _weld(mesh, config.meshes.merge_distance)
    obj = bpy.data.objects.new("model", mesh)
    bpy.context.scene.collection.objects.link(obj)
    split = obj.modifiers.new("split", "EDGE_SPLIT")
    split.split_angle = np.radians(config.meshes.edge_split_angle)
    # Without a texture the modifier moves by half its strength (mid level 0.5), as in the published
    # procedure.
    obj.modifiers.new("displace", "DISPLACE").strength = config.meshes.displace
    graph = bpy.context.evaluated_depsgraph_get()
    evaluated = bpy.data.meshes.new_from_object(
        obj.evaluated_get(graph), preserve_all_data_layers=True, depsgraph=graph
    )
    obj.modifiers.clear()
    obj.data = evaluated
    return obj


def _weld(mesh: bpy.types.Mesh, distance: float) -> None:
    """Merge all vertices closer than `distance`; drop vertices and edges that belong to no face."""
    work = bmesh.new()
    try:
        work.from_mesh(mesh)
        bmesh.ops.remove_doubles(work, verts=work.verts, dist=distance)
        bmesh.ops.delete(work, geom=[e for e in work.edges if not e.link_faces], context="EDGES")
        bmesh.ops.delete(work, geom=[v for v in work.verts if not v.link_faces], context="VERTS")
        work.to_mesh(mesh)
    finally:
        work.free()


def _join(objects: list[bpy.types.Object]) -> bpy.types.Object:
    """All objects in one. The first keeps its name; the others are gone."""
    if len(objects) > 1:
        with bpy.context.temp_override(active_object=objects[0], object=objects[0], selected_objects=objects,
                                       selected_editable_objects=objects):  # fmt: skip
            reason = run_operator(bpy.ops.object.join)
        if reason:
            raise BadInput(f"its objects cannot be joined ({reason})")
    return objects[0]


def _bounds(mesh: bpy.types.Mesh, file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest corner (3,) float64 of a mesh. Raises BadInput for one without faces or size."""
    if not len(mesh.polygons):
        raise BadInput("no face is left after welding", file=file, fix="repair or remove the file")
    vertices = mesh_vertices(mesh).astype(np.float64)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    if not (high - low).max() > 2 * ROUND_TRIP_TOLERANCE * np.abs(vertices).max():
        raise BadInput(
            f"it has no size: extent {(high - low).tolist()}", file=file, fix="repair or remove the file"
        )
    return low, high


def _drop_missing_textures(mesh: bpy.types.Mesh) -> int:
    """Remove image nodes whose picture does not load; how many pictures that were."""
    missing = set()
    for material in dict.fromkeys(m for m in mesh.materials if m is not None):
        for node in texture_nodes(material):
            if node.image is None or 0 in tuple(node.image.size):
                missing.add(node.image)
                material.node_tree.nodes.remove(node)
    return len(missing)


def _export(obj: bpy.types.Object, glb: Path) -> None:
    for other in bpy.context.view_layer.objects:
        other.select_set(other == obj)
    obj.name = obj.data.name = "model"
    reason = run_operator(
        bpy.ops.export_scene.gltf, filepath=str(glb), export_format="GLB", use_selection=True,
        export_animations=False, export_skins=False, export_morph=False, export_extras=False, export_yup=True,
    )  # fmt: skip
    if reason or not glb.is_file():
        raise BadInput(f"Blender cannot export it ({reason})", file=glb, fix="repair or remove the model")


def _read_back(glb: Path, extent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces as Blender sees the exported file; asserts that it is one centred mesh of that
    extent.
    """
    objects = import_objects(glb)
    if len(objects) != 1 or not np.allclose(np.array(objects[0].matrix_world), np.eye(4)):
        raise BadInput(
            f"the exported file holds {len(objects)} objects or a transform",
            file=glb,
            fix="report this model",
        )
    vertices, faces = mesh_vertices(objects[0].data), mesh_triangles(objects[0].data)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    off = max(np.abs(low + high).max(), np.abs((high - low) - extent).max())
    if off > ROUND_TRIP_TOLERANCE * extent.max():
        raise BadInput(f"the exported file is off by {off:g}", file=glb, fix="report this model")
    return vertices, faces


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
