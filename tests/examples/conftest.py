import pytest

from tests.wire.publisher import Publisher


@pytest.fixture
def publisher():
    publisher = Publisher()
    yield publisher
    publisher.context.destroy(linger=0)
