"""The operators in PyTorch beside the answers of MMCV's compiled ones, forward and every gradient."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support import operator_cases
from tests.support.operator_cases import CASES
from tests.support.operators_in_torch import operators_in_torch

VALUES = np.load(Path(__file__).with_name("compiled.npz"))


@pytest.fixture(autouse=True)
def _ours():
    with operators_in_torch():
        yield


@pytest.fixture(params=["one thread", "two threads", "deterministic"])
def setting(request):
    """How torch is set up."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2 if request.param == "two threads" else 1)
    torch.use_deterministic_algorithms(request.param == "deterministic")
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


def test_there_are_values_for_every_case():
    assert {key.partition("/")[0] for key in VALUES} == set(CASES)


def assert_compiled(case: str, answer: dict) -> None:
    assert {f"{case}/{name}" for name in answer} == {key for key in VALUES if key.partition("/")[0] == case}
    for name, value in answer.items():
        expected = VALUES[f"{case}/{name}"]
        assert value.shape == expected.shape
        assert value.dtype == expected.dtype
        if value.dtype.kind == "i":
            assert (value == expected).all(), name
        else:
            scale = min(np.abs(expected).max(), 100)
            np.testing.assert_allclose(value, expected, rtol=2e-6, atol=2e-6 * scale, err_msg=name)


@pytest.mark.parametrize("case", CASES)
def test_equals_the_compiled_operator(case, setting):
    assert_compiled(case, CASES[case]())


@pytest.mark.gpu
@pytest.mark.parametrize("case", CASES)
def test_equals_the_compiled_operator_on_a_gpu(case, monkeypatch):
    monkeypatch.setattr(operator_cases, "DEVICE", "cuda")
    assert_compiled(case, CASES[case]())


@pytest.mark.parametrize("case", CASES)
def test_repeats_to_the_bit(case, setting):
    first, second = CASES[case](), CASES[case]()
    for name, value in first.items():
        assert value.tobytes() == second[name].tobytes(), name
