"""A web page that finds and tracks the people in uploaded images and videos: python examples/space/app.py

It is also a Gradio Space for the Hugging Face hub, see README.md beside it. The limits below keep the uploads of
strangers from filling the machine.
"""

import contextlib
import functools
import html
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
from results import PoseFiles, VideoFile, duration_s, numbered, people_drawn, table_row
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from realtime import PoseTracker
from realtime.errors import RealtimeError, TruncatedError
from realtime.types import Poses

MODELS = [
    ("auto: the best one that is available here", "auto"),
    ("ViTPose-B", "usyd-community/vitpose-base-simple"),
    ("ViTPose-S", "usyd-community/vitpose-plus-small"),
    ("YOLO11n-pose", "yolo11n-pose"),
    ("none: boxes only", "none"),
]
MAX_FILE_MB = 50
MAX_S, MAX_FRAMES = 20.0, 600
MAX_IMAGE_PIXELS, MAX_VIDEO_PIXELS = 50_000_000, 9_000_000  # 9 million: one frame of a 4K video
# Larger images and videos are scaled down to this longer side (pixels) before the models see them.
LONGER_SIDE = 1280
# Uploads and results are deleted after KEEP_S. While they take more than MAX_DISK_MB, no upload is accepted.
KEEP_S, MAX_DISK_MB = 1800, 2000
# Trackers with their models that stay loaded: one for each model and filter that visitors chose lately.
MAX_TRACKERS = 4
# Visitors who wait for their turn; more get an error. One upload is processed at a time.
MAX_WAITING = 10

# Gradio's scripts write styles and scripts into the page. Its button that cuts a video would load FFmpeg from a CDN.
POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' blob: data:"
STYLE = "button[aria-label='Trim video to selection'] {display: none}"
NO_ADDRESS = "Upload a file instead of an address."
HEADERS = ["person", "score", "x1", "y1", "x2", "y2", "keypoints"]
ABOUT = f"""# Pose tracking
YOLO finds people, a pose model estimates their keypoints, and each person in a video keeps a number.
Limits: files of {MAX_FILE_MB} MB; images of {MAX_IMAGE_PIXELS // 1_000_000} megapixels; the first {MAX_S:g} s and
{MAX_FRAMES} frames of videos up to 4K. The results are scaled down to {LONGER_SIDE} pixels if they are larger.
Uploads and results are deleted after {KEEP_S // 60} minutes."""


@functools.lru_cache(maxsize=MAX_TRACKERS)
def tracker_for(model: str, smooth: bool) -> PoseTracker:
    """Return a tracker whose models are loaded. Only one visitor at a time uses it."""
    return PoseTracker(pose_model=model) if smooth else PoseTracker(pose_model=model, smoothing_method="none")


def find_in_image(upload: str | None, model: str, min_score: float) -> Iterator[tuple]:
    """Yield the picture with its people, their table, and the files to download."""
    path = uploaded(upload, "an image")
    with plain_errors(path), tempfile.TemporaryDirectory() as folder:
        tracker = tracker_for(model, True)  # that of the videos: a single image is not changed by the filter
        source = {"source": str(path), "max_pixels": MAX_IMAGE_PIXELS, "resize": LONGER_SIDE}
        with contextlib.closing(tracker.track(source)) as stream:
            poses = next(stream, None)
        if poses is None:
            raise problem("The file has no picture that can be read.")
        poses = numbered(poses, {})
        with PoseFiles(Path(folder), tracker.skeleton) as files:
            files.write(poses)
        picture = people_drawn(tracker, poses, min_score)[..., ::-1]  # Gradio takes RGB
        rows = [table_row(poses, i, min_score) for i in range(len(poses))]
        yield picture, rows, files.paths  # Gradio copies the files before the folder is deleted


def track_in_video(
    upload: str | None,
    model: str,
    min_score: float,
    smooth: bool,
    progress: gr.Progress = gr.Progress(),  # noqa: B008 (by this default, Gradio knows the argument)
) -> Iterator[tuple]:
    """Yield the video with its people, a summary, and the files to download."""
    path = uploaded(upload, "a video")
    with plain_errors(path), tempfile.TemporaryDirectory() as folder:
        progress(0, desc="loading the models")
        tracker = tracker_for(model, smooth)
        source = {"source": str(path), "max_pixels": MAX_VIDEO_PIXELS, "resize": LONGER_SIDE}
        whole_s = min(MAX_S, duration_s(path) or MAX_S)
        frames, now_s, notes, numbers = 0, 0.0, [], {}
        with (
            contextlib.closing(tracker.track(source)) as stream,
            PoseFiles(Path(folder), tracker.skeleton) as files,
            VideoFile(Path(folder) / "people.mp4") as video,
        ):
            for frames, (now_s, poses) in enumerate(within_limits(stream, notes), 1):
                poses = numbered(poses, numbers)
                files.write(poses)
                video.write(people_drawn(tracker, poses, min_score), now_s)
                progress(min(1.0, now_s / whole_s), desc=f"frame {frames}")
        if not frames:
            raise problem("The video has no frame that can be read.")
        summary = " ".join([f"{frames} frames, {now_s:.1f} s, people: {len(numbers)}.", *notes])
        yield str(video.path), summary, files.paths


def within_limits(stream: Iterator[Poses], notes: list[str]) -> Iterator[tuple[float, Poses]]:
    """Yield the poses of each frame with its time since the first one (s). `notes` says why frames are missing."""
    begin_s = None
    try:
        for frames, poses in enumerate(stream):
            begin_s = poses.frame.time_s if begin_s is None else begin_s
            now_s = poses.frame.time_s - begin_s
            if frames == MAX_FRAMES or now_s > MAX_S:
                notes.append("The rest was left out.")
                return
            yield now_s, poses
    except TruncatedError:
        notes.append("The rest of the file is damaged or missing.")


def uploaded(upload: str | None, what: str) -> Path:
    """Return the path of an upload; if it is none, raise the error that the page shows."""
    if not upload:
        raise problem(f"Upload {what} first.")
    if not Path(upload).is_file():  # a forged request can name an address
        raise problem(NO_ADDRESS)
    return Path(upload)


@contextlib.contextmanager
def plain_errors(path: Path) -> Iterator[None]:
    """Show an error of the upload or a model as one line in the page, without the folder of the upload."""
    try:
        yield
    except RealtimeError as error:
        raise problem(str(error).removeprefix("cam0: ").replace(str(path), path.name)) from None


def problem(text: str) -> gr.Error:
    """Return an error that the page shows and the log doesn't."""
    return gr.Error(html.escape(text), duration=None, print_exception=False)


async def refuse_address(*_: object, **__: object) -> str:
    """Take the place of the function by which Gradio loads the addresses in a forged request, of any size."""
    raise problem(NO_ADDRESS)


class Guard:
    """Refuses uploads that have no room, and lets the page load nothing from other hosts."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Content-Security-Policy"] = POLICY
            await send(message)

        app = self._app
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"].endswith("/upload"):
            taken = sum(file.stat().st_size for file in Path(os.environ["GRADIO_TEMP_DIR"]).rglob("*"))
            if taken > MAX_DISK_MB * 1_000_000:
                app = PlainTextResponse("There is no room for more uploads. Try again in some minutes.", 507)
        await app(scope, receive, send_with_policy)


def page() -> gr.Blocks:
    """Build the page."""
    with gr.Blocks(title="Pose tracking", analytics_enabled=False, delete_cache=(60, KEEP_S)) as blocks:
        gr.Markdown(ABOUT)
        with gr.Row():
            model = gr.Dropdown(MODELS, value="auto", label="Pose model")
            min_score = gr.Slider(0, 1, 0.3, step=0.05, label="Draw keypoints from this score")
        queued = {"concurrency_limit": 1, "concurrency_id": "models", "api_visibility": "private"}
        with gr.Tab("Image"), gr.Row():
            with gr.Column():
                image = gr.Image(type="filepath", image_mode=None, sources=["upload", "clipboard"], label="Image")
                find = gr.Button("Find people", variant="primary")
            with gr.Column():
                picture = gr.Image(format="jpeg", label="People", buttons=["download", "fullscreen"])
                table = gr.Dataframe(headers=HEADERS, label="People (boxes in pixels)", interactive=False)
                image_files = gr.File(label="Download", file_count="multiple", interactive=False)
        with gr.Tab("Video"), gr.Row():
            with gr.Column():
                video = gr.Video(sources=["upload"], label="Video")
                smooth = gr.Checkbox(value=True, label="Smooth the keypoints")
                track = gr.Button("Track people", variant="primary")
            with gr.Column():
                result = gr.Video(label="People", interactive=False)
                summary = gr.Markdown()
                video_files = gr.File(label="Download", file_count="multiple", interactive=False)
        # Gradio would open the upload with Pillow, whose errors are not plain. The tracker reads it, with its limits.
        image.preprocess = lambda upload: upload and upload.path
        find.click(
            find_in_image, [image, model, min_score], [picture, table, image_files], show_progress_on=picture, **queued
        )
        track.click(
            track_in_video, [video, model, min_score, smooth], [result, summary, video_files], show_progress_on=result,
            **queued,
        )  # fmt: skip
    return blocks.queue(max_size=MAX_WAITING)


def main() -> None:
    """Load the models and serve the page until Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # deletes the folder
    with tempfile.TemporaryDirectory(prefix="pose-space-") as folder:
        gr.processing_utils.async_ssrf_protected_download = refuse_address
        os.environ |= {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False"}
        try:
            tracker_for("auto", True)
        except RealtimeError as error:
            sys.exit(f"app.py: {error}")
        page().launch(  # on 127.0.0.1, unless GRADIO_SERVER_NAME names another address
            share=False,
            ssr_mode=False,
            max_file_size=f"{MAX_FILE_MB}mb",
            css=STYLE,
            footer_links=["gradio"],
            app_kwargs={"middleware": [Middleware(Guard)]},
        )


if __name__ == "__main__":
    main()
