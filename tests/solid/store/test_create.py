import json
from pathlib import Path

import pytest

from experiments.solid.config import SolidConfig
from experiments.solid.store.create import read_classes, run
from experiments.solid.store.reader import SolidStore
from suite.config import load_config
from suite.errors import BadInput
from suite.stage import Context, Stage

ROOT = Path(__file__).resolve().parents[3]


def context(tmp_path, classes, overrides=()):
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean" / "classes.json").write_text(
        classes if isinstance(classes, str) else json.dumps(classes)
    )
    (tmp_path / "out.part").mkdir()
    return Context(
        stage=Stage(system="solid", name="create-store", summary="", toolchain="blender", version=1, run=""),
        config=load_config(SolidConfig, ROOT / "experiments/solid/configs/tiny.yaml", overrides),
        seed=0,
        device="cpu",
        inputs={"clean": tmp_path / "clean"},
        out=tmp_path / "out.part",
        final=tmp_path / "out",
        key="",
    )


def test_the_store_has_the_sizes_of_the_config_and_the_class_table_beside_it(tmp_path):
    ctx = context(tmp_path, [{"id": "chair"}, {"id": "table"}])
    run(ctx)
    run(ctx)  # a killed run is repeated in the same folder
    store = SolidStore.open(ctx.out)
    assert (len(store), store.layout.num_classes, store.layout.num_shots) == (8, 2, 2)
    assert [row["id"] for row in store.classes] == ["chair", "table"]
    assert not store.valid("targets").any()


def test_a_wrong_class_count_is_one_clear_line(tmp_path):
    with pytest.raises(
        BadInput, match=r"classes\.json: 1 classes, the config expects 3; set meshes\.num_classes to 1"
    ):
        run(context(tmp_path, [{"id": "chair"}], ["meshes.num_classes=3"]))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[", "unreadable"),
        ([], "not a non-empty list"),
        ([1], "not a non-empty list"),
        ([{"id": "a"}, {"id": "b"}, {"id": "a"}], "classes 0 and 2 are the same model 'a'"),
    ],
)
def test_a_damaged_class_table_is_refused(tmp_path, content, told):
    with pytest.raises(BadInput, match=told):
        run(context(tmp_path, content))


def test_a_missing_class_table_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"classes\.json: class table is unreadable \(FileNotFoundError\)"):
        read_classes(tmp_path / "classes.json")
