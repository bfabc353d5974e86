"""Which rank of a torchrun a process is, and what a rank above 0 may do."""

import json

import pytest

from suite import ranks
from suite.errors import BadInput
from suite.stage import Context, Job, Stage

VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture
def as_rank(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)

    def become(rank, world_size=2):
        for name, value in zip(VARIABLES, (rank, rank, world_size, "127.0.0.1", 29500), strict=True):
            monkeypatch.setenv(name, str(value))

    return become


def test_without_torchrun_there_is_one_process(as_rank, monkeypatch):
    assert (ranks.rank(), ranks.local_rank(), ranks.world_size()) == (0, 0, 1)
    monkeypatch.setenv("RANK", "3")  # a scheduler's, without the rest of torchrun's
    assert (ranks.rank(), ranks.world_size()) == (0, 1)


def test_torchruns_variables_are_read(as_rank):
    as_rank(3, 8)
    assert (ranks.rank(), ranks.local_rank(), ranks.world_size()) == (3, 3, 8)


def test_a_rank_that_is_no_number_is_refused(as_rank):
    as_rank("first")
    with pytest.raises(BadInput, match="RANK='first' is no number"):
        ranks.rank()


def work(ctx: Context) -> None:
    """A stage's function that writes, counts, warns, speaks and reports progress."""
    (ctx.out / "result.txt").write_text(f"by rank {ctx.rank}")
    (ctx.work / "checkpoint").write_text("")
    ctx.warn("mind the gap")
    ctx.event("worked", rank=ctx.rank)
    with ctx.progress(1) as bar:
        bar.advance()
    if ctx.config.get("leave"):
        (ctx.config["leave"] / f"{ctx.rank}").touch()


STAGE = {"system": "toy", "name": "work", "summary": "", "toolchain": "suite", "version": 1,
         "run": "tests.suite.test_ranks:work"}  # fmt: skip


def job(out, stage, seen=None):
    made = Job(stage=stage, config={}, seed=0, device="cpu", inputs={}, out=out)
    made.config = {"leave": seen} if seen else {}
    return made


def test_a_rank_above_0_computes_along_but_leaves_nothing_and_says_nothing(as_rank, tmp_path, capsys):
    as_rank(1)
    seen = tmp_path / "seen"
    seen.mkdir()
    assert job(tmp_path / "out", Stage(**STAGE, ranks=True), seen).run()
    assert [p.name for p in seen.iterdir()] == ["1"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["seen"]
    assert capsys.readouterr().err == ""


def test_a_rank_above_0_does_its_part_of_a_shard(as_rank, tmp_path):
    as_rank(1)
    wide = Stage(**STAGE, ranks=True, num_shards=lambda config, inputs=None: 2)
    seen = tmp_path / "seen"
    seen.mkdir()
    assert job(tmp_path / "out", wide, seen).run_shard(0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["seen"]


def test_every_rank_finds_a_finished_stage_up_to_date(as_rank, tmp_path, monkeypatch):
    out, stage = tmp_path / "out", Stage(**STAGE, ranks=True)
    with monkeypatch.context() as alone:
        for name in VARIABLES:
            alone.delenv(name, raising=False)
        done = Job(stage=stage, config=_Settings(), seed=0, device="cpu", inputs={}, out=out)
        assert done.run()
    assert json.loads((out / "manifest.json").read_text())["warnings"] == ["mind the gap"]
    for rank in (0, 1):
        as_rank(rank)
        assert not Job(stage=stage, config=_Settings(), seed=0, device="cpu", inputs={}, out=out).run()


class _Settings(dict):
    """An empty config that the manifest can hold."""


def test_torchrun_is_refused_by_stages_of_one_process_and_by_all_shards_at_once(as_rank, tmp_path):
    as_rank(0)
    with pytest.raises(BadInput, match="`work` runs as one process; start it without torchrun"):
        job(tmp_path / "out", Stage(**STAGE))
    wide = Stage(**STAGE, ranks=True, num_shards=lambda config, inputs=None: 2)
    with pytest.raises(BadInput, match="one shard is done at a time; name it with --shard I"):
        job(tmp_path / "out", wide).run()
    assert list(tmp_path.iterdir()) == []
