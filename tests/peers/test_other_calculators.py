"""accelerate's own estimate against the formula that our table shows for it."""

import pytest

pytestmark = pytest.mark.peers
accelerate = pytest.importorskip("accelerate")
transformers = pytest.importorskip("transformers")

from accelerate.commands.estimate import estimate_training_usage  # noqa: E402
from accelerate.utils import calculate_maximum_sizes  # noqa: E402

from rlcourse.figures.systems import calculator_formulas as cf  # noqa: E402
from rlcourse.systems.parameter_counts import MODELS  # noqa: E402


def built(name):
    """As `accelerate estimate-memory` builds it, on the device "meta" and in float32."""
    config = transformers.AutoConfig.for_model(**MODELS[name])
    with accelerate.init_empty_weights():
        return transformers.AutoModel.from_config(config)


@pytest.mark.parametrize("name", ["Llama-2-7B", "Qwen2.5-0.5B", "gpt2"])
def test_the_model_is_built_without_a_head_of_its_own(name):
    model = built(name)
    total, _ = calculate_maximum_sizes(model)
    buffers = sum(b.numel() * b.element_size() for b in model.buffers())
    assert total - buffers == cf.accelerate_model(name)
    assert buffers < 1e-3 * total


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_training_is_the_largest_of_its_four_moments(dtype):
    for size in (4, 1000, 4 * 6_738_415_616):
        assert cf.accelerate_adam(size, dtype) == max(estimate_training_usage(size, dtype).values())
