"""The connections of the web server, with invented times."""

from realtime.dashboard.crowd import Crowd


class Pipe:
    """A transport that remembers whether it was cut off."""

    def __init__(self):
        self.is_cut, self.closing = False, False

    def abort(self):
        self.is_cut = True

    def is_closing(self):
        return self.closing


def filled(*phases):
    crowd, pipes = Crowd(most=len(phases)), [Pipe() for _ in phases]
    for second, (pipe, phase) in enumerate(zip(pipes, phases, strict=True)):
        crowd.came(pipe, second)
        crowd.turned(pipe, phase, second)
    return crowd, pipes


def test_the_oldest_without_a_request_makes_room():
    crowd, pipes = filled("busy", "silent", "silent", "page")
    newest = Pipe()
    crowd.came(newest, 5.0)
    assert [pipe.is_cut for pipe in [*pipes, newest]] == [False, True, False, False, False]
    assert len(crowd) == 4


def test_a_busy_one_makes_room_if_none_is_silent():
    crowd, pipes = filled("page", "busy", "busy")
    crowd.came(Pipe(), 5.0)
    assert [pipe.is_cut for pipe in pipes] == [False, True, False]


def test_pages_are_never_cut_off_for_a_newcomer():
    crowd, pipes = filled("page", "page")
    newest = Pipe()
    crowd.came(newest, 5.0)
    assert [pipe.is_cut for pipe in [*pipes, newest]] == [False, False, True]


def test_a_header_that_does_not_come_in_ten_seconds_ends_the_connection():
    crowd, (silent, page) = filled("silent", "page")
    crowd.look(9.9)
    assert not silent.is_cut
    crowd.look(10.5)
    assert silent.is_cut
    assert not page.is_cut


def test_the_header_of_a_later_request_has_ten_seconds_too():
    crowd, (pipe,) = filled("busy")
    crowd.turned(pipe, "silent", 100.0)
    crowd.turned(pipe, "silent", 109.0)  # a slow one that goes on sending
    crowd.look(109.0)
    assert not pipe.is_cut
    crowd.look(110.5)
    assert pipe.is_cut


def test_a_closed_connection_that_does_not_take_the_rest_is_cut_off():
    crowd, (page,) = filled("page")
    page.closing = True
    crowd.look(1000.0)
    crowd.look(1009.0)
    assert not page.is_cut
    crowd.look(1011.0)
    assert page.is_cut
