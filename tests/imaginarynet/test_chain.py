"""The whole chain in processes of its own, models of random weights: kills, shards, devices, threshold."""

import random
import signal
import time
from collections import Counter
from dataclasses import replace

import pytest

from experiments.imaginarynet.config import CONFIG
from experiments.imaginarynet.generate import Output
from experiments.imaginarynet.store.manifest import CANDIDATES
from suite.config import load_config
from suite.inspect_run import inspect
from tests.imaginarynet.chain import TINY, Chain
from tests.imaginarynet.fakes import are_here, make_models, model_overrides

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not are_here(), reason="needs the environments of detectron2 and jax"),
]
KILLS = 3
# With weights of random numbers one class has nearly all: a low threshold lets a second round begin.
SETTINGS = ("setting=[]", "num=6", "replace.threshold=0.2", "filter.threshold=0.2", "diffusion.steps=1")


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    return tuple(model_overrides(make_models(tmp_path_factory.mktemp("models"))))


@pytest.fixture(scope="session")
def finished(models, tmp_path_factory):
    """A run without a disturbance, the report left out."""
    chain = Chain(tmp_path_factory.mktemp("run") / "stages", (*models, *SETTINGS))
    chain.must(*(name for name in chain.stages if name != "report"))
    return chain


def beside(chain, folder, *names):
    """The same run in another folder, with some of its stages."""
    (folder / "stages").mkdir()
    for name in names:
        (folder / "stages" / name).symlink_to(chain.folder / name)
    return replace(chain, folder=folder / "stages")


def test_there_is_a_picture_for_every_prompt_and_each_has_an_own_seed(finished):
    prompts, pictures = finished.rows("prompts"), finished.rows("images")
    assert [row.candidate_id for row in pictures] == [row.candidate_id for row in prompts]
    assert len(prompts) == len({row.seed for row in prompts}) == 18
    assert {(row.status, row.width, row.height) for row in pictures} == {("done", 16, 16)}
    assert len({row.sha256 for row in pictures}) == 18


def test_a_second_round_goes_on_where_the_first_one_ended(finished):
    accepted = Counter(
        row.class_id for row in finished.rows("scores") if row.top1 == row.class_id and row.p_label > 0.2
    )
    more = Counter(row.class_id for row in finished.rows("prompts-2"))
    for class_id in range(3):
        assert (more[class_id] > 0) == (accepted[class_id] < 6)
    assert all(row.number >= 6 and row.round == 2 for row in finished.rows("prompts-2"))
    assert sum(more.values()) > 0, "this seed shows nothing; take another one"


def test_every_candidate_is_decided_once(finished):
    rows = finished.rows("filter")
    made = [row.candidate_id for name in ("prompts", "prompts-2") for row in finished.rows(name)]
    assert sorted(made) == [row.candidate_id for row in rows]
    assert {row.status for row in rows} <= {"accepted", "rejected"}
    assert all(row.kept == (row.top1 == row.class_id and row.p_label > 0.2) for row in rows)


@pytest.mark.parametrize(
    ("override", "env"),
    [
        ("compute.shard_size=100", {}),
        ("compute.shard_size=5", {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}),
    ],
)
def test_pictures_do_not_depend_on_shards_or_devices(finished, tmp_path, override, env):
    other = beside(finished, tmp_path, "prompts")
    other = replace(other, overrides=(*other.overrides, override))
    other.must("images", **env)
    assert other.made("images") == finished.made("images")


def test_another_seed_makes_other_pictures(finished, tmp_path):
    other = replace(finished, folder=tmp_path, seed=1)
    other.must("prompts", "images")
    ours, theirs = finished.made("images"), other.made("images")
    assert ours.keys() == theirs.keys()
    assert not {digest for _, digest in ours.values()} & {digest for _, digest in theirs.values()}


def test_another_threshold_touches_the_filter_and_what_reads_it(finished):
    def left(*overrides):
        config = load_config(CONFIG, TINY, (*finished.overrides, *overrides))
        states = inspect(Output(home=finished.folder.parent, config=config, seed=finished.seed))
        return {state.name for state in states if not state.is_done}

    assert left() == set()
    assert left("filter.threshold=0.9") == {"filter", "export"}
    assert left("export.formats=[voc]") == {"export"}


def written(chain, name):
    """Rows that an unfinished stage has on the disk."""
    files = (chain.folder / f"{name}.part").rglob(CANDIDATES)
    return sum(path.read_bytes().count(b"\n") for path in files if path.is_file())


def kill_after(chain, name, more):
    """Start a stage; kill it as soon as so many more rows are on the disk, over all shards."""
    before, process = written(chain, name), chain.start(name)
    while process.poll() is None and written(chain, name) < before + more:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.kill
@pytest.mark.parametrize("name", ["images", "scores"])
def test_killed_at_random_moments_it_ends_as_the_undisturbed_one(finished, tmp_path, name):
    chain = beside(finished, tmp_path, *finished.stages[name].inputs)
    dice = random.Random(name)
    for _ in range(KILLS):
        kill_after(chain, name, dice.randint(0, 7))
    chain.must(name)
    assert chain.outputs(name) == finished.outputs(name)


def test_sigterm_ends_after_the_batch_at_hand_and_the_same_command_goes_on(finished, tmp_path):
    chain = beside(finished, tmp_path, "prompts")
    process = chain.start("images")
    part = chain.folder / "images.part"
    while process.poll() is None and not [*part.rglob(f".work/{CANDIDATES}")]:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate()
    assert process.returncode == 75, told
    assert "Traceback" not in told and "the same command goes on from here" in told
    chain.must("images")
    assert chain.outputs("images") == finished.outputs("images")
