"""A tiny network and six pictures of one bright rectangle each."""

import pytest

pytest.importorskip("mmdet")

from tests.imaginarynet.detectors.semi import tiny


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def pool(tmp_path_factory):
    return tiny.make_pool(tmp_path_factory.mktemp("pictures"))
