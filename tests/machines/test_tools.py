"""The short commands on such machines: printing to a reader that is gone, keys on a full disk: `make machines`."""

import os
import stat
import sys
import threading
import time

import pytest
import yaml
import zmq

from realtime import wire
from tests.builders import make_frame, make_pose_message, make_poses

from .cell import REPORT, SOCKET
from .judge import NEVER
from .namespace import ANNA, Namespace, NotMade
from .table import USUAL, full, read_only

pytestmark = pytest.mark.machines

# A pipe whose reader takes one line and goes.
TO_ONE_LINE = 'mkfifo /mnt/run/pipe; head -n 1 < /mnt/run/pipe > /mnt/run/line & exec "$@" > /mnt/run/pipe'
ENDED_S = 20.0


@pytest.fixture
def space(kit, request):
    try:
        with Namespace(kit.app) as space:
            space.make(f"chown {ANNA}:{ANNA} /mnt/home /mnt/out /mnt/run")
            yield space
    except NotMade as error:
        pytest.fail(f"not made: {error}", pytrace=False)


@pytest.fixture
def stream(space):
    """A publisher of poses outside of the machine, on the machine's socket."""
    message = wire.encode(make_pose_message(make_poses(make_frame(), [[(1, 2)] * 17])), "msgpack")
    over = threading.Event()
    with zmq.Context() as context, context.socket(zmq.PUB) as socket:
        socket.linger = 0
        socket.bind(f"ipc://{space.root}{SOCKET}")
        space.make(f"chmod 666 {SOCKET}")

        def publish():
            while not over.wait(0.01):
                socket.send_multipart([wire.pose_topic("cam0"), message])

        thread = threading.Thread(target=publish)
        thread.start()
        yield
        over.set()
        thread.join()


def ended(space, *words, door='exec "$@"', environment=None):
    """Run `python WORDS` in the folder of the program. Return its exit code and the lines of its standard error."""
    space.start([sys.executable, *words], environment or USUAL, door=door, folder="/mnt/app")
    end_s = time.monotonic() + ENDED_S
    while not space.has_ended():
        assert time.monotonic() < end_s, space.read("/mnt/log/stderr")
        time.sleep(0.01)
    code, text = space.wait(), space.read("/mnt/log/stderr")
    assert not [word for word in NEVER if word in text], text
    return code, text.splitlines()


@pytest.mark.parametrize("flag", ["--version", "--help", "--print-config"])
def test_a_short_answer_to_a_full_device_is_one_error_line(space, flag):
    code, lines = ended(space, "run_realtime.py", flag, door='exec "$@" > /dev/full')
    assert (code, len(lines)) == (2, 1), lines
    assert "No space left on device" in lines[0]


@pytest.mark.parametrize("flag", ["--version", "--help", "--print-config"])
def test_a_short_answer_without_a_reader_ends_without_a_word(space, flag):
    gone = 'mkfifo /mnt/run/pipe; : < /mnt/run/pipe & exec "$@" > /mnt/run/pipe'
    code, lines = ended(space, "run_realtime.py", flag, door=gone)
    assert (code, lines) == (1, [])


def test_the_configuration_is_printed_in_a_locale_without_its_characters(space):
    environment = {"HOME": "/mnt/home", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    words = "run_realtime.py", "--print-config", "--source", "/mnt/café.mp4", "--report", REPORT
    code, lines = ended(space, *words, environment=environment)
    assert (code, lines) == (0, [])
    printed = space.read("/mnt/log/stdout")
    assert printed.isascii()
    assert os.fsencode(yaml.safe_load(printed)["cameras"][0]["source"]) == "/mnt/café.mp4".encode()


@pytest.mark.parametrize(
    ("setup", "says"),
    [(full("/mnt/out"), "No space left on device"), (read_only("/mnt/out"), "Read-only file system")],
    ids=["full", "read-only"],
)
def test_a_key_that_cannot_be_stored_is_one_line_and_leaves_nothing(space, setup, says):
    space.make(setup)
    before = space.files("/mnt/out")
    code, lines = ended(space, "-m", "realtime.keys", "/mnt/out/keys/publisher")
    assert (code, len(lines)) == (2, 1), lines
    assert says in lines[0]
    assert not [path for path in space.files("/mnt/out") if path not in [*before, "keys"]]


def test_a_secret_key_is_its_owner_s_alone_whatever_the_umask(space):
    code, lines = ended(space, "-m", "realtime.keys", "/mnt/out/keys/publisher", door='umask 0; exec "$@"')
    assert (code, lines) == (0, [])
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (space.root / "mnt/out/keys").iterdir()}
    assert modes["publisher.key_secret"] == 0o600
    assert not modes["publisher.key"] & 0o022


@pytest.mark.usefixtures("stream")
def test_the_client_ends_when_the_reader_of_its_lines_goes(space):
    code, lines = ended(space, "-m", "realtime.client", "--connect", f"ipc://{SOCKET}", "--json", door=TO_ONE_LINE)
    assert (code, lines) == (0, [])
    assert '"pose/1"' in space.read("/mnt/run/line")


@pytest.mark.usefixtures("stream")
def test_the_client_says_that_its_output_is_full(space):
    words = "-m", "realtime.client", "--connect", f"ipc://{SOCKET}", "--json"
    code, lines = ended(space, *words, door='exec "$@" > /dev/full')
    assert (code, len(lines)) == (1, 1), lines
    assert "No space left on device" in lines[0]
