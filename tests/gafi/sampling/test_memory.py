import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import resource
from experiments.gafi.sampling.fill import fill
from experiments.gafi.sampling.latents import StreamKey
from experiments.gafi.sampling.recycle import RecycleProvider
from experiments.gafi.sampling.score import Scorer
from tests.gafi import fakes

scorer = Scorer(fakes.generator(4, image_shape=(32, 32, 3)), fakes.classifier(4), batch_size=256)
rule = dict(stddev=1.5, threshold=0.3, cap=20, fallback="error")
provider = RecycleProvider(
    lambda stream, quotas: fill(scorer, quotas=quotas, stream=stream, **rule),
    classes=4, per_class=500, every=1, stream=StreamKey(0),
)
for epoch in range(1, 27):
    bytes_of_set = provider.epoch(epoch).images.shape[0] * 32 * 32 * 3 * 4
    print(epoch, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, bytes_of_set)
"""


@pytest.mark.slow
def test_twenty_regenerations_need_no_more_memory_than_the_first_ones():
    """Peak of the process. A set has 25 MB, so a leak of each would be 490 MB; two sets are allowed."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True, timeout=300
    )
    rows = [[int(word) for word in line.split()] for line in ran.stdout.splitlines()]
    peaks, of_set = [row[1] for row in rows], rows[0][2]
    assert len(rows) == 26 and of_set == 2000 * 32 * 32 * 3 * 4
    assert peaks[25] - peaks[5] < 2 * of_set
