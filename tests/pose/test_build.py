from __future__ import annotations

import gc
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from realtime.errors import ConfigError, ModelError
from realtime.models import openvino
from realtime.pose import build as building
from realtime.pose import build_torch
from realtime.pose.build import deviation
from tests.models.published import original
from tests.pose.checkpoints import KINDS, load_vitpose, people, save_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp("vitpose"), **KINDS["plus"])


@pytest.fixture(scope="module")
def cache(checkpoint, tmp_path_factory):
    """A cache that holds the checkpoint, converted for fp32 and bf16 and tested. Tests do not change it."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openvino, "native_precisions", lambda: ["fp32", "bf16"])
        for precision in ("fp32", "bf16"):
            load_vitpose(checkpoint, folder, engine="openvino", precision=precision, self_test="warn")
    return folder


@pytest.fixture
def untested(cache, tmp_path):
    """A copy of the cache in which no network has passed its self-test yet."""
    return shutil.copytree(cache, tmp_path / "untested", ignore=shutil.ignore_patterns("self-tests.json"))


# ---- the self-test


def test_deviation_is_relative_to_the_signal_of_the_heatmaps():
    expected = np.random.default_rng(0).normal(5, 0.1, (1, 3, 8, 6)).astype(np.float32)
    assert deviation(expected, expected) == 0
    assert deviation(expected + np.float32(0.01), expected) == pytest.approx(0.1, rel=0.2)
    assert deviation(expected[..., ::-1], expected) > 1
    assert deviation(np.full_like(expected, np.nan), expected) == float("inf")


class Broken:
    """Makes OpenVINO engines turn heatmaps upside down in the given precisions."""

    def __init__(self, monkeypatch, precisions):
        build = building._build_openvino

        def build_broken(choice, setup):
            engine, expected, identity = build(choice, setup)
            if choice.precision in precisions:
                heatmaps = engine.heatmaps
                engine.heatmaps = lambda *args: heatmaps(*args)[:, :, ::-1]
            return engine, expected, identity

        monkeypatch.setattr(building, "_build_openvino", build_broken)
        monkeypatch.setattr(openvino, "native_precisions", lambda: ["fp32", "bf16"])


def test_a_failed_self_test_stops_the_run_before_it_starts(monkeypatch, checkpoint, untested):
    Broken(monkeypatch, {"bf16"})
    with pytest.raises(ModelError, match=r"self-test of openvino bf16 failed.*--pose\.self-test warn"):
        load_vitpose(checkpoint, untested, engine="openvino", precision="bf16")


def test_a_failed_self_test_is_only_logged_if_the_user_chose_warn(monkeypatch, checkpoint, untested, caplog):
    Broken(monkeypatch, {"bf16"})
    load_vitpose(checkpoint, untested, engine="openvino", precision="bf16", self_test="warn")
    assert "self-test of openvino bf16 failed" in caplog.text


def test_auto_falls_back_to_float32_after_a_failed_self_test(monkeypatch, checkpoint, untested, caplog):
    Broken(monkeypatch, {"bf16"})
    model = load_vitpose(checkpoint, untested, engine="auto", precision="auto")
    assert model.engine_name == "openvino fp32"
    assert "using openvino fp32 instead" in caplog.text


def test_auto_stops_the_run_if_float32_fails_the_self_test_too(monkeypatch, checkpoint, untested):
    Broken(monkeypatch, {"bf16", "fp32"})
    with pytest.raises(ModelError, match="self-test of openvino fp32 failed"):
        load_vitpose(checkpoint, untested, engine="openvino", precision="auto")


def test_auto_falls_back_to_torch_if_openvino_fails_in_float32_too(monkeypatch, checkpoint, untested):
    Broken(monkeypatch, {"bf16", "fp32"})
    assert load_vitpose(checkpoint, untested, engine="auto", precision="auto").engine_name == "torch fp32"


def test_a_network_that_openvino_cannot_convert_runs_in_torch(monkeypatch, checkpoint, tmp_path, caplog):
    import openvino as library

    def refuse(*args, **keywords):
        raise RuntimeError("unknown layer\nand its trace")

    monkeypatch.setattr(library, "convert_model", refuse)
    assert load_vitpose(checkpoint, tmp_path, engine="auto", precision="auto").engine_name == "torch fp32"
    assert "can't be used: OpenVINO can't convert this network (unknown layer); using torch fp32" in caplog.text
    assert caplog.text.count("instead") == 1


# ---- converted networks


def converted(monkeypatch):
    """A list that grows by one entry with every conversion of a network."""
    calls = []
    convert = openvino.convert
    monkeypatch.setattr(openvino, "convert", lambda *args: calls.append(1) or convert(*args))
    return calls


def test_the_second_start_converts_nothing_and_finds_the_same_keypoints(monkeypatch, checkpoint, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    calls = converted(monkeypatch)
    image, boxes = people()
    first = load_vitpose(checkpoint, tmp_path, engine="openvino").estimate([image], [boxes])[0]
    monkeypatch.setattr(build_torch, "load_network", None)  # the torch network must not be loaded either
    second = load_vitpose(checkpoint, tmp_path, engine="openvino").estimate([image], [boxes])[0]
    assert len(calls) == 1
    np.testing.assert_array_equal(first, second)
    assert caplog.text.count("converting") == 1


def test_every_checkpoint_and_input_size_is_converted_once(monkeypatch, checkpoint, tmp_path):
    calls = converted(monkeypatch)
    other = save_checkpoint(tmp_path / "other", **KINDS["simple"])
    for folder, size in ((checkpoint, None), (other, None), (checkpoint, "192x144"), (checkpoint, "192x144")):
        load_vitpose(folder, tmp_path / "cache", engine="openvino", input_size=size)
    assert len(calls) == 3


DAMAGES = [
    lambda folder: (folder / "network.xml").write_text("nonsense"),  # not a network
    lambda folder: (folder / "network.bin").write_bytes(b""),  # no weights
    lambda folder: (folder / "expected.npy").write_bytes(b"x"),  # the self-test's reference is not an array
    lambda folder: (folder / "expected.npy").write_bytes(b""),  # the reference is empty, as after a power cut
    lambda folder: (folder / "expected.npy").write_bytes(b"PK\x03\x04"),  # the reference looks like a zip file
    lambda folder: np.save(folder / "expected.npy", np.zeros((1, 3, 8, 6), np.float32)),  # of another network
    lambda folder: (folder / "about.json").unlink(),  # it is not known what the network is
    lambda folder: (folder / "about.json").write_text('{"format": 1, "kind": "vitpose", "skeleton": {}}'),
    lambda folder: (folder / "about.json").write_text('{"format": 2, "kind": "vitpose"}'),  # of a later version
    lambda folder: (folder / "about.json").write_text("[" * 10_000),  # JSON that can't be read
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_rebuilt(monkeypatch, checkpoint, cache, untested, damage):
    [network] = {read.model for read in map(building._read, networks_in(cache)) if read.about["precision"] == "fp32"}
    monkeypatch.setattr(openvino, "convert", lambda *args: network)  # takes a second otherwise
    for folder in networks_in(untested):
        damage(folder)
    calls = converted(monkeypatch)
    load_vitpose(checkpoint, untested, engine="openvino").warm_up()
    assert len(calls) == 1


def networks_in(cache):
    """The folders of the converted networks."""
    return [path for path in cache.iterdir() if path.is_dir()]


def test_converting_prints_nothing(checkpoint, tmp_path, capfd):
    load_vitpose(checkpoint, tmp_path, engine="openvino").warm_up()
    assert capfd.readouterr().out == ""


def test_int8_without_its_extra_is_an_error_that_names_the_extra(monkeypatch, checkpoint, tmp_path):
    def missing(*args):
        raise ModuleNotFoundError("No module named 'nncf'", name="nncf")

    monkeypatch.setattr(openvino, "quantize", missing)
    monkeypatch.setattr(openvino, "native_precisions", lambda: ["fp32", "int8"])
    with pytest.raises(ConfigError, match=r"realtime-pose\[int8\]"):
        load_vitpose(checkpoint, tmp_path, engine="openvino", precision="int8")


def test_openvinos_telemetry_is_off(checkpoint, cache):
    import sys

    load_vitpose(checkpoint, cache, engine="openvino")
    assert sys.modules["openvino_telemetry"] is None


# ---- a checkpoint that is replaced while it is in use


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the mapped files of a process are not known here")
@pytest.mark.parametrize("engine", ["torch", "openvino"])
@pytest.mark.parametrize("suffix", ["", ".pth", ".safetensors"])
def test_a_running_engine_does_not_need_its_checkpoint(tmp_path, engine, suffix):
    path = tmp_path / f"vitpose-s-coco{suffix}"
    if suffix == ".pth":
        torch.save(original(), path)
    elif suffix:
        save_file(original(), path)
    else:
        save_checkpoint(path)
    vitpose = load_vitpose(path, tmp_path / "cache", engine=engine)
    vitpose.warm_up()
    gc.collect()
    # A mapped file that gets shorter ends the process with SIGBUS.
    assert str(path) not in Path("/proc/self/maps").read_text()
