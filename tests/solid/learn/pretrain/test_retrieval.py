import pytest
import torch
from torch.nn.functional import normalize

from experiments.solid.learn.data.pretrain import read_query_pictures
from experiments.solid.learn.pretrain.lazy import lazy_pretrain, make
from experiments.solid.learn.pretrain.retrieval import class_average, fresh_bank, hits, measure
from experiments.solid.store.reader import SolidStore


def unit(*shape, seed=0):
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=1)


@pytest.fixture
def detector(tiny_config):
    torch.manual_seed(0)
    tree = lazy_pretrain(tiny_config, num_classes=6, seed=0, device="cpu")
    return make(tree, torch.device("cpu")).model.train()


def test_embeddings_that_are_rows_of_the_bank_are_always_found():
    bank = unit(20, 8)
    classes = torch.tensor([3, 3, 19, 0])
    assert hits(bank[classes], classes, bank, 1).all()
    assert not hits(bank[classes], (classes + 1) % 20, bank, 1).any()


def test_top_k_counts_the_k_nearest():
    bank = torch.eye(4)
    embedding = torch.tensor([[0.9, 0.8, 0.7, 0.6]])
    for wanted in range(4):
        found = [bool(hits(embedding, torch.tensor([wanted]), bank, k)) for k in range(1, 5)]
        assert found == [k > wanted for k in range(4 + 1)][1:]


def test_random_embeddings_are_at_chance():
    bank, embeddings = unit(50, 16), unit(20000, 16, seed=1)
    classes = torch.randint(0, 50, (20000,), generator=torch.Generator().manual_seed(2))
    for k in (1, 5):
        share = hits(embeddings, classes, bank, k).double().mean().item()
        chance = k / 50
        assert share == pytest.approx(chance, abs=5 * (chance * (1 - chance) / 20000) ** 0.5)


def test_one_answer_to_every_question_gets_one_class_however_often_it_is_shown():
    bank, classes = torch.eye(8), torch.tensor([2] * 30 + [0, 5, 5, 7])
    always_2 = bank[[2] * len(classes)]
    assert class_average(hits(always_2, classes, bank, 1), classes) == 1 / 4
    assert class_average(hits(bank[classes], classes, bank, 1), classes) == 1.0
    assert class_average(torch.zeros(0, dtype=torch.bool), torch.zeros(0, dtype=torch.int64)) is None


def test_embeddings_that_collapsed_to_one_point_find_nothing():
    bank = unit(1, 8).repeat(10, 1)
    assert not hits(bank[:4], torch.arange(4), bank, 5).any()


def test_the_fresh_bank_is_the_mean_direction_of_all_views(detector, store_folder, tiny_config):
    store = SolidStore.open(store_folder)
    total = torch.zeros(6, 16)
    for shot in range(3):
        ids, pictures = read_query_pictures(store, range(6), tiny_config, shot=shot)
        assert ids.tolist() == list(range(6))
        total += detector.embed_queries(pictures)
    bank = fresh_bank(detector, store, tiny_config)
    torch.testing.assert_close(bank, normalize(total, dim=1), rtol=1e-5, atol=1e-6)


def test_measuring_leaves_the_model_and_the_generator_as_they_were(
    detector, store_folder, store_index, tiny_config
):
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    state = torch.get_rng_state()
    row = measure(detector, SolidStore.open(store_folder).path, store_index, tiny_config)
    assert detector.training and torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in detector.state_dict().items())
    assert row["chance_top1"] == 1 / 6 and row["chance_top5"] == 5 / 6
    assert row["train_boxes"] > 0 and row["held_out_boxes"] > 0
    shares = [value for name, value in row.items() if name.endswith(("_top1", "_top5"))]
    assert len(shares) == 10 and all(0 <= share <= 1 for share in shares)


def test_without_held_out_pictures_only_training_scenes_are_measured(
    detector, store_folder, store_index, with_pretrain
):
    row = measure(detector, SolidStore.open(store_folder).path, store_index, with_pretrain(held_out=0))
    assert row["held_out_boxes"] == 0 and row["held_out_fresh_top1"] is None
    assert row["train_fresh_top1"] is not None
