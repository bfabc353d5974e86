"""Pre-training as a detectron2 LazyConfig: model, optimizer, lr_multiplier, dataloader, train.

`pretrain.overrides` are detectron2's own `key=value` words on this tree, e.g.

    -o 'pretrain.overrides=[model.proposal_generator.nms_thresh=0.8, optimizer.nesterov=true]'

The resolved tree is saved as `lazy_config.yaml` beside the checkpoint; a detectron2 user goes on from there:

    cfg = LazyConfig.load("lazy_config.yaml")
    model = instantiate(cfg.model)
    DetectionCheckpointer(model).load("model.pth")

`dataloader` and `train` only state what the run does; they are set by the config (`-o pretrain.batch_size=`).
"""

from __future__ import annotations

import copy
import difflib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import suite.compat.detectron2  # noqa: F401

# isort: split
import torch
import yaml
from detectron2.config import LazyCall, LazyConfig, instantiate
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.solver import WarmupParamScheduler
from detectron2.solver.build import get_default_optimizer_params
from detectron2.utils.registry import locate
from fvcore.common.param_scheduler import CosineParamScheduler
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch import nn

from experiments.solid.config import SolidConfig
from experiments.solid.learn.detector import BOX_WEIGHTS, lazy_mask_rcnn
from experiments.solid.learn.pretrain.heads import EmbeddingPredictor
from experiments.solid.learn.pretrain.model import InstanceDetector
from suite.errors import BadInput
from suite.seeds import item_rng

OPEN = ("model", "optimizer", "lr_multiplier")  # what overrides may change
FACTS = (
    "batch_size", "num_queries", "query_size", "held_out", "held_out_models", "sampler", "cache_size",
    "short_edges", "max_edge", "flip", "min_box", "shuffled_queries",
)  # fmt: skip


@dataclass(frozen=True)
class Training:
    """What a tree describes, made."""

    model: InstanceDetector
    optimizer: torch.optim.Optimizer
    lr_factor: Callable[[int], float]  # iteration from 0 -> factor on the learning rate


def lazy_pretrain(config: SolidConfig, *, num_classes: int, seed: int, device: str) -> DictConfig:
    """The tree of a run over a store of `num_classes` classes, with its overrides applied."""
    settings = config.pretrain
    tree = OmegaConf.create(
        {
            "model": lazy_model(config, num_classes=num_classes, seed=seed),
            "optimizer": LazyCall(torch.optim.SGD)(
                params=LazyCall(get_default_optimizer_params)(weight_decay_norm=settings.weight_decay_norm),
                lr=settings.lr,
                momentum=settings.momentum,
                weight_decay=settings.weight_decay,
            ),
            "lr_multiplier": LazyCall(WarmupParamScheduler)(
                scheduler=LazyCall(CosineParamScheduler)(start_value=1.0, end_value=settings.final_lr_factor),
                warmup_length=settings.warmup / settings.schedule,
                warmup_factor=settings.warmup_factor,
                warmup_method="linear",
            ),
            "dataloader": {"train": {name: _plain(getattr(settings, name)) for name in FACTS}},
            "train": {
                "output_dir": ".",
                "init_checkpoint": "",
                "max_iter": settings.schedule,
                "stop_iter": settings.iterations,
                "amp": {"enabled": settings.precision != "float32", "dtype": settings.precision},
                "ddp": {"broadcast_buffers": False, "find_unused_parameters": False},
                "checkpointer": {"period": settings.checkpoint_every},
                "log_period": settings.log_every,
                "device": device,
                "seed": seed,
            },
        },
        flags={"allow_objects": True},
    )
    apply_overrides(tree, settings.overrides)
    chosen = tree.model.roi_heads.num_classes
    if chosen != num_classes:
        raise BadInput(
            f"`pretrain.overrides` set {chosen} classes, the store has {num_classes}", fix="leave them out"
        )
    return tree


def lazy_model(config: SolidConfig, *, num_classes: int, seed: int) -> DictConfig:
    """The query network with its bank; the key network is made from it."""
    settings, detector = config.pretrain, config.detector
    node = lazy_mask_rcnn(
        detector,
        norm=settings.norm,
        num_classes=num_classes,
        class_agnostic=True,
        pixel_mean=settings.pixel_mean,
        pixel_std=settings.pixel_std,
    )
    node.roi_heads.box_predictor = LazyCall(EmbeddingPredictor)(
        input_shape=LazyCall(ShapeSpec)(channels=detector.fc_dim),
        box2box_transform=LazyCall(Box2BoxTransform)(weights=BOX_WEIGHTS),
        num_classes="${..num_classes}",
        embed_dims=list(settings.embed_dims),
        temperature=settings.temperature,
        test_score_thresh=detector.test_score,
        test_nms_thresh=detector.test_nms,
        test_topk_per_image=detector.test_detections,
    )
    node._target_ = InstanceDetector
    node.momentum = settings.ema
    node.query_size = settings.query_size
    node.bank_seed = int(item_rng(seed, "solid.pretrain.bank", 0).integers(0, 2**31))
    return node


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def apply_overrides(tree: DictConfig, overrides: Sequence[str]) -> None:
    """Change `tree` in place by detectron2's `key=value` words; BadInput with near matches for unknown keys.

    A key is known when it stands in the tree or is an argument of the class that its node makes.
    """
    for text in overrides:
        try:
            key = OverridesParser.create().parse_overrides([text])[0].key_or_group
        except OverrideParseException as error:
            first = str(error).split("\n", 1)[0]
            raise BadInput(
                f"`pretrain.overrides`: {text!r} is not of detectron2's form ({first})",
                fix="write e.g. model.proposal_generator.nms_thresh=0.8",
            ) from None
        check_key(tree, key)
        try:
            LazyConfig.apply_overrides(tree, [text])
        except (KeyError, NotImplementedError) as error:
            raise BadInput(f"`pretrain.overrides`: {text!r}: {error.args[0]}") from None


def check_key(tree: DictConfig, key: str) -> None:
    """BadInput unless the dotted `key` names something in an open part of the tree."""
    parts = key.split(".")
    if parts[0] in tree and parts[0] not in OPEN:
        raise BadInput(
            f"`pretrain.overrides`: `{key}` is set by the config", fix=f"use -o pretrain.{parts[-1]}="
        )
    node = tree
    for depth, part in enumerate(parts):
        known = known_keys(node) if depth else list(OPEN)
        if part not in known:
            near = difflib.get_close_matches(part, known, n=3, cutoff=0.5)
            where = ".".join(parts[:depth])
            choice = f"did you mean {' or '.join(near)}?" if near else f"known there: {', '.join(known)}"
            raise BadInput(f"`pretrain.overrides`: `{key}`: no `{part}` in `{where}`", fix=choice)
        if depth + 1 < len(parts):
            node = OmegaConf.select(node, part)


def known_keys(node: object) -> list[str]:
    """What may be set below a node: its keys, its target's arguments, or the places of a list."""
    if isinstance(node, ListConfig):
        return [str(index) for index in range(len(node))]
    if not isinstance(node, DictConfig):
        return []
    known = [key for key in node if key != "_target_"]
    if "_target_" in node:
        target = locate(node._target_) if isinstance(node._target_, str) else node._target_
        arguments = inspect.signature(target).parameters.values()
        known += [a.name for a in arguments if a.kind in (a.KEYWORD_ONLY, a.POSITIONAL_OR_KEYWORD)]
    return list(dict.fromkeys(known))


def make(tree: DictConfig, device: torch.device) -> Training:
    """Instantiate the tree; the initial parameters come from torch's global generator."""
    model = instantiate(tree.model).to(device)
    return Training(model, make_optimizer(tree, model), lr_factor(tree))


def make_optimizer(tree: DictConfig, model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser over the query network; the key network has no gradient and is left out."""
    node = copy.deepcopy(tree.optimizer)
    node.params.model = model
    return instantiate(node)


def lr_factor(tree: DictConfig) -> Callable[[int], float]:
    """Factor on the learning rate at iteration i: detectron2's multiplier over `train.max_iter`."""
    node = tree.lr_multiplier
    if "warmup_length" in node and node.warmup_length <= 0:
        node = node.scheduler  # detectron2 cannot scale a part of no length
    multiplier, total = instantiate(node), tree.train.max_iter
    return lambda step: float(multiplier(step / total))


def save_tree(tree: DictConfig, path: Path) -> None:
    """Write the YAML that `LazyConfig.load` reads; plain values only, or an exception."""
    LazyConfig.save(tree, str(path))
    yaml.safe_load(path.read_text(encoding="utf-8"))
