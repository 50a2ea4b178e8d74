"""Exports converted networks for machines without torch: the command `python -m realtime.models export OUT`.

Not on the data path. It writes a folder for each network (models.converted), and a text about their licences. On the
other machine, `detector.weights` and `pose.model` are OUT, and the extra `light` is all that is installed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from realtime import __version__
from realtime.capture.demo import demo_canvas, demo_people
from realtime.config import AppConfig
from realtime.config_reader import ConfigReader
from realtime.errors import ConfigError, OutputError
from realtime.flags import parse
from realtime.loading import setup_of
from realtime.models.cache import cache_folder
from realtime.models.choice import Choice
from realtime.models.converted import Converted, Part, is_converted, write, write_people
from realtime.models.openvino import version
from realtime.models.yolo import YoloNet
from realtime.models.yolo_output import PERSON
from realtime.plan import Pick, make_plan
from realtime.pose.build import converted
from realtime.runtime.device import CPU
from realtime.stdout import write_out

_AGPL = "AGPL-3.0, as all YOLO weights of Ultralytics (https://ultralytics.com/license)"
_APACHE = "Apache-2.0, by its page on the Hugging Face hub"
# The beginnings of the names of ViTPose weights whose licence is known.
_APACHE_NAMES = "usyd-community/", "easy_vitpose:", "vitpose-original:"
_UNKNOWN = "not known to this program; ask whoever gave you the weights"


def export(out: Path, words: Sequence[str]) -> None:
    """Export the networks of a configuration.

    Args:
        out: the folder to write.
        words: flags of the program.

    Raises:
        ConfigError: a flag is wrong, or a network can't be exported.
        OutputError: the folder can't be written, or is there already.
        ModelError: a model can't be found, loaded or converted.
    """
    if importlib.util.find_spec("torch") is None:
        raise ConfigError("export: needs torch, which is not installed: pip install 'realtime-pose[run]'")
    arguments, flags = parse(words)
    arguments.dry_run = True  # no source is needed
    config = ConfigReader(arguments, flags | {"device": "cpu"}, []).read()
    with _new_folder(out) as folder:
        plan = make_plan(config, is_for_here=False)
        told = [f"{part}: {_write(folder, part, pick, config)}" for part, pick in _parts(plan.detector, plan.pose)]
        (folder / "README.txt").write_text(_readme(told), encoding="utf-8")
    write_out("".join(f"{line}\n" for line in told))
    keys = "".join(f" --{'detector.weights' if part.startswith('detector') else 'pose.model'} {out}" for part in told)
    write_out(f"run them: pip install 'realtime-pose[light]'; realtime-pose{keys} --source 0\n")


def _parts(detector: Pick, pose: Pick) -> list[tuple[Part, Pick]]:
    both: list[tuple[Part, Pick]] = [("detector", detector), ("pose", pose)]
    return [(part, pick) for part, pick in both if pick.found.path is not None]


def _write(folder: Path, part: Part, pick: Pick, config: AppConfig) -> str:
    """Convert a network, write it to a new folder in `folder`, and return its name and licence."""
    path, kind = pick.found.path, pick.found.kind
    assert path is not None
    if path.is_dir() and is_converted(path):
        raise ConfigError(f"export: {path} holds a converted network, expected weights")
    if pick.choice is None or pick.choice.engine != "openvino":
        raise ConfigError(f"{part}.engine: got torch, but only OpenVINO runs exported networks")
    cache = cache_folder() / "compiled"
    network: Converted | None
    if kind == "yolo":
        classes = config.detector.classes if part == "detector" else [PERSON]
        network = YoloNet(path, CPU, Choice("openvino", "fp32"), cache, classes, demo_canvas()).converted
        more: dict[str, object] = {"classes": list(classes)}
    else:
        precision: Choice = Choice("openvino", "int8" if config.pose.precision == "int8" else "fp32")
        network = converted(precision, setup_of(config.pose, pick, CPU))
        more = {}
    assert network is not None
    licence = _licence(pick.found.name, kind)
    name = pick.found.name.partition(" (")[0]  # without the reason for which auto chose it
    about = {**network.about, **more, "name": name, "licence": licence, "version": __version__, "openvino": version()}
    (folder / part).mkdir()
    write(network._replace(about=about), folder / part)
    write_people(folder / part, demo_canvas(), demo_people())
    return f"{name}; licence of its weights: {licence}"


def _licence(name: str, kind: str) -> str:
    if kind == "yolo":
        return _AGPL
    return _APACHE if name.startswith(_APACHE_NAMES) else _UNKNOWN


def _readme(told: Sequence[str]) -> str:
    return (
        f"Networks that realtime-pose {__version__} converted for OpenVINO {version()}.\n\n"
        + "".join(f"- {line}\n" for line in told)
        + "\npeople.npz, for the self-test and the built-in source, shows parts of two photographs of ultralytics"
        " (AGPL-3.0).\n"
        + "\nUse this folder as detector.weights and pose.model, or put it at ~/.cache/realtime-pose/exported:\n"
        "there, an installation without torch (pip install 'realtime-pose[light]') finds it by itself.\n"
    )


@contextlib.contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """Yield a folder that gets its name at the end of the block, if nothing went wrong.

    Raises:
        OutputError: there is something of this name already, or it can't be written.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise OutputError(f"export: {out} is there already, expected a new or empty folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        begun = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise OutputError(f"export: {out} can't be written: {error.strerror}") from error
    try:
        yield begun
        begun.chmod(0o755)
        begun.replace(out)
    except OSError as error:
        raise OutputError(f"export: {out} can't be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(begun, ignore_errors=True)
