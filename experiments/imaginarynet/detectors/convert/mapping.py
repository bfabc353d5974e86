"""From names of theirs to names of ours: rules, what they leave, and the result of an import."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from experiments.imaginarynet.detectors.convert.checkpoint import Checkpoint
from suite.errors import BadInput

Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Rule:
    """Tensors whose whole name matches `pattern` are called `name` (re.Match.expand), changed by `change`."""

    pattern: str
    name: str
    change: Change | None = None


@dataclass(frozen=True)
class Drop:
    """Tensors that have no place with us, and why."""

    pattern: str
    why: str


@dataclass(frozen=True, eq=False)
class Imported:
    """What a checkpoint became."""

    form: str  # for people: "pcl.pytorch OICR"
    kind: str | None  # of api.KINDS; None: the weights of a backbone
    state: Mapping[str, Tensor]
    skipped: tuple[str, ...]  # one line for each tensor without a place
    class_names: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)  # that rebuild the network
    notes: tuple[str, ...] = ()  # in what it will not behave as the released code does


def rename(
    tensors: Mapping[str, Tensor], rules: Sequence[Rule], drops: Sequence[Drop] = ()
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """(tensors by our names, a line for each that no rule takes), in the order of theirs."""
    state: dict[str, Tensor] = {}
    skipped = []
    for theirs, tensor in tensors.items():
        rule, match = _first(rules, theirs)
        if rule is None:
            drop, _ = _first(drops, theirs)
            why = drop.why if drop else "no such tensor in our network"
            skipped.append(f"{theirs} {tuple(tensor.shape)}: {why}")
        else:
            state[match.expand(rule.name)] = tensor if rule.change is None else rule.change(tensor)
    return state, tuple(skipped)


def _first(rules: Iterable[Any], name: str) -> tuple[Any, Any]:
    for rule in rules:
        match = re.fullmatch(rule.pattern, name)
        if match:
            return rule, match
    return None, None


def check_state(given: Checkpoint, state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Raises BadInput, naming the first, where a tensor of our network is missing or of another shape."""
    fix = "give a checkpoint of the network that the README names"
    for name, tensor in own.items():
        if name not in state:
            raise BadInput(f"has nothing for {name} {tuple(tensor.shape)}", file=given.file, fix=fix)
        if state[name].shape != tensor.shape:
            what = f"has {tuple(state[name].shape)} for {name}, which is {tuple(tensor.shape)}"
            raise BadInput(what, file=given.file, fix=fix)


def check_classes(given: Checkpoint, num_classes: int, class_names: Sequence[str]) -> None:
    """Raises BadInput where the checkpoint is of another number of classes than the list."""
    if num_classes != len(class_names):
        what = f"is a detector of {num_classes} classes, and the class list has {len(class_names)}"
        fix = "name its own with --classes: voc, coco, or a file with one name a line, in its order"
        raise BadInput(what, file=given.file, fix=fix)


def tensor_of(given: Checkpoint, name: str) -> Tensor:
    """One tensor. Raises BadInput where there is none of that name."""
    if name not in given.tensors:
        fix = "give a checkpoint of the network that the README names"
        raise BadInput(f"has no {name}", file=given.file, fix=fix)
    return given.tensors[name]
