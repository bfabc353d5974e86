import math

import numpy as np
import pytest
import torch

import suite.compat.detectron2  # noqa: F401

# isort: split
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from torch.nn.functional import normalize

from experiments.solid.learn.pretrain.heads import EmbeddingPredictor, bank_logits, foreground_loss

K, FC, TEMPERATURE = 9, 12, 0.2
WEIGHTS = (10.0, 10.0, 5.0, 5.0)


def predictor(*embed_dims):
    torch.manual_seed(0)
    made = EmbeddingPredictor(
        ShapeSpec(channels=FC),
        box2box_transform=Box2BoxTransform(weights=WEIGHTS),
        num_classes=K,
        embed_dims=embed_dims,
        temperature=TEMPERATURE,
        test_score_thresh=0.05,
        test_nms_thresh=0.5,
        test_topk_per_image=10,
    )
    made.bank = normalize(torch.randn(K, embed_dims[-1]), dim=1)
    return made


def proposals(classes):
    boxes = torch.tensor([[4.0 * i, 2.0, 4.0 * i + 8, 12.0] for i in range(len(classes))])
    return Instances(
        (60, 80),
        proposal_boxes=Boxes(boxes),
        gt_boxes=Boxes(boxes + torch.tensor([1.0, 2.0, 3.0, 2.0])),
        gt_classes=torch.tensor(classes),
        objectness_logits=torch.linspace(-2, 2, len(classes)),
    )


def test_the_loss_is_the_softmax_over_the_whole_bank_for_foreground_alone():
    rng = np.random.default_rng(0)
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in rng.normal(size=(2, 9, 5))]
    classes = np.array([3, K, 0, K, 8, 3, 3, K, 1])
    losses = []
    for embedding, wanted in zip(unit[0], classes, strict=True):
        if wanted < K:
            scores = np.exp(unit[1] @ embedding / TEMPERATURE)
            losses.append(-np.log(scores[wanted] / scores.sum()))
    embeddings, bank = (torch.tensor(rows, dtype=torch.float32) for rows in unit)
    loss, hits = foreground_loss(embeddings, torch.tensor(classes), bank, TEMPERATURE)
    assert loss.item() == pytest.approx(np.mean(losses), abs=1e-5)
    nearest = (unit[0] @ unit[1].T).argmax(1)
    assert hits.tolist() == [n == c for n, c in zip(nearest, classes, strict=True) if c < K]


def test_background_regions_get_no_gradient_from_the_classifier():
    embeddings = normalize(torch.randn(4, 5), dim=1).requires_grad_()
    bank = normalize(torch.randn(K, 5), dim=1)
    foreground_loss(embeddings, torch.tensor([K, 2, K, 4]), bank, TEMPERATURE)[0].backward()
    assert (embeddings.grad[[0, 2]] == 0).all() and (embeddings.grad[[1, 3]] != 0).any(dim=1).all()


def test_without_foreground_the_loss_is_zero_and_the_gradient_connected():
    head = predictor(5)
    features = torch.randn(3, FC)
    with EventStorage():
        losses = head.losses(head(features), [proposals([K, K, K])])
    assert losses["loss_cls"].item() == losses["loss_box_reg"].item() == 0
    sum(losses.values()).backward()
    assert all(p.grad is not None and (p.grad == 0).all() for p in head.parameters())


def test_equal_rows_give_exactly_the_uniform_loss():
    bank = normalize(torch.ones(K, 5), dim=1)
    loss, _ = foreground_loss(bank[:4], torch.tensor([0, 3, 5, 8]), bank, TEMPERATURE)
    assert loss.item() == pytest.approx(math.log(K), abs=1e-6)


def test_box_loss_is_l1_on_foreground_over_all_sampled_regions():
    head = predictor(5)
    regions = proposals([2, K, 7, K, K])
    embeddings, deltas = head(torch.randn(5, FC))
    assert deltas.shape == (5, 4)
    with EventStorage():
        loss = head.losses((embeddings, deltas), [regions])["loss_box_reg"]
    expected = 0.0
    for i in (0, 2):
        x1, y1, x2, y2 = regions.proposal_boxes.tensor[i].tolist()
        gx1, gy1, gx2, gy2 = regions.gt_boxes.tensor[i].tolist()
        w, h, gw, gh = x2 - x1, y2 - y1, gx2 - gx1, gy2 - gy1
        shifts = ((gx1 + gw / 2 - x1 - w / 2) / w, (gy1 + gh / 2 - y1 - h / 2) / h)
        wanted = [*shifts, math.log(gw / w), math.log(gh / h)]
        scaled = [weight * value for weight, value in zip(WEIGHTS, wanted, strict=True)]
        expected += sum(abs(a - b) for a, b in zip(deltas[i].tolist(), scaled, strict=True))
    assert loss.item() == pytest.approx(expected / 5, abs=1e-4)


def test_the_first_embedding_layer_lies_where_detectron2_looks_for_class_scores():
    assert predictor(256).state_dict()["cls_score.weight"].shape == (256, FC)
    deep = predictor(32, 16, 8)
    shapes = {name: tuple(value.shape) for name, value in deep.state_dict().items() if "weight" in name}
    assert shapes == {
        "cls_score.weight": (32, FC),
        "bbox_pred.weight": (4, FC),
        "embed.1.weight": (16, 32),
        "embed.3.weight": (8, 16),
    }
    embeddings, _ = deep(torch.randn(3, FC))
    assert embeddings.shape == (3, 8)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(3))


def test_embeddings_stay_float32_under_autocast():
    head = predictor(8)
    features = torch.randn(3, FC)
    with torch.autocast("cpu", torch.bfloat16):
        embeddings, _ = head(features)
    assert embeddings.dtype == torch.float32
    assert torch.equal(embeddings, head.embeddings(features))


def test_a_detection_scores_its_class_probability_times_objectness():
    head = predictor(8)
    regions = proposals([0, 1, 2])
    predictions = head(torch.randn(3, FC))
    (scores,) = head.predict_probs(predictions, [regions])
    classes = bank_logits(predictions[0], head.bank, TEMPERATURE).softmax(dim=1)
    torch.testing.assert_close(scores[:, :K], classes * regions.objectness_logits.sigmoid()[:, None])
    assert (scores[:, K] == 0).all()
