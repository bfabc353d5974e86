# SPDX-License-Identifier: GPL-3.0-or-later
"""Shader nodes: a texture on a wall, a ceiling that lights the room, a surface that shows its object's
number.
"""

from __future__ import annotations

import bpy

from experiments.solid.render.importing import texture_nodes

ID_SCALE = 65535.0  # a 16-bit grey file stores emission k / 65535 as the integer k
_EMISSION = "syndet emission"


def principled(material: bpy.types.Material) -> bpy.types.Node:
    """The material's Principled BSDF; made and linked to the output if there is none."""
    material.use_nodes = True
    nodes = material.node_tree.nodes
    shader = next((node for node in nodes if node.type == "BSDF_PRINCIPLED"), None)
    if shader is None:
        shader = nodes.new("ShaderNodeBsdfPrincipled")
        material.node_tree.links.new(shader.outputs["BSDF"], _surface(material))
    return shader


def texture_slot(material: bpy.types.Material) -> bpy.types.Node:
    """The image-texture node whose colour is the material's base colour: the one it has, else a new one."""
    nodes = texture_nodes(material)
    node = nodes[0] if nodes else material.node_tree.nodes.new("ShaderNodeTexImage")
    material.node_tree.links.new(node.outputs["Color"], principled(material).inputs["Base Color"])
    return node


def make_emitter(material: bpy.types.Material) -> bpy.types.Node:
    """Let the material emit its base colour to everything but the camera, which sees the surface as it was.

    Returns the emission node; its input "Strength" is to be set.
    """
    tree, surface = material.node_tree, _surface(material)
    color = principled(material).inputs["Base Color"]
    seen = surface.links[0].from_socket
    emission, mix, path = (
        tree.nodes.new(f"ShaderNode{kind}") for kind in ("Emission", "MixShader", "LightPath")
    )
    emission.name = _EMISSION
    emission.inputs["Color"].default_value = color.default_value
    if color.is_linked:
        tree.links.new(color.links[0].from_socket, emission.inputs["Color"])
    tree.links.new(path.outputs["Is Camera Ray"], mix.inputs["Fac"])
    tree.links.new(emission.outputs["Emission"], mix.inputs[1])
    tree.links.new(seen, mix.inputs[2])
    tree.links.new(mix.outputs["Shader"], surface)
    return emission


def id_material() -> bpy.types.Material:
    """A material for every object at once: it emits the object's index / ID_SCALE. Transparent surfaces
    become solid.
    """
    material = bpy.data.materials.new("syndet id")
    material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    output, emission, scale, info = (
        tree.nodes.new(f"ShaderNode{kind}") for kind in ("OutputMaterial", "Emission", "Math", "ObjectInfo")
    )
    scale.operation = "DIVIDE"
    scale.inputs[1].default_value = ID_SCALE
    tree.links.new(info.outputs["Object Index"], scale.inputs[0])
    tree.links.new(scale.outputs["Value"], emission.inputs["Strength"])
    emission.inputs["Color"].default_value = (1.0, 1.0, 1.0, 1.0)
    tree.links.new(emission.outputs["Emission"], output.inputs["Surface"])
    return material


def grey_world(name: str) -> bpy.types.World:
    """A world of one colour and strength, black until it is set by `set_world`."""
    world = bpy.data.worlds.new(name)
    world.use_nodes = True
    set_world(world, color=(0.0, 0.0, 0.0), strength=0.0)
    return world


def set_world(world: bpy.types.World, *, color: tuple[float, float, float], strength: float) -> None:
    """Set the colour and strength of a `grey_world`."""
    inputs = next(n for n in world.node_tree.nodes if n.type == "BACKGROUND").inputs
    inputs["Color"].default_value, inputs["Strength"].default_value = (*color, 1.0), strength


def _surface(material: bpy.types.Material) -> bpy.types.NodeSocket:
    nodes = material.node_tree.nodes
    output = next((n for n in nodes if n.type == "OUTPUT_MATERIAL" and n.is_active_output), None)
    return (output or nodes.new("ShaderNodeOutputMaterial")).inputs["Surface"]
