"""The keys of the ZeroMQ stream: the section `publish`, which the stage of this name receives."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from realtime.config.texts import FilePath, Section
from realtime.redact import shown
from realtime.wire.endpoints import clash, endpoint_at_home, parse_endpoint

# At most this many connections to the stream. Each takes two file descriptors, and 1024 per process is a common limit.
MOST_PEERS = 256


class PublishConfig(Section):
    """The ZeroMQ stream."""

    bind: list[str] = Field(
        ["tcp://127.0.0.1:5555"],
        min_length=1,
        title="ENDPOINT",
        description="ZeroMQ endpoint to publish on: tcp://HOST:PORT or ipc://PATH",
    )
    local_bind: list[str] = Field(
        [],
        title="ENDPOINT",
        description="further endpoint for programs on this machine (loopback or ipc), which need no keys there; poses, "
        "info and status, no pictures",
    )
    encoding: Literal["msgpack", "json"] = Field("msgpack", description="encoding of the payload")
    raw_keypoints: bool = Field(False, description="also publish the keypoints from before smoothing")
    wait_for_subscribers: int = Field(
        0, ge=0, le=MOST_PEERS, description="hold the first frame until this many subscribers are connected"
    )
    curve_secret: FilePath | None = Field(
        None, description="secret key file of this publisher (made by python -m realtime.keys); encrypts the stream"
    )
    curve_clients: FilePath | None = Field(
        None,
        description="folder with the public keys of permitted readers; unset: the folder 'clients' beside the file of "
        "curve_secret",
    )
    allow_insecure: bool = Field(
        False, description="allow an unencrypted endpoint beyond loopback: anyone on the network can read it"
    )
    pictures: str | None = Field(
        None,
        title="ENDPOINT",
        description="ZeroMQ endpoint for JPEG pictures of the published frames, encoded only while a program "
        "subscribes to them; unset: no pictures",
    )
    pictures_fps: float = Field(
        5.0,
        gt=0.0,
        le=60.0,
        description="at most this many pictures per second for each camera and width; cameras at the widest subscribed "
        "width share up to 30",
    )
    pictures_motion: bool = Field(
        False,
        description="draw the masks and what the motion gate sees into the pictures, to tune masks and sensitivity",
    )

    @field_validator("bind", "local_bind", mode="before")
    @classmethod
    def _one(cls, bind: object) -> object:
        return [bind] if isinstance(bind, str) else bind

    @field_validator("bind", "local_bind")
    @classmethod
    def _endpoints(cls, bind: list[str]) -> list[str]:
        return [_endpoint(endpoint) for endpoint in bind]

    @field_validator("local_bind")
    @classmethod
    def _local(cls, local_bind: list[str]) -> list[str]:
        for endpoint in local_bind:
            if (parsed := parse_endpoint(endpoint)) and not parsed.is_local:
                raise ValueError(
                    f"got {endpoint}, which other machines can reach, expected 127.0.0.1, [::1] or ipc://PATH, because "
                    "it needs no keys; use publish.bind for other machines"
                )
        return local_bind

    @field_validator("pictures")
    @classmethod
    def _endpoint_of_pictures(cls, pictures: str | None) -> str | None:
        return None if pictures is None else _endpoint(pictures)

    @model_validator(mode="after")
    def _loopback(self) -> PublishConfig:
        for key, endpoint in [*(("bind", endpoint) for endpoint in self.bind), ("pictures", self.pictures)]:
            parsed = parse_endpoint(endpoint) if endpoint else None
            if parsed and not (parsed.is_local or self.allow_insecure or self.curve_secret):
                raise ValueError(
                    f"{key}: anyone on the network could read {endpoint}: bind to 127.0.0.1, set keys with "
                    "--publish.curve-secret, or accept it with --publish.allow-insecure"
                )
        if self.curve_clients is not None and self.curve_secret is None:
            raise ValueError("curve_clients: expected curve_secret too; without it, anyone can read the stream")
        return self

    @model_validator(mode="after")
    def _distinct(self) -> PublishConfig:
        uses = [("bind", endpoint) for endpoint in self.bind]
        uses += [("local_bind", endpoint) for endpoint in self.local_bind]
        uses += [("pictures", self.pictures)] if self.pictures is not None else []
        for (first, one), (second, other) in itertools.combinations(uses, 2):
            if clash(one, other):
                twice = "twice" if one == other else f"and {other}, which share a port or path"
                where = "" if first == second else f", the other one in publish.{first}"
                raise ValueError(f"{second}: got {one} {twice}, expected different endpoints{where}")
        return self

    @property
    def clients(self) -> Path | None:
        """The folder with the public keys of permitted readers; None without encryption."""
        return self.curve_clients or (self.curve_secret.parent / "clients" if self.curve_secret else None)


def _endpoint(endpoint: str) -> str:
    parsed = parse_endpoint(endpoint)
    if parsed is None:
        raise ValueError(f"got {shown(endpoint)!r}, expected tcp://HOST:PORT or ipc://PATH")
    if not parsed.can_bind:
        raise ValueError(f"port: got {parsed.port}, expected 1..65535 (or * for any free port)")
    return endpoint_at_home(endpoint)
