import logging

import pytest

from realtime.config import DetectorConfig, PoseConfig
from realtime.errors import EngineError, ModelError
from realtime.models import proof
from realtime.models.choice import EXACT, Choice
from realtime.models.proof import Verdict, proven, remembered

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


# ---- remembered verdicts


def counted(passed=True):
    """A test of a network, and the list of its runs."""
    runs = []
    return lambda: (runs.append(1), Verdict(passed, "it deviates by 0.01"))[1], runs


def test_a_passed_test_is_not_repeated_and_the_log_says_so(tmp_path, caplog):
    test, runs = counted()
    verdicts = [remembered(tmp_path, "network", OPENVINO, [], test) for _ in range(2)]
    assert len(runs) == 1
    assert verdicts[0] == Verdict(True, "it deviates by 0.01")
    assert (verdicts[1].passed, verdicts[1].finding) == (True, "it deviates by 0.01")
    with caplog.at_level(logging.INFO):
        proven("pose", OPENVINO, PoseConfig(), lambda choice: ("network", verdicts[1]))
    assert caplog.messages == [
        f"pose: auto chose openvino bf16 (self-test on {verdicts[1].day}, not repeated: it deviates by 0.01)"
    ]


def test_a_failed_test_is_repeated(tmp_path):
    test, runs = counted(passed=False)
    assert [remembered(tmp_path, "network", OPENVINO, [], test).passed for _ in range(2)] == [False, False]
    assert len(runs) == 2


def test_another_network_engine_processor_or_source_is_tested_again(tmp_path, monkeypatch):
    test, runs = counted()
    source = tmp_path / "source.py"
    source.write_text("1")

    def start(identity="network", choice=OPENVINO):
        remembered(tmp_path / "cache", identity, choice, [source], test)
        return len(runs)

    assert [start(), start(), start("other"), start(choice=OPENVINO_EXACT)] == [1, 1, 2, 3]
    source.write_text("2")
    assert [start(), start()] == [4, 4]
    monkeypatch.setattr(proof, "kind_of_processor", lambda: "another one")
    assert [start(), start()] == [5, 5]


def test_the_test_of_a_network_that_is_in_memory_only_is_not_remembered(tmp_path):
    test, runs = counted()
    for _ in range(2):
        remembered(tmp_path, "", OPENVINO, [], test)
    assert len(runs) == 2
    assert list(tmp_path.iterdir()) == []
