import pytest

from realtime import wire
from realtime.client import PoseSubscriber
from tests.wire.publisher import WAIT_S, Publisher


@pytest.fixture
def publish():
    """Returns a function that creates publishers. They are closed at the end: one that is forgotten blocks Python."""
    opened = []

    def _publish(*endpoint):
        opened.append(Publisher(*endpoint))
        return opened[-1]

    yield _publish
    for publisher in opened:
        publisher.context.destroy(linger=0)


@pytest.fixture
def publisher(publish):
    return publish()


@pytest.fixture
def subscribe(publisher):
    """Returns a function that creates subscribers and waits until they have joined. They are closed at the end."""
    opened = []

    def _subscribe(**options):
        subscriber = PoseSubscriber(publisher.endpoint, **{"timeout_s": WAIT_S, **options})
        opened.append(subscriber)
        names = options.get("cameras")
        publisher.wait_for(*[wire.pose_topic(name) for name in names] if names else [b"pose/"])
        return subscriber

    yield _subscribe
    for subscriber in opened:
        subscriber.close()
