"""Who may import whom: topics know earlier topics only, and many need NumPy alone."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rlcourse

PACKAGE = Path(rlcourse.__file__).parent
ROOMS = ("tabular", "deep", "language", "alignment", "systems")
TOPICS = re.findall(
    r"file: book/(\w+)/(\w+)", (PACKAGE.parents[1] / "_toc.yml").read_text(encoding="utf-8")
)
BEHIND = {  # helpers that build on a topic of their room, and stand right behind it, in this order
    ("language", "checkpoints"): ("language", "transformer"),
    ("language", "beam"): ("language", "decoding"),
    ("alignment", "packing"): ("alignment", "data"),
    ("alignment", "templates"): ("alignment", "data"),
    ("alignment", "datasets"): ("alignment", "data"),
    ("alignment", "loader"): ("alignment", "data"),
    ("alignment", "sft"): ("alignment", "data"),
    ("alignment", "descent"): ("alignment", "data"),
    ("alignment", "columns"): ("alignment", "data"),
    ("alignment", "aggregation"): ("alignment", "data"),
    ("alignment", "actor"): ("alignment", "data"),
    ("alignment", "critic"): ("alignment", "data"),
    ("alignment", "sloppy_teacher"): ("alignment", "data"),
    ("alignment", "optimum"): ("alignment", "data"),
    ("alignment", "reward_network"): ("alignment", "reward_model"),
    ("alignment", "preference_training"): ("alignment", "dpo"),
    ("alignment", "kl_gradients"): ("alignment", "ppo_rlhf"),
    ("alignment", "policy_step"): ("alignment", "ppo_rlhf"),
    ("alignment", "trainer"): ("alignment", "ppo_rlhf"),
    ("alignment", "rl_checkpoints"): ("alignment", "ppo_rlhf"),
    ("systems", "model_configs"): ("systems", "zero"),
    ("systems", "parameter_shapes"): ("systems", "zero"),
    ("systems", "parameter_counts"): ("systems", "zero"),
    ("systems", "communication"): ("systems", "zero"),
    ("systems", "flat_unit"): ("systems", "zero"),
    ("systems", "parallel_training"): ("systems", "zero"),
    ("systems", "data_parallel"): ("systems", "zero"),
    ("systems", "memory_counter"): ("systems", "zero"),
    ("systems", "saved_tensors"): ("systems", "zero"),
    ("systems", "activations"): ("systems", "zero"),
    ("systems", "decoder_activations"): ("systems", "zero"),
    ("systems", "memory_timeline"): ("systems", "zero"),
    ("systems", "operation_memory"): ("systems", "zero"),
    ("systems", "decoder_memory"): ("systems", "zero"),
    ("systems", "unit_memory"): ("systems", "zero"),
    ("systems", "training_memory"): ("systems", "zero"),
    ("systems", "memory_advice"): ("systems", "zero"),
    ("systems", "measured_step"): ("systems", "zero"),
    ("systems", "peer_activations"): ("systems", "zero"),
    ("systems", "rlhf_memory"): ("systems", "zero"),
    ("systems", "checkpoint_schedules"): ("systems", "checkpointing"),
    ("systems", "optimal_checkpoints"): ("systems", "checkpointing"),
    ("systems", "recompute"): ("systems", "checkpointing"),
}
MODULES = sorted(path for room in ROOMS for path in (PACKAGE / room).glob("*.py"))


def imported(path: Path) -> set[str]:
    """The modules of this package that a source file names, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.name} imports relatively"
            # `from a import b` names the module a.b, or the name b of the module a
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if is_module(name) else str(node.module) for name in whole}
    return {name for name in names if name.split(".")[0] == "rlcourse"}


def is_module(name: str) -> bool:
    return name.startswith("rlcourse.") and (
        PACKAGE.parent.joinpath(*name.split(".")).with_suffix(".py").exists()
        or PACKAGE.parent.joinpath(*name.split(".")).is_dir()
    )


def complaint(room: str, topic: str, target: str) -> str | None:
    """Why a module of a room may not import a target; None where it may."""
    _, *parts = target.split(".")
    if parts == ["_check"]:
        return None
    if not parts or parts[0] not in ROOMS:
        return f"{target} is a corridor"
    if ROOMS.index(parts[0]) > ROOMS.index(room):
        return f"{target} lies in a later room"
    place: dict[tuple[str, str], float] = {found: i for i, found in enumerate(TOPICS)}
    for i, (helper, base) in enumerate(BEHIND.items(), start=1):
        place[helper] = place[base] + i / (len(BEHIND) + 1)
    here, there = (room, topic), (parts[0], parts[-1])
    if parts[0] == room and there in place and place[there] >= place.get(here, 0):
        return f"{target} is no earlier topic"
    return None


@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_topic_imports_earlier_topics_and_the_checks_only(path: Path) -> None:
    complaints = {complaint(path.parent.name, path.stem, target) for target in imported(path)}
    assert complaints <= {None}


def test_the_rule_knows_what_it_forbids() -> None:
    assert TOPICS[0] == ("tabular", "gridworld")
    assert complaint("tabular", "gridworld", "rlcourse.tabular.mdp") is None
    assert complaint("deep", "dqn", "rlcourse.tabular.gridworld") is None
    assert complaint("tabular", "gridworld", "rlcourse._check") is None
    assert "corridor" in str(complaint("tabular", "gridworld", "rlcourse.plot"))
    assert "corridor" in str(complaint("tabular", "gridworld", "rlcourse"))
    assert "later room" in str(complaint("tabular", "gridworld", "rlcourse.deep.dqn"))
    assert complaint("language", "checkpoints", "rlcourse.language.transformer") is None
    assert "earlier" in str(complaint("language", "transformer", "rlcourse.language.checkpoints"))
    assert "earlier" in str(complaint("language", "checkpoints", "rlcourse.language.decoding"))
    assert complaint("alignment", "sft", "rlcourse.alignment.packing") is None
    assert "earlier" in str(complaint("alignment", "packing", "rlcourse.alignment.sft"))
    # any other helper comes before its room's first topic
    assert "earlier" in str(complaint("tabular", "mdp", "rlcourse.tabular.gridworld"))
    assert "earlier" in str(complaint("tabular", "gridworld", "rlcourse.tabular.gridworld"))


def test_the_rule_sees_every_kind_of_import(tmp_path: Path) -> None:
    path = tmp_path / "example.py"
    path.write_text(
        "import numpy\nimport rlcourse.plot\nfrom rlcourse import gym\n"
        "def f():\n    from rlcourse.tabular.mdp import MDP\n",
        encoding="utf-8",
    )
    assert imported(path) == {"rlcourse.plot", "rlcourse.gym", "rlcourse.tabular.mdp"}


SYSTEMS = (
    "activations",
    "attention_tiles",
    "checkpoint_schedules",
    "checkpointing",
    "communication",
    "decoder_activations",
    "flash_attention",
    "low_precision",
    "model_configs",
    "online_softmax",
    "optimal_checkpoints",
    "parameter_counts",
    "parameter_shapes",
    "rlhf_memory",
    "slow_memory",
    "zero",
)
DEEP = (
    "actor_critic",
    "advantages",
    "cartpole",
    "classic_control",
    "counterexamples",
    "enumeration",
    "environments",
    "features",
    "function_approximation",
    "generalized_advantage",
    "lean_ppo",
    "gae_moments",
    "generalized_advantage",
    "least_squares",
    "linear_learning",
    "linear_td",
    "long_walk",
    "mean_updates",
    "objectives",
    "policies",
    "policy_gradient",
    "policy_worlds",
    "ppo_gradients",
    "progress",
    "regulator",
    "reinforce",
    "rollouts",
    "scaled",
    "trust_region",
)
NUMPY_ALONE = [
    "rlcourse.tabular",
    *(
        f"rlcourse.{path.parent.name}.{path.stem}"
        for path in MODULES
        if (path.parent.name == "tabular" and path.stem != "__init__")
        or (path.parent.name == "systems" and path.stem in SYSTEMS)
        or (path.parent.name == "deep" and path.stem in DEEP)
    ),
]


@pytest.mark.parametrize("name", NUMPY_ALONE)
def test_what_says_so_loads_numpy_alone(name: str) -> None:
    """In a fresh interpreter, since this one has imported everything."""
    listing = "import json, sys; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    numpy, ours = (
        set(json.loads(subprocess.check_output([sys.executable, "-c", f"{code}; {listing}"])))
        for code in ("import numpy.random", f"import {name}")
    )
    assert ours - numpy - sys.stdlib_module_names == {"rlcourse"}
