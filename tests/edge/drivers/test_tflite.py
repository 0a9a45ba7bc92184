from __future__ import annotations

import numpy as np
import pytest

from edge import drivers
from edge.drivers.table import RUNTIMES
from edge.drivers.tflite import TFLiteInterpreter
from edge.errors import BundleError, RuntimeMissingError
from edge.inference.bundle import Bundle
from tests.edge.parts import ROOT


def test_a_real_model_runs_and_states_its_tensors(classifier_bundle: Bundle) -> None:
    interpreter = drivers.open_interpreter(classifier_bundle.flatbuffer, threads=1)
    wanted = classifier_bundle.contract.input
    assert interpreter.input.shape == (1, wanted.height, wanted.width, 3)
    name, version = interpreter.runtime.split(" ")
    assert name in RUNTIMES
    assert version[0].isdigit()
    (out,) = interpreter.run(np.zeros(interpreter.input.shape, interpreter.input.dtype))
    assert (out.shape, out.dtype) == interpreter.outputs[0][1:3]


def test_answers_are_copies_that_the_next_run_leaves_alone(classifier_bundle: Bundle) -> None:
    interpreter = drivers.open_interpreter(classifier_bundle.flatbuffer)
    black = np.zeros(interpreter.input.shape, interpreter.input.dtype)
    (first,) = interpreter.run(black)
    kept = first.copy()
    interpreter.run(black + np.array(100, interpreter.input.dtype))
    np.testing.assert_array_equal(first, kept)


def test_bytes_that_are_no_model_are_refused_in_one_line() -> None:
    with pytest.raises(BundleError, match="cannot run this model") as caught:
        TFLiteInterpreter(b"\x1c\0\0\0TFL3" + bytes(100))
    assert "\n" not in str(caught.value)


def test_a_missing_runtime_is_reported_with_the_fix() -> None:
    try:
        import tflite_runtime  # noqa: F401
    except ImportError:
        with pytest.raises(RuntimeMissingError, match=r"no TFLite runtime on this machine \(tflite-runtime: .*install"):
            TFLiteInterpreter(b"", runtime="tflite-runtime")
    else:
        pytest.skip("tflite-runtime is here")


def test_a_tensor_whose_name_is_no_text_is_refused() -> None:
    """Found by the fuzzer: the runtime's binding raises UnicodeDecodeError, after the model has been loaded."""
    whole = (ROOT / "tests/edge/hostile_models/tiny.tflite").read_bytes()
    named = whole.replace(b"StatefulPartitionedCall_1:0", b"StatefulPartitionedCal\xff_1:0")
    assert named != whole
    with pytest.raises(BundleError, match="cannot run this model"):
        TFLiteInterpreter(named)
