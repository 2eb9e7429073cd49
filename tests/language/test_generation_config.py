"""Layers of settings: the caller's, the file's, the defaults."""

import pytest

from rlcourse.language.generation_config import sampling_of
from rlcourse.language.sampling import Sampling

QWEN = {
    "do_sample": True, "temperature": 0.7, "top_k": 20, "top_p": 0.8, "repetition_penalty": 1.05,
    "eos_token_id": [151645, 151643], "pad_token_id": 151643,
}  # fmt: skip


def test_what_nobody_sets_is_a_default_of_which_one_cuts():
    assert sampling_of({"do_sample": True}, {}) == Sampling(1.0, top_k=50)
    assert sampling_of({}, {}) == Sampling(0.0)


def test_the_file_fills_in_what_the_caller_left_open():
    asked = {"do_sample": True, "temperature": 1.0, "top_p": 1.0, "top_k": 0}
    assert sampling_of(asked, {}) == Sampling(1.0)
    assert sampling_of(asked, QWEN) == Sampling(1.0, repetition_penalty=1.05)
    assert sampling_of({**asked, "repetition_penalty": 1.0}, QWEN) == Sampling(1.0)


def test_none_is_not_set():
    assert sampling_of({"temperature": None, "top_k": None}, QWEN).top_k == 20


def test_greedy_keeps_the_penalty_and_nothing_else():
    assert sampling_of({"do_sample": False}, QWEN) == Sampling(0.0, repetition_penalty=1.05)


def test_a_misspelt_setting_is_refused():
    with pytest.raises(ValueError, match=r"asked must hold keys of .* got \['temprature'\]"):
        sampling_of({"temprature": 1.0}, {})
