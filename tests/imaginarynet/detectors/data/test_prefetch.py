"""Results computed ahead: in order, errors at their place, threads gone at the end."""

import itertools
import threading

import pytest

from experiments.imaginarynet.detectors.data.prefetch import in_order
from suite.errors import BadInput


def threads():
    return [one for one in threading.enumerate() if one.name.startswith("pictures")]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_results_come_in_the_order_of_the_requests(workers):
    finished = {3: threading.Event()}

    def make(number):
        if workers > 1 and number == 2:  # ends after the next one has
            assert finished[3].wait(10)
        if number == 3:
            finished[3].set()
        return number * number

    assert list(in_order(make, range(20), workers=workers)) == [n * n for n in range(20)]
    assert not threads()


@pytest.mark.parametrize("workers", [0, 2])
def test_an_endless_row_may_be_left(workers):
    made = in_order(lambda number: number, itertools.count(7), workers=workers)
    assert list(itertools.islice(made, 5)) == [7, 8, 9, 10, 11]
    assert len(threads()) == workers
    made.close()
    assert not threads()


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_is_raised_at_its_place(workers):
    def make(number):
        if number == 2:
            raise BadInput("does not decode", file="a.jpg")
        return number

    made = in_order(make, itertools.count(), workers=workers)
    assert (next(made), next(made)) == (0, 1)
    with pytest.raises(BadInput, match="a.jpg: does not decode"):
        next(made)
    assert not threads()


def test_only_a_few_results_wait():
    asked = []

    def requests():
        for number in itertools.count():
            asked.append(number)
            yield number

    made = in_order(lambda number: number, requests(), workers=2)
    next(made)
    assert len(asked) <= 6
    made.close()
