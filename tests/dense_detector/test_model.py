from dataclasses import replace

import pytest
import torch
from torch import nn

from experiments.dense_detector.anchors import anchor_shapes, grid_anchors
from experiments.dense_detector.assign import assign
from experiments.dense_detector.losses import detection_loss
from experiments.dense_detector.model import DenseDetector, flatten_head, flatten_head_published
from experiments.dense_detector.presets import PRESETS, Network

IMAGE_HW = {"master": (128, 64), "research": (160, 184)}  # research: larger than its receptive field
MEMORY_LIMIT = 0.3e9  # bytes of tensors in a training step at 128x64x1, batch 16
# Nearly every anchor of the published order looks elsewhere; one of 20 may be among the 0.03 % that do not.
MIN_ELSEWHERE = 19


def narrow(network: Network) -> Network:
    """The same layers with two to four channels: what sees what does not depend on widths."""
    blocks = tuple((4, stride) for _, stride in network.blocks)
    return replace(network, stem_channels=2, blocks=blocks, head_channels=4)


def make(name: str, num_classes: int = 1, *, seed: int = 0, thin: bool = False, **options) -> DenseDetector:
    """A seeded detector of a preset."""
    preset = PRESETS[name]
    torch.manual_seed(seed)
    network = narrow(preset.network) if thin else preset.network
    return DenseDetector(network, preset.anchors.num_shapes, num_classes, **options)


def seen_outside(model: DenseDetector, image_hw: tuple[int, int], num_anchors: int = 20) -> int:
    """Of random anchors, the number whose logit depends on a pixel outside its cell's receptive field."""
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(1, 1, *image_hw, generator=generator).requires_grad_()
    logits = model.eval()(image).logits[0, :, 0]
    (rows, columns), reach = model.feature_hw(image_hw), model.network.receptive_field // 2
    num_shapes, outside = len(logits) // (rows * columns), 0
    for index in torch.randint(len(logits), (num_anchors,), generator=generator).tolist():
        row, column = divmod(index // num_shapes, columns)
        (gradient,) = torch.autograd.grad(logits[index], image, retain_graph=True)
        assert gradient.abs().sum() > 0
        y, x = row * model.network.stride, column * model.network.stride  # the middle of the field
        gradient[0, 0, max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1] = 0
        outside += bool(gradient.abs().sum() > 0)
    return outside


# --- each logit belongs to its own anchor ---


@pytest.mark.parametrize("name", ["master", "research"])
def test_a_logit_depends_on_no_pixel_outside_the_receptive_field_of_its_cell(name):
    assert seen_outside(make(name, thin=True), IMAGE_HW[name]) == 0


@pytest.mark.parametrize("name", ["master", "research"])
def test_in_the_published_order_a_logit_looks_elsewhere(name):
    assert seen_outside(make(name, thin=True, flatten="published"), IMAGE_HW[name]) >= MIN_ELSEWHERE


@pytest.mark.parametrize("name, side", [("master", 49), ("research", 113)])
def test_the_receptive_field_is_exactly_as_large_as_the_preset_says(name, side):
    model = make(name, thin=True).eval()
    for module in model.modules():  # positive everywhere: no path can cancel or die
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 0.1)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    image = torch.ones(1, 1, *IMAGE_HW["research"], requires_grad=True)
    rows, columns = model.feature_hw(IMAGE_HW["research"])
    logits = model(image).logits.reshape(rows, columns, -1)
    (gradient,) = torch.autograd.grad(logits[rows // 2, columns // 2, 0], image)
    seen = gradient[0, 0] > 0
    assert (int(seen.any(1).sum()), int(seen.any(0).sum()), int(seen.sum())) == (side, side, side * side)
    assert PRESETS[name].network.receptive_field == side


@pytest.mark.parametrize("num_classes", [1, 3])
def test_with_constant_last_layers_each_anchor_shape_has_its_own_logit_in_every_cell(num_classes):
    model = make("cpu", num_classes).eval()
    num_shapes = PRESETS["cpu"].anchors.num_shapes
    bias = torch.arange(num_shapes * num_classes).float()
    with torch.no_grad():
        model.class_head.last.weight.zero_()
        model.class_head.last.bias.copy_(bias)
        logits = model(torch.randn(2, 1, 32, 48)).logits
    cells = 8 * 12
    assert torch.equal(logits, bias.reshape(1, num_shapes, num_classes).repeat(2, cells, 1))
    model.flatten = flatten_head_published
    with torch.no_grad():
        assert not torch.equal(model(torch.randn(2, 1, 32, 48)).logits, logits)


@pytest.mark.parametrize(
    "shape, share, displacement",
    [((12, 32, 16), 0.0003, 12.3), ((24, 10, 13), 0.0006, 5.9)],  # computed by hand for master and research
)
def test_the_published_order_gives_almost_no_anchor_its_own_logit(shape, share, displacement):
    num_shapes, rows, columns = shape
    own = torch.arange(num_shapes * rows * columns).reshape(1, *shape)  # number of each output of the head
    ours, published = flatten_head(own, 1).flatten(), flatten_head_published(own, 1).flatten()
    assert float((ours == published).double().mean()) == pytest.approx(share, abs=5e-5)
    row, column = (ours // columns) % rows, ours % columns
    read_row, read_column = (published // columns) % rows, published % columns
    cells = torch.hypot((row - read_row).double(), (column - read_column).double())
    assert float(cells.mean()) == pytest.approx(displacement, abs=0.05)


# --- the published networks ---


@pytest.mark.parametrize(
    "name, total, backbone",
    [("master", 859_564, 93_088), ("research", 1_986_324, 1_515_772), ("cpu", 174_124, 93_088)],
)
def test_parameters_are_as_many_as_in_the_published_networks(name, total, backbone):
    model = make(name, box_head=False)
    assert sum(p.numel() for p in model.parameters()) == total
    assert sum(p.numel() for p in model.backbone.parameters()) == backbone


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("image_hw", [(128, 64), (64, 128), (75, 100), (33, 47)])
def test_there_is_one_output_per_anchor_and_class_for_any_picture_size(name, image_hw):
    preset, model = PRESETS[name], make(name, 3, thin=True)
    anchors = grid_anchors(model.feature_hw(image_hw), image_hw, anchor_shapes(preset.anchors, image_hw))
    output = model(torch.randn(2, 1, *image_hw))
    assert output.logits.shape == (2, len(anchors), 3)
    assert output.deltas.shape == (2, len(anchors), 4)


def test_first_scores_are_near_the_prior_and_first_boxes_near_the_anchors():
    model = make("master", 2).eval()
    output = model(torch.randn(2, 1, 64, 128))
    prior = torch.sigmoid(torch.tensor(-2.1))
    assert (output.logits.sigmoid().mean() - prior).abs() < 0.05
    assert output.deltas.abs().mean() < 0.5  # half a unit of delta: a twentieth of the anchor


def test_without_a_box_head_there_are_no_deltas():
    assert make("cpu", box_head=False)(torch.randn(1, 1, 32, 32)).deltas is None


def test_in_evaluation_a_batch_equals_its_pictures_one_by_one():
    model = make("cpu", 2, thin=True).eval()
    images = torch.randn(3, 1, 32, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        batch = model(images)
        singles = [model(image[None]) for image in images]
    for whole, parts in zip(batch, zip(*singles, strict=True), strict=True):
        assert torch.allclose(whole, torch.cat(parts), atol=1e-5)


def test_the_same_seed_makes_the_same_weights():
    first, second, other = (make("research", 2, seed=seed, thin=True).state_dict() for seed in (5, 5, 6))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["class_head.0.weight"], other["class_head.0.weight"])


# --- memory ---


def training_step(model: DenseDetector, device: str) -> None:
    """Forward and backward of a batch of 16 at 128 x 64 with four boxes each."""
    image_hw = (64, 128)
    shapes = anchor_shapes(PRESETS["master"].anchors, image_hw)
    anchors = grid_anchors(model.feature_hw(image_hw), image_hw, shapes).to(device)
    boxes = torch.tensor([[8.0, 8, 40, 40], [50, 10, 70, 60], [30, 30, 50, 44], [90, 5, 125, 60]])
    boxes, labels = boxes.repeat(16, 1, 1).to(device), torch.zeros(16, 4, dtype=torch.int64, device=device)
    output = model(torch.randn(16, 1, *image_hw).to(device))
    targets = assign(anchors, boxes, labels, torch.ones_like(labels, dtype=torch.bool))
    detection_loss(output, targets, anchors, boxes).total.backward()


def test_a_training_step_of_master_keeps_less_than_the_promised_memory():
    model = make("master")
    kept = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        training_step(model, "cpu")
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    activations = sum(size for place, size in kept.items() if place not in parameters)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    # parameters, gradients and two moments of Adam
    assert 0.05e9 < activations + 4 * weights < MEMORY_LIMIT


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
def test_on_a_gpu_a_training_step_of_master_allocates_less_than_the_promised_memory():
    model = make("master").cuda()
    training_step(model, "cuda")  # the first one also allocates gradients and chooses algorithms
    torch.cuda.reset_peak_memory_stats()
    training_step(model, "cuda")
    assert torch.cuda.max_memory_allocated() < MEMORY_LIMIT
