# SPDX-License-Identifier: MIT
"""The settings of a dashboard, as its flags give them. `command` makes them."""

from __future__ import annotations

from dataclasses import dataclass, field

from realtime.wire.keys import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one dashboard.

    Attributes:
        connect: endpoints of the pipelines.
        token: what viewers must enter; None: no token is needed.
        hosts: names that a browser may use for this page, besides addresses and localhost.
        has_pictures: whether to show pictures.
        pictures: endpoint of the pictures, instead of the one that a pipeline announces.
        lost_s: how long (s) a camera may be lost until /healthz reports a fault.
        source_url: where users get the source code; None shows no link.
        keys: key pair of this reader and public key of the publishers, if the streams need keys.
    """

    connect: tuple[str, ...]
    token: str | None = field(default=None, repr=False)
    hosts: tuple[str, ...] = ()
    has_pictures: bool = True
    pictures: str | None = None
    lost_s: float = 30.0
    source_url: str | None = None
    keys: tuple[Key, Key] | None = field(default=None, repr=False)

    @property
    def pipelines(self) -> dict[str, str]:
        """The endpoints by the names under which the pipelines are shown.

        The name is the endpoint. A single pipeline on this machine is `local`, because the path that --web uses is
        different in every run, and metrics would get new time series.

        >>> Settings(connect=("tcp://10.0.0.5:5555",)).pipelines
        {'tcp://10.0.0.5:5555': 'tcp://10.0.0.5:5555'}
        >>> Settings(connect=("ipc:///run/realtime-pose-x2/poses",)).pipelines
        {'local': 'ipc:///run/realtime-pose-x2/poses'}
        """
        if len(self.connect) == 1 and self.connect[0].startswith("ipc://"):
            return {"local": self.connect[0]}
        return {endpoint: endpoint for endpoint in self.connect}
