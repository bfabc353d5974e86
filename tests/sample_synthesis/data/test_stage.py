from types import SimpleNamespace

from experiments.sample_synthesis.config_sections import ObjectConfig, RealConfig
from experiments.sample_synthesis.data.sets import read_sets
from experiments.sample_synthesis.data.stage import run
from tests.sample_synthesis.data.lookalikes import write_cars


class Recorder(SimpleNamespace):
    """What the stage uses of suite.stage.Context."""

    def __init__(self, **kwargs):
        super().__init__(counts={}, warnings=[], events=[], shard=None, **kwargs)

    def count(self, name, items=1):
        self.counts[name] = self.counts.get(name, 0) + items

    def warn(self, text):
        self.warnings.append(text)

    def event(self, name, **facts):
        self.events.append((name, facts))


def settings(name, real):
    sections = {"objects": (name,), "of": lambda _: ObjectConfig(real=real)}
    return SimpleNamespace(compute=SimpleNamespace(threads=2), **sections)


def test_the_stage_counts_what_it_read_and_warns_of_what_differs(tmp_path):
    root = write_cars(tmp_path / "cars", num_train=110, num_test=20)
    (root / "cars_test" / "00003.jpg").write_text("damaged", encoding="utf-8")
    real = RealConfig(kind="cars", folder=str(root), num_valid=10)
    ctx = Recorder(config=settings("car", real), out=tmp_path / "out")
    ctx.out.mkdir()
    run(ctx)
    assert ctx.counts == {
        "train_images": 100, "train_boxes": 100, "valid_images": 10, "valid_boxes": 10, "test_images": 19,
        "test_boxes": 19, "clipped_boxes": 0, "left out: unreadable picture": 1,
    }  # fmt: skip
    assert "cars: 19 images in test, published 8041" in ctx.warnings
    assert [text for text in ctx.warnings if "00003.jpg does not decode" in text]
    assert len(read_sets(ctx.out)["test"]) == 19


def test_stand_ins_are_the_same_for_every_seed(tmp_path):
    real = RealConfig(kind="standin", max_train=2, max_valid=1, max_test=1)
    for seed in (0, 1):
        ctx = Recorder(config=settings("face", real), out=tmp_path / str(seed), seed=seed)
        ctx.out.mkdir()
        run(ctx)
    for path in sorted((tmp_path / "0").rglob("*.*")):
        assert path.read_bytes() == (tmp_path / "1" / path.relative_to(tmp_path / "0")).read_bytes()
    assert ctx.events == [
        ("read", {"object": "face", "source": "standin", "train": 2, "valid": 1, "test": 1})
    ]
