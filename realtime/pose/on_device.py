"""From frames to peaks on a GPU: crops, network and decoder run on the device, and only the peaks are downloaded.

Used by pose.build; pose.yolo_pose uses the crops only. The steps are those of pose.crop and pose.decode, written in
torch for all people of a batch. On CUDA they are captured as one graph per batch size, so that a batch costs a single
launch. On other devices they run without a graph, which is how the tests run them on a CPU. The host waits for the
device only when it downloads the peaks. If the device's memory is full, batches become smaller.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from realtime.pose.crop import OUTSIDE, Crowd, places, sizes_of
from realtime.pose.decode_on_device import DeviceDecoder
from realtime.runtime.batches import Fit
from realtime.runtime.graphs import CaptureError, GraphPool
from realtime.runtime.lane import Lane

log = logging.getLogger(__name__)

# Batch sizes. A batch is padded to the next size; the padding is less than half of the batch.
BUCKETS = 1, 2, 3, 4, 6, 8, 12, 16, 24, 32
# Size of the buffer that holds the frames of a batch, one after the other; it limits the frames, and therefore the
# people, of a batch. Holds ten 4K frames. The buffer grows if a single frame needs more.
_FRAMES_BYTES = 256 * 2**20
# Runs before a graph is captured. In their first calls libraries allocate memory and handles, which a capture forbids.
_CALLS_BEFORE_CAPTURE = 2


class _Inputs(NamedTuple):
    """The inputs of a batch of b people, in tensors that stay in place, because a graph reads fixed addresses."""

    frames: torch.Tensor  # int64 (b, 3): offset of the person's frame in the buffer, its width and its height
    pixels: torch.Tensor  # int32 (b, w + h): columns and rows of pose.crop.Places
    shares: torch.Tensor  # float32 (b, w + h): their weights


class _Batch(NamedTuple):
    """The inputs of a batch of b people, its graph, and the tensors that the graph writes."""

    inputs: _Inputs
    graph: torch.cuda.CUDAGraph | None  # None: the steps run without a graph
    peaks: torch.Tensor | None  # float32 (b, K, 3)
    heatmaps: torch.Tensor | None  # float32 (b, K, h, w)


class DeviceEngine:
    """Runs crops, network and decoder on a device: the pose.engine.Engine for GPUs."""

    def __init__(
        self, network: torch.nn.Module, device: torch.device, input_size: tuple[int, int], sigma: float, name: str
    ) -> None:
        """Move a network to the device and allocate its frame buffer.

        Args:
            network: maps uint8 crops (P, h, w, 3) BGR to float32 heatmaps (P, K, h', w').
            device: any torch device.
            input_size: width and height of the crops in pixels.
            sigma: standard deviation of the decoder's blur, in heatmap pixels.
            name: engine, precision and device for the log.
        """
        self.name = name
        self._network = network.to(device)
        self._lane = Lane(device)
        self._input_size = input_size
        self._decoder = DeviceDecoder(sigma, device)
        self._frames = torch.empty(_FRAMES_BYTES, dtype=torch.uint8, device=device)
        self._batches: dict[int, _Batch] = {}
        self._fit = Fit(self._lane, "people", BUCKETS[-1])
        self._graphs = GraphPool(self._lane) if self._lane.stream is not None else None
        self._captures = self._is_warm = False

    def peaks(self, crowd: Crowd) -> NDArray[np.float32]:
        """Return the peaks of P >= 1 people, float32 (P, K, 3). All batches are queued before the one download."""
        return self._run(crowd)[0]

    def heatmaps(self, crowd: Crowd) -> NDArray[np.float32]:
        """Return the heatmaps of P >= 1 people, float32 (P, K, h', w')."""
        return self._run(crowd, want_heatmaps=True)[1]

    def warm_up(self) -> None:
        """On CUDA, capture the graphs of all batch sizes. On other devices, run once for one person.

        Graphs are captured only here, before other threads use the device. The largest comes first, so that the smaller
        ones fit into its memory.
        """
        width, height = self._input_size
        grey = np.full((height, width, 3), 114, np.uint8)
        center, scale = np.array([[width / 2, height / 2]], np.float32), np.array([[width, height]], np.float32)
        if self._graphs is not None and not self._is_warm:
            self._batches.clear()  # made by the self-test, without graphs
            self._captures = True
        for size in reversed(BUCKETS) if self._graphs is not None else BUCKETS[:1]:
            if size <= self._fit.most:  # the memory may be too small for larger ones
                many = center.repeat(size, axis=0), scale.repeat(size, axis=0)
                self.peaks(Crowd([grey], np.zeros(size, np.intp), *many))
        self._captures, self._is_warm = False, True

    def _run(self, crowd: Crowd, want_heatmaps: bool = False) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return self._fit.run(len(crowd.owners), lambda most: self._in_batches(crowd, most, want_heatmaps))

    def _in_batches(
        self, crowd: Crowd, most: int, want_heatmaps: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        sizes = sizes_of(crowd.images)
        lengths = sizes.prod(axis=1) * 3
        with self._lane.run():
            self._make_room(int(lengths[crowd.owners].max()))
            peaks, heatmaps = [], []
            for part in _parts(crowd.owners, lengths, len(self._frames), most):
                count = part.stop - part.start
                people = crowd.part(part)
                batch = self._batch(next(size for size in BUCKETS if size >= count))
                self._tell(batch.inputs, people, self._place(people, lengths), sizes)
                places_found, maps = self._compute(batch)
                peaks.append(places_found[:count].clone())  # the next batch of this size overwrites it
                if want_heatmaps:
                    heatmaps.append(maps[:count].clone())
            found = np.asarray(self._lane.download(torch.cat(peaks)), np.float32)
            if not want_heatmaps:
                return found, np.zeros(0, np.float32)
            return found, np.asarray(self._lane.download(torch.cat(heatmaps)), np.float32)

    def _place(self, crowd: Crowd, lengths: NDArray[np.intp]) -> NDArray[np.intp]:
        """Copy these people's frames into the buffer, and return the offset of each frame, int (B,).

        The copies are ordered by the stream: they start after the batch before has read its frames, and end before
        this batch is computed.
        """
        starts, end = np.zeros(len(lengths), np.intp), 0
        for frame in np.unique(crowd.owners):
            starts[frame], begin, end = end, end, end + lengths[frame]
            self._frames[begin:end].copy_(self._lane.picture(crowd.images[frame]).reshape(-1))
        return starts

    def _make_room(self, needed: int) -> None:
        """Replace a buffer that is too small, and drop the graphs, because they read from its address.

        This is safe because no work is in flight: every call waits for its peaks. The graphs are not captured again,
        which would be possible beside other threads but stop the pose stage for seconds. Only pictures of more than 89
        megapixels need it, and no camera sends them.
        """
        if needed > len(self._frames):
            self._batches.clear()
            self._captures = False
            self._frames = torch.empty(0)  # frees the old buffer before the new one is allocated
            self._frames = torch.empty(needed, dtype=torch.uint8, device=self._lane.device)
            log.info("pose: a frame of %.0f MB exceeded the buffer; CUDA graphs are off from now on", needed / 1e6)

    def _tell(self, inputs: _Inputs, crowd: Crowd, starts: NDArray[np.intp], sizes: NDArray[np.intp]) -> None:
        """Upload the crops' coordinates; the padding of the batch lies outside every frame."""
        frames, pixels, shares = _described(crowd, starts, sizes, self._input_size, len(inputs.frames))
        # On the computing stream, because the batch before may still be reading these tensors.
        self._lane.upload(frames, into=inputs.frames)
        self._lane.upload(pixels, into=inputs.pixels)
        self._lane.upload(shares, into=inputs.shares)

    def _batch(self, size: int) -> _Batch:
        """Return the batch of this size, created at its first use."""
        if size not in self._batches:
            lines = sum(self._input_size)
            inputs = _Inputs(
                torch.ones((size, 3), dtype=torch.int64, device=self._lane.device),
                torch.zeros((size, lines), dtype=torch.int32, device=self._lane.device),
                torch.full((size, lines), float(OUTSIDE), device=self._lane.device),
            )
            inputs.frames[:, 0] = 0
            self._batches[size] = self._capture(inputs)
        return self._batches[size]

    def _capture(self, inputs: _Inputs) -> _Batch:
        """Capture the steps as a CUDA graph, during warm-up; otherwise return a batch without a graph."""
        if self._captures and self._graphs is not None:
            for _ in range(_CALLS_BEFORE_CAPTURE):
                self._steps(inputs)
            try:
                graph, (peaks, heatmaps) = self._graphs.capture(lambda: self._steps(inputs))
            except CaptureError as error:
                self._captures = False
                text = (
                    "pose: no CUDA graphs for batches of %d people and smaller ones (%s): the same results, but slower"
                )
                log.warning(text, len(inputs.frames), error)
            else:
                return _Batch(inputs, graph, peaks, heatmaps)
        return _Batch(inputs, None, None, None)

    def _compute(self, batch: _Batch) -> tuple[torch.Tensor, torch.Tensor]:
        if batch.graph is None or batch.peaks is None or batch.heatmaps is None:
            return self._steps(batch.inputs)
        batch.graph.replay()
        return batch.peaks, batch.heatmaps

    def _steps(self, inputs: _Inputs) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute peaks float32 (b, K, 3) and heatmaps float32 (b, K, h, w) from the frames in the buffer."""
        heatmaps = self._network(_cropped(self._frames, inputs, self._input_size[0]))
        return self._decoder(heatmaps), heatmaps


def _described(
    crowd: Crowd, starts: NDArray[np.intp], sizes: NDArray[np.intp], size: tuple[int, int], room: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Return the arrays that _Inputs holds on the device.

    Args:
        crowd: at most `room` people. The remaining rows are padding, which lies outside every frame.
        starts: int (B,), offsets of the frames in the buffer, in bytes.
        sizes: int (B, 2), widths and heights of the frames.
        size: width and height of the crops.
        room: b, the batch size.

    Returns:
        frames, pixels and shares, with the dtypes and shapes of _Inputs.
    """
    count, lines = len(crowd.owners), sum(size)
    where = places(crowd.centers, crowd.scales, size, sizes[crowd.owners])
    frames = np.tile(np.array((0, 1, 1), np.int64), (room, 1))
    frames[:count, 0], frames[:count, 1:] = starts[crowd.owners], sizes[crowd.owners]
    pixels = np.zeros((room, lines), np.int32)
    pixels[:count] = np.concatenate((where.columns, where.rows), axis=1)
    shares = np.full((room, lines), OUTSIDE, np.float32)
    shares[:count] = np.concatenate((where.column_shares, where.row_shares), axis=1)
    return frames, pixels, shares


def crop_people_on_device(lane: Lane, crowd: Crowd, size: tuple[int, int], outside: int) -> torch.Tensor:
    """Crop people on a lane's device; equals pose.crop.crop_people within one grey level.

    Args:
        lane: the lane that the network runs on.
        crowd: P >= 1 people in frames of any size.
        size: width and height of the crops in pixels.
        outside: grey level of samples outside the frame, 0..255.

    Returns:
        uint8 (P, h, w, 3) on the device, in the colour order of the images.
    """
    with lane.run():
        sizes = sizes_of(crowd.images)
        seen = np.unique(crowd.owners)
        starts = np.zeros(len(sizes), np.intp)
        starts[seen[1:]] = np.cumsum(sizes[seen[:-1]].prod(axis=1) * 3)
        buffer = torch.cat([lane.picture(crowd.images[frame]).reshape(-1) for frame in seen])
        frames, pixels, shares = _described(crowd, starts, sizes, size, len(crowd.owners))
        inputs = _Inputs(lane.upload(frames), lane.upload(pixels), lane.upload(shares))
        return _cropped(buffer, inputs, size[0], outside)


def _cropped(buffer: torch.Tensor, inputs: _Inputs, width: int, outside: int = 0) -> torch.Tensor:
    """Resample the crops of b people; equal to pose.crop within one grey level.

    Args:
        buffer: uint8 (bytes,), frames (H, W, 3) one after the other.
        inputs: the frame and coordinates of each crop.
        width: w, width of the crops.
        outside: grey level of samples outside the frame, 0..255.

    Returns:
        uint8 (b, h, w, 3).
    """
    frames, pixels, shares = inputs
    start, frame_width, frame_height = frames.unsqueeze(2).unbind(dim=1)  # (b, 1) each
    columns, rows = pixels[:, :width].long(), pixels[:, width:].long()
    column_shares, row_shares = shares[:, None, :width, None], shares[:, width:, None, None]
    upper = start + rows * frame_width * 3
    lower = start + torch.minimum(rows + 1, frame_height - 1) * frame_width * 3
    left = columns[:, :, None] * 3 + torch.arange(3, device=buffer.device)  # (b, w, 3)
    right = torch.minimum(columns + 1, frame_width - 1)[:, :, None] * 3 + torch.arange(3, device=buffer.device)

    def look_up(row: torch.Tensor, column: torch.Tensor) -> torch.Tensor:
        return buffer[row[:, :, None, None] + column[:, None]].float()  # (b, h, w, 3)

    first, second = look_up(upper, left), look_up(upper, right)
    first += (look_up(lower, left) - first) * row_shares
    second += (look_up(lower, right) - second) * row_shares
    values = first + (second - first) * column_shares + 0.5  # the cast below truncates, so this rounds half up
    inside = (column_shares >= 0) & (row_shares >= 0)
    return torch.where(inside, values, float(outside)).to(torch.uint8)


def _parts(owners: NDArray[np.intp], lengths: NDArray[np.intp], room: int, most: int) -> Iterator[slice]:
    """Split people into parts of at most `most`; the frames of a part fit into the buffer together.

    Args:
        owners: int (P,), the index of each person's frame, in ascending order.
        lengths: int (B,), sizes of the frames in bytes, at most `room` for every frame that has people.
        room: size of the buffer in bytes.
        most: largest number of people in a part.
    """
    start = used = 0
    for person, owner in enumerate(owners):
        is_new = person == start or owner != owners[person - 1]
        if person - start == most or used + is_new * lengths[owner] > room:
            yield slice(start, person)
            start, used, is_new = person, 0, True
        used += is_new * lengths[owner]
    yield slice(start, len(owners))
