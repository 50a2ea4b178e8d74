import pytest
import torch

from realtime.errors import MemoryFullError
from realtime.runtime.batches import Fit, even_parts
from realtime.runtime.lane import Lane


def test_batches_are_bounded_and_differ_by_at_most_one_person():
    for count in range(200):
        parts = list(even_parts(count, 16))
        assert [i for part in parts for i in range(part.start, part.stop)] == list(range(count))
        lengths = {part.stop - part.start for part in parts}
        assert not lengths or (max(lengths) <= 16 and max(lengths) - min(lengths) <= 1)


def test_a_batch_that_does_not_fit_is_halved_and_the_limit_is_remembered(caplog):
    tried = []

    def work(most):
        tried.append(most)
        if most > 5:
            raise MemoryFullError("cuda:0: not enough memory")
        return most

    fit = Fit(Lane(torch.device("cpu")), "frames")
    assert [fit.run(count, work) for count in (3, 32, 32, 2)] == [3, 4, 4, 2]
    assert tried == [3, 32, 16, 8, 4, 4, 2]
    assert len(caplog.messages) == 1
    assert caplog.messages[0].endswith("too small for 32 frames at once; using batches of at most 4 from now on")


def test_if_not_even_one_item_fits_the_limit_is_not_changed():
    def work(most):
        raise MemoryFullError("cuda:0: not enough memory")

    fit = Fit(Lane(torch.device("cpu")), "frames", most=8)
    with pytest.raises(MemoryFullError):
        fit.run(8, work)
    assert fit.most == 8
