"""One connection of libzmq as the system sees it: the bytes that it has received, and a filter that drops packets.

Used by publish.peers. libzmq opens and closes the connections, and reports only their descriptors.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
import sys

# Read at most this many buffers of 64 kB at once from a connection that was shut down.
_MOST_DISCARDED = 64
_discarded = bytearray(65_536)  # its content is never used
_SO_ATTACH_FILTER, _SO_DETACH_FILTER, _BPF_RETURN = 26, 27, 6  # Linux: a socket's packet filter
# The system's count of the bytes received on a TCP connection: socket option, size of its struct, offset of a uint64.
_COUNTS = {
    "linux": (11, 136, 128),  # TCP_INFO, struct tcp_info, tcpi_bytes_received (Linux 4.1)
    "darwin": (0x106, 112, 88),  # TCP_CONNECTION_INFO, struct tcp_connection_info, tcpi_rxbytes; not tested
}
COUNTS_BYTES = sys.platform in _COUNTS


def open_connection(descriptor: int, endpoint: str) -> socket.socket:
    """Duplicate a descriptor of libzmq, so that it can't become another connection while it is used.

    Args:
        descriptor: the descriptor of a connection, or of the listening socket.
        endpoint: the endpoint that libzmq reports with it.

    Raises:
        OSError: libzmq has closed it. The descriptor may already belong to something else, such as a camera or a file.
    """
    copy = os.dup(descriptor)
    try:
        connection = socket.socket(fileno=copy)
    except OSError:  # it is a file
        os.close(copy)
        raise
    try:
        if not _is_at(connection, endpoint):
            raise OSError("the descriptor belongs to another connection")
    except BaseException:
        connection.close()
        raise
    return connection


def _is_at(connection: socket.socket, endpoint: str) -> bool:
    name = connection.getsockname()
    if endpoint.startswith("ipc://"):
        # The name may be spelled in another way than the endpoint. Only a listener's connections have one, not those
        # that were opened by this program.
        return connection.family == socket.AF_UNIX and bool(name)
    return connection.family in (socket.AF_INET, socket.AF_INET6) and endpoint.endswith(f":{name[1]}")


def received_bytes(connection: socket.socket) -> int | None:
    """Return how many bytes have been received on a TCP connection; None if the system does not count them."""
    option, size, offset = _COUNTS.get(sys.platform, (0, 0, 0))
    if not option:
        return None
    try:
        told = connection.getsockopt(socket.IPPROTO_TCP, option, size)
        return int(struct.unpack_from("<Q", told, offset)[0])
    except (OSError, struct.error):  # not TCP, or an older system
        return None


def shut(connection: socket.socket) -> None:
    """End a connection for libzmq, which then drops the peer with its subscriptions.

    TCP refuses everything that the peer sends from now on. If libzmq may have paused reading, only the reading half is
    shut down. With both halves shut down while it holds a ping of the peer, libzmq would abort the program (libzmq
    issue 4364).

    Raises:
        OSError: the peer has ended it already.
    """
    connection.shutdown(socket.SHUT_RD if received_bytes(connection) is None else socket.SHUT_RDWR)


def discard(connection: socket.socket) -> None:
    """Read and discard the data that has arrived. Otherwise, libzmq would read all of it before it notices the end."""
    with contextlib.suppress(OSError):
        for _ in range(_MOST_DISCARDED):
            if not connection.recv_into(_discarded):
                return


def set_barred(listener: socket.socket, is_barred: bool) -> None:
    """Delay new connections of a listening TCP socket, or accept them again; existing ones are not affected.

    A filter drops their packets, and the other side repeats them. Linux only.
    """
    with contextlib.suppress(OSError):
        if not is_barred:
            listener.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
            return
        nothing = ctypes.create_string_buffer(struct.pack("HBBI", _BPF_RETURN, 0, 0, 0))
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(nothing)))
