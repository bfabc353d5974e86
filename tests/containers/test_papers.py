"""Every paper but SOLID (test_solid.py) as users run it in containers, at tiny."""

from __future__ import annotations

import pytest

from tests.containers.compose import check_finished

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize("paper", ["dense-detector", "gafi", "sample-synthesis", "imaginarynet"])
def test_a_paper_reproduces_at_tiny_and_its_files_belong_to_the_caller(undisturbed, paper):
    check_finished(undisturbed(paper), paper)
