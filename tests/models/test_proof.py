import logging

import pytest

from realtime.config import DetectorConfig, PoseConfig
from realtime.errors import EngineError, ModelError
from realtime.models.choice import EXACT, Choice
from realtime.models.proof import Verdict, proven

OPENVINO, HALF = Choice("openvino", "bf16"), Choice("torch", "fp16")
OPENVINO_EXACT = Choice("openvino", "fp32")


def built_where(*passes, unbuildable=()):
    """A builder whose networks pass their test on these choices only, and the list of the choices that it tried."""
    tried = []

    def build_and_test(choice):
        tried.append(choice)
        if choice.engine in unbuildable:
            raise EngineError("it lacks a layer")
        return str(choice), Verdict(choice in passes, "it deviates by 0.9")

    return build_and_test, tried


FALLBACKS = [
    # choice, engine, precision, the choices that pass, the choices that are tried
    (OPENVINO, "auto", "auto", {OPENVINO}, [OPENVINO]),
    (OPENVINO, "auto", "auto", {OPENVINO_EXACT}, [OPENVINO, OPENVINO_EXACT]),
    (OPENVINO, "auto", "auto", {EXACT}, [OPENVINO, OPENVINO_EXACT, EXACT]),
    (OPENVINO, "openvino", "auto", {OPENVINO_EXACT}, [OPENVINO, OPENVINO_EXACT]),  # keeps the engine
    (OPENVINO_EXACT, "auto", "fp32", {EXACT}, [OPENVINO_EXACT, EXACT]),  # keeps the precision
    (HALF, "auto", "auto", {EXACT}, [HALF, EXACT]),  # a GPU
]


@pytest.mark.parametrize(("choice", "engine", "precision", "passes", "expected"), FALLBACKS)
def test_only_what_auto_chose_is_replaced(choice, engine, precision, passes, expected):
    build_and_test, tried = built_where(*passes)
    config = DetectorConfig(engine=engine, precision=precision)
    assert proven("detector", choice, config, build_and_test) == str(expected[-1])
    assert tried == expected


STOPS = [
    # choice, engine, precision
    (OPENVINO, "auto", "bf16"),  # bf16 was asked for, and a fallback is in fp32
    (OPENVINO, "openvino", "auto"),
    (OPENVINO, "openvino", "bf16"),
    (EXACT, "torch", "fp32"),
    (EXACT, "auto", "auto"),
]


@pytest.mark.parametrize(("choice", "engine", "precision"), STOPS)
def test_without_a_fallback_the_run_stops(choice, engine, precision):
    build_and_test, _ = built_where()
    with pytest.raises(ModelError, match=r"detector: the self-test of .* failed: it deviates by 0.9; try "):
        proven("detector", choice, DetectorConfig(engine=engine, precision=precision), build_and_test)


def test_a_pose_network_that_failed_runs_if_the_user_chose_warn(caplog):
    build_and_test, _ = built_where()
    config = PoseConfig(engine="openvino", precision="bf16", self_test="warn")
    assert proven("pose", OPENVINO, config, build_and_test) == "openvino bf16"
    assert "pose: the self-test of openvino bf16 failed: it deviates by 0.9; running it anyway" in caplog.text


def test_an_engine_that_cannot_run_a_network_is_not_tried_in_another_precision(caplog):
    build_and_test, tried = built_where(EXACT, unbuildable=("openvino",))
    assert proven("pose", OPENVINO, PoseConfig(), build_and_test) == "torch fp32"
    assert tried == [OPENVINO, EXACT]
    assert "openvino bf16 can't be used: it lacks a layer; using torch fp32 instead" in caplog.text


def test_a_network_that_could_not_be_built_never_runs():
    build_and_test, _ = built_where(unbuildable=("openvino",))
    config = PoseConfig(engine="openvino", precision="bf16", self_test="warn")
    with pytest.raises(ModelError, match=r"pose: openvino bf16 can't be used: it lacks a layer; try --pose.eng"):
        proven("pose", OPENVINO, config, build_and_test)


@pytest.mark.parametrize(("engine", "says"), [("auto", "auto chose"), ("openvino", "runs on")])
def test_the_log_tells_a_choice_of_auto_from_one_of_the_user(engine, says, caplog):
    caplog.set_level(logging.INFO)
    build_and_test, _ = built_where(OPENVINO)
    proven("pose", OPENVINO, PoseConfig(engine=engine, precision="bf16"), build_and_test)
    assert f"pose: {says} openvino bf16 (self-test: it deviates by 0.9)" in caplog.text
