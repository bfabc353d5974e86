import copy
import math

import numpy as np
import pytest
import torch

import suite.compat.detectron2  # noqa: F401

# isort: split
from detectron2.utils.events import EventStorage

from experiments.solid.learn.pretrain.bank import NEVER_WRITTEN
from experiments.solid.learn.pretrain.lazy import lazy_pretrain, make
from tests.solid.learn.pretrain.batches import queries, targets

MOMENTUM = 0.99  # tiny.yaml takes smoke's


def losses_of(model, batch):
    with EventStorage():
        return model(batch)


def one_step(training, batch, ids):
    """Refresh, losses, backward, update."""
    training.model.refresh(batch[1], torch.tensor(ids))
    losses = losses_of(training.model, batch[0])
    training.optimizer.zero_grad()
    sum(losses.values()).backward()
    training.optimizer.step()
    return losses


def of_key_network(name):
    return name.startswith(("backbone_k.", "roi_heads_k."))


def test_initial_losses_are_those_of_a_detector_that_knows_nothing(with_pretrain):
    config = with_pretrain(embed_dims=(256,))
    tree = lazy_pretrain(config, num_classes=64, seed=0, device="cpu")
    torch.manual_seed(0)
    model = make(tree, torch.device("cpu")).model.train()
    losses = losses_of(model, targets(4, classes=tuple(range(12))))
    assert losses["loss_cls"].item() == pytest.approx(math.log(64), abs=0.2)
    assert losses["loss_rpn_cls"].item() == pytest.approx(math.log(2), abs=0.05)
    assert losses["loss_mask"].item() == pytest.approx(math.log(2), abs=0.05)


def test_a_step_is_what_numpy_computes(training, batch):
    """Moving average with the statistics of batch norm, bank update and foreground loss."""
    model, ids = training.model, [3, 1, 3, 0]
    one_step(training, batch, ids)  # so that the two networks differ
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    model.refresh(batch[1], torch.tensor(ids))
    after = {name: value.numpy() for name, value in model.state_dict().items()}
    for name in filter(of_key_network, before):
        query = before[name.replace("backbone_k", "backbone").replace("roi_heads_k", "roi_heads")]
        is_float = np.issubdtype(query.dtype, np.floating)
        expected = MOMENTUM * before[name] + (1 - MOMENTUM) * query if is_float else query
        np.testing.assert_allclose(after[name], expected, atol=1e-6, err_msg=name)
    embeddings = model.embed_queries(batch[1]).numpy()
    bank = before["queue"].copy()
    for row, embedding in zip(reversed(ids), embeddings[::-1], strict=True):
        bank[row] = embedding / np.linalg.norm(embedding)  # backwards: the first occurrence is written last
    np.testing.assert_allclose(after["queue"], bank, atol=1e-6)

    predictor, seen = model.roi_heads.box_predictor, {}
    kept = predictor.losses

    def spy(predictions, proposals):
        seen["embeddings"] = predictions[0].detach().numpy()
        seen["classes"] = torch.cat([p.gt_classes for p in proposals]).numpy()
        return kept(predictions, proposals)

    predictor.losses = spy
    loss = losses_of(model, batch[0])["loss_cls"].item()
    foreground = seen["classes"] < len(bank)
    logits = seen["embeddings"][foreground] @ bank.T / 0.2
    picked = logits[np.arange(len(logits)), seen["classes"][foreground]]
    assert foreground.any() and not foreground.all()
    assert loss == pytest.approx(np.mean(np.log(np.exp(logits).sum(1)) - picked), abs=1e-4)


def test_no_gradient_reaches_key_network_or_bank_and_every_query_parameter_gets_one(training, batch):
    model = training.model
    model.refresh(batch[1], torch.arange(4))
    before = {n: v.clone() for n, v in model.state_dict().items() if of_key_network(n) or "queue" in n}
    sum(losses_of(model, batch[0]).values()).backward()
    training.optimizer.step()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) is of_key_network(name), name
        assert parameter.requires_grad is not of_key_network(name), name
    assert not model.queue.requires_grad
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    in_optimizer = {id(p) for group in training.optimizer.param_groups for p in group["params"]}
    expected = {id(p) for name, p in model.named_parameters() if not of_key_network(name)}
    assert in_optimizer == expected


def test_after_a_step_the_key_network_is_exactly_the_moving_average(training, batch):
    model = training.model
    one_step(training, batch, [0, 1, 2, 3])
    pairs = model.pairs()
    keys, queries_ = [k.double() for k in pairs.keys], [q.double() for q in pairs.queries]
    model.refresh(batch[1], torch.arange(4))
    distance = sum(
        (now.double() - (MOMENTUM * key + (1 - MOMENTUM) * query)).abs().max().item()
        for now, key, query in zip(model.pairs().keys, keys, queries_, strict=True)
    )
    scale = sum(query.abs().max().item() for query in queries_)
    assert distance < 1e-6 * scale  # float32 rounding


def test_the_key_network_is_always_in_evaluation_mode(model, batch):
    for mode in (True, False, True):
        model.train(mode)
        assert model.backbone.training is model.roi_heads.training is mode
        key_parts = [*model.backbone_k.modules(), *model.roi_heads_k.modules()]
        assert not any(module.training for module in key_parts)
    before = [value.clone() for value in model.backbone_k.buffers()]
    model.embed_queries(batch[1])
    assert all(torch.equal(a, b) for a, b in zip(before, model.backbone_k.buffers(), strict=True))


def test_the_networks_start_equal_and_the_first_average_changes_nothing(model, batch):
    before = {name: value.clone() for name, value in model.state_dict().items() if of_key_network(name)}
    model.refresh(batch[1], torch.arange(4))
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    assert model.queue_ids.tolist() == [0, 1, 2, 3, NEVER_WRITTEN, NEVER_WRITTEN]


def test_moving_the_model_keeps_the_average_going(training, batch):
    model = training.model
    one_step(training, batch, [0, 1, 2, 3])
    model.double().float()  # new tensors behind the same names
    key, query = (getattr(model, n).bottom_up.stem.conv1.norm for n in ("backbone_k", "backbone"))
    expected = torch.lerp(key.running_mean, query.running_mean, 1 - MOMENTUM)
    model.refresh(batch[1], torch.arange(4))
    now = model.backbone_k.bottom_up.stem.conv1.norm.running_mean
    torch.testing.assert_close(now, expected, rtol=1e-6, atol=1e-8)


def test_the_embedding_of_a_query_does_not_depend_on_the_other_queries(model):
    pictures = queries(5)
    together = model.embed_queries(pictures)
    alone = torch.cat([model.embed_queries([picture]) for picture in pictures])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(model.embed_queries(pictures[::-1]), together.flip(0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(5))
    assert model.embed_queries([]).shape == (0, 16)


def test_a_query_that_fills_a_scene_is_embedded_as_its_ground_truth_box(model):
    """With equal weights in evaluation mode both networks are the same function of the same box."""
    model.eval()
    picture = torch.randint(
        0, 256, (3, 32, 32), generator=torch.Generator().manual_seed(2), dtype=torch.uint8
    )
    scene = targets(1, classes=(4,))[0]
    scene["image"] = picture
    scene["instances"] = scene["instances"].__class__((32, 32), **scene["instances"].get_fields())
    scene["instances"].gt_boxes.tensor = torch.tensor([[0.0, 0.0, 32.0, 32.0]])
    embeddings, classes = model.embed_ground_truth([scene])
    assert classes.tolist() == [4]
    torch.testing.assert_close(embeddings, model.embed_queries([picture]), rtol=1e-5, atol=1e-6)


def test_a_batch_without_objects_trains_the_rpn_alone(training, batch):
    empty = copy.deepcopy(batch[0])
    for item in empty:
        item["instances"] = item["instances"][torch.zeros(3, dtype=torch.bool)]
    losses = one_step(training, (empty, batch[1]), [0, 1, 2, 3])
    assert losses["loss_cls"] == losses["loss_box_reg"] == losses["loss_mask"] == 0
    assert losses["loss_rpn_cls"] > 0
    assert all(torch.isfinite(p).all() for p in training.model.parameters())


def test_instance_detection_works_in_evaluation_mode(training, batch):
    for _ in range(3):
        one_step(training, batch, [0, 1, 2, 3])
    model = training.model.eval()
    model.roi_heads.box_predictor.test_score_thresh = 0.0
    with torch.no_grad():
        for output in (model(batch[0]), model.inference(batch[0])):
            found = output[0]["instances"]
            assert len(found) == model.roi_heads.box_predictor.test_topk_per_image
            assert ((found.pred_classes >= 0) & (found.pred_classes < 6)).all()
            assert ((found.scores > 0) & (found.scores <= 1)).all()
            assert found.pred_masks.shape == (len(found), 48, 64)


def test_the_step_overfits_one_batch_and_the_keys_part(training, batch):
    first = one_step(training, batch, [0, 1, 2, 3])["loss_cls"].item()
    start = training.model.queue[:4].clone()
    losses = [one_step(training, batch, [0, 1, 2, 3])["loss_cls"].item() for _ in range(25)]
    assert sum(losses[-5:]) / 5 < 0.6 * first
    # embeddings that collapse to one direction would all be alike
    likeness = [(rows @ rows.T).sum().item() for rows in (start, training.model.queue[:4])]
    assert likeness[1] < likeness[0]
