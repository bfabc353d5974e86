"""Two gloo ranks as real processes."""

import subprocess
import sys

import pytest
import torch

from tests.solid.learn.pretrain.bank_ranks import IDS
from tests.solid.learn.pretrain.runs import ENVIRONMENT, ROOT, Run, free_port, rows

pytestmark = pytest.mark.slow


def test_two_ranks_with_unequal_queries_write_the_bank_of_one_process(tmp_path):
    for ranks in (1, 2):
        line = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(ranks)]
        line += ["--master_addr", "127.0.0.1", "--master_port", str(free_port())]
        line += ["-m", "tests.solid.learn.pretrain.bank_ranks", str(tmp_path)]
        subprocess.run(line, cwd=ROOT, env=ENVIRONMENT, check=True, timeout=300)
    alone, first, second = (
        torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("1-0", "2-0", "2-1")
    )
    assert torch.equal(first["queue"], second["queue"])
    assert torch.equal(first["queue_ids"], second["queue_ids"])
    torch.testing.assert_close(first["queue"], alone["queue"], rtol=1e-5, atol=1e-6)
    assert first["queue_ids"].tolist() == alone["queue_ids"].tolist()
    assert {row for row in first["queue_ids"].tolist() if row >= 0} == set(IDS)


def test_two_ranks_train_through_the_public_command(tmp_path):
    run = Run(tmp_path)
    folder = run.must("two", ranks=2)
    assert [row["step"] for row in rows(folder)] == list(range(1, 7))
    assert all(0 < row["total_loss"] < 20 for row in rows(folder))
