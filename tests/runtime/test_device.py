"""Tests of lanes that need no GPU."""

import numpy as np
import torch

from realtime.runtime.device import Lane, _pictures_on

CPU = torch.device("cpu")


def picture(value):
    image = np.full((4, 6, 3), value, np.uint8)
    image.setflags(write=False)
    return image


def test_an_image_is_sent_once_for_all_lanes():
    first, second = Lane(CPU), Lane(CPU)
    image, other = picture(1), picture(2)
    sent = first.picture(image)
    assert second.picture(image) is sent
    np.testing.assert_array_equal(sent.numpy(), image)
    np.testing.assert_array_equal(second.picture(other).numpy(), other)


def test_an_image_is_removed_once_its_array_is_freed():
    lane = Lane(CPU)
    kept, image = picture(1), picture(2)
    lane.picture(kept), lane.picture(image)
    before = len(_pictures_on(CPU)._sent)
    del image
    assert len(_pictures_on(CPU)._sent) == before - 1
    assert id(kept) in _pictures_on(CPU)._sent


def test_a_writeable_image_is_sent_each_time():
    lane = Lane(CPU)
    image = np.zeros((4, 6, 3), np.uint8)
    lane.picture(image)
    image[:] = 7
    assert (lane.picture(image) == 7).all()
