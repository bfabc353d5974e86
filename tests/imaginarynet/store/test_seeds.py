"""Seeds: what they depend on, and on nothing else."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from experiments.imaginarynet.store.seeds import candidate_seed, sample_seed

NAMES = st.sampled_from(["mug", "traffic light", "cafe"])


def test_a_seed_is_the_head_of_a_digest_over_run_backend_class_prompt_and_sample():
    digest = hashlib.sha256(b"7|dalle-mini|traffic light|12|1").hexdigest()
    assert sample_seed(7, "dalle-mini", "traffic light", prompt_id=12, sample_idx=1) == int(digest[:16], 16)


def test_the_seed_of_a_known_candidate_never_changes():
    assert candidate_seed(0, "dalle-mini", "cat", number=1) == 17520902587924795086


@given(st.integers(0, 9), NAMES, st.integers(0, 9), st.integers(0, 9), NAMES, st.integers(0, 9))
def test_seeds_are_equal_for_equal_candidates_only(run, name, number, other_run, other_name, other_number):
    one = candidate_seed(run, "dalle-mini", name, number=number)
    other = candidate_seed(other_run, "dalle-mini", other_name, number=other_number)
    assert (one == other) == ((run, name, number) == (other_run, other_name, other_number))
    assert one != candidate_seed(run, "stablediffusion", name, number=number)


def test_candidates_that_share_a_prompt_have_seeds_of_their_own():
    seeds = [candidate_seed(0, "dalle-mini", "mug", number=n, samples_per_prompt=3) for n in range(6)]
    assert len(set(seeds)) == 6
    assert seeds[4] == sample_seed(0, "dalle-mini", "mug", prompt_id=1, sample_idx=1)
