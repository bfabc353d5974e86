"""The search on a handful of pictures, done once: the longest thing that several files look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.gafi.search.tiny import TinyRun, make_run

SEARCH = ("ckpt", "stddev", "threshold", "best", "run-multigan", "controls")


@contextmanager
def counted_reads(into: Counter[str]) -> Iterator[None]:
    """Stages run in this process, which has its threads already; counts the splits that they ask for."""
    from experiments.gafi.data.dataset import Splits
    from experiments.gafi.nn import backend

    get = Splits.__getitem__

    def counting(self, name):
        into[name] += 1
        return get(self, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "setup", lambda **settings: None)
        patch.setattr(Splits, "__getitem__", counting)
        yield


@pytest.fixture(scope="session")
def searched(tmp_path_factory) -> tuple[TinyRun, dict[str, Counter[str]]]:
    """(finished search, MultiGAN and controls, a candidate a shard; {stage: how often it read a split})."""
    reads = {name: Counter() for name in ("before", *SEARCH)}
    with counted_reads(reads["before"]):
        run = make_run(tmp_path_factory.mktemp("search"), "SEARCH.candidates_per_shard=1")
    for name in SEARCH:
        with counted_reads(reads[name]):
            run.job(name).run()
    return run, reads
