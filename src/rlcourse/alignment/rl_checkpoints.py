"""A run of reinforcement learning in one safetensors file, to go on from bit for bit."""

import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from rlcourse.alignment.policy_step import Run


def tensors_of(run: Run) -> dict[str, Tensor]:
    """All tensors of a run by name: weights, AdamW's moments, the generator's state."""
    learners = {"policy": run.policy, **({"critic": run.critic} if run.critic else {})}
    found = {"generator": run.generator.get_state()}
    for (name, learner), optimiser in zip(learners.items(), run.optimisers, strict=True):
        found |= {f"{name}.{key}": x for key, x in learner.state_dict().items()}
        for i, state in optimiser.state_dict()["state"].items():
            found |= {f"{name}.optimiser.{i}.{key}": x for key, x in state.items()}
    return found


def save(run: Run, path: str | Path) -> None:
    """Write a run to a file; the reference, which doesn't change, isn't in it."""
    about = {"step": run.step, "beta": run.beta, "history": run.history}
    copies = {name: x.detach().clone() for name, x in tensors_of(run).items()}
    save_file(copies, path, {"run": json.dumps(about)})


def resume(run: Run, path: str | Path) -> Run:
    """Put a run, begun alike, where `save` found another.

    Raises ValueError for a file of another kind of run.
    """
    with safe_open(path, "pt") as file:
        about = json.loads((file.metadata() or {}).get("run", "null"))
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if about is None:
        raise ValueError(f"path must be a file that `save` wrote, got {path}")
    learners = {"policy": run.policy, **({"critic": run.critic} if run.critic else {})}
    for (name, learner), optimiser in zip(learners.items(), run.optimisers, strict=True):
        own = {k.removeprefix(f"{name}."): x for k, x in found.items() if k.startswith(f"{name}.")}
        moments: dict[int, dict[str, Tensor]] = {}
        for key in [key for key in own if key.startswith("optimiser.")]:
            _, place, part = key.split(".")
            moments.setdefault(int(place), {})[part] = own.pop(key)
        if own.keys() != learner.state_dict().keys():
            raise ValueError(f"path must hold the weights of this {name}, got {path}")
        learner.load_state_dict(own)
        optimiser.load_state_dict(optimiser.state_dict() | {"state": moments})
    run.generator.set_state(found["generator"])
    run.step, run.beta, run.history = about["step"], about["beta"], about["history"]
    return run
