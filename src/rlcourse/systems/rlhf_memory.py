"""RLHF's budget: five models on one card take turns, and what isn't at work need not be there.

    owner       what it keeps                                works at
    actor       weights, master weights, moments; trained    log-probabilities, actor step
    reference   weights                                      reference log-probabilities
    critic      as the actor; GRPO has none                  values, critic step
    reward      weights; none where a rule gives rewards     rewards
    engine      the actor's weights and the KV cache         rollout

A pool is a number of ranks with the owners that live on them. Colocated: one pool holds all.
Apart: a pool for each, or for some. Trained and frozen models are cut over their pool's ranks as
ZeRO's stage says (eq-zero-states); the engine's are cut over its tensor-parallel ranks.

    at work, or idle and not offloaded   all that it keeps; gradients too during its own step
    idle and offloaded                   nothing: an engine sleeps, a model waits in host memory
    at work without a step, offloaded    weights alone

Left out: the hand-over of new weights from actor to engine, activations (add them as `working`),
CUDA graphs, the caching allocator's slack.
Sources: Sheng et al. (2024), HybridFlow, sections 5 and 6, for placement and shared weights; verl's
`param_offload`, `optimizer_offload` and `free_cache_engine`, OpenRLHF's `colocate_all_models`,
`vllm_enable_sleep` and `deepspeed_enable_sleep`; vLLM's sleep mode.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from rlcourse._check import positive_integer
from rlcourse.systems.model_configs import Config, size
from rlcourse.systems.parameter_counts import count, kv_per_token
from rlcourse.systems.zero import RECIPES, Recipe, States, states

MOMENTS = {
    "rollout": "engine",
    "log-probabilities": "actor",
    "reference log-probabilities": "reference",
    "values": "critic",
    "rewards": "reward",
    "critic step": "critic",
    "actor step": "actor",
}
"""The moments of an iteration, in their order, and who is at work."""
MODELS = ("actor", "reference", "critic", "reward")
ENGINE_WEIGHT = 2  # bytes: engines run in 16 bits


class Rlhf(NamedTuple):
    """Who takes part and how.

    parameters       by model; "actor" must be there, the others may be missing
    kv_per_token     bytes of keys and values of one token, all layers
    cached_tokens    tokens that the cache of one engine has room for
    tensor_parallel  ranks of one engine
    recipe, stage    of the trained; the frozen keep recipe.weights bytes per parameter
    offload          owners that leave the card while they are idle
    shared           the engine reads the actor's own share of the weights and adds only the rest
    working          moment -> bytes of activations and logits of whoever works
    """

    parameters: Mapping[str, int]
    kv_per_token: int
    cached_tokens: int
    tensor_parallel: int = 1
    recipe: Recipe = RECIPES["bf16 Adam"]
    stage: int = 3
    offload: Collection[str] = ()
    shared: bool = False
    working: Mapping[str, int] = {}

    @property
    def owners(self) -> tuple[str, ...]:
        """Those that take part, the engine last."""
        return *(m for m in MODELS if m in self.parameters), "engine"


def rlhf(
    config: Config, cached_tokens: int, models: Collection[str] = MODELS, **options: Any
) -> Rlhf:
    """All models of one size, from a config.json; options: the other fields of `Rlhf`.

    Critic and reward model have a head of C numbers, without bias, in place of the C · V of the
    language model's. models: those that take part. Errors: `parameter_counts.count`'s.
    """
    counts = count(config)
    scalar = counts.total - counts.head + size(config, "hidden_size")
    sizes = {m: scalar if m in ("critic", "reward") else counts.total for m in models}
    return Rlhf(sizes, kv_per_token(config), cached_tokens, **options)


def bytes_by_moment(
    plan: Rlhf, ranks: int, owners: Collection[str] | None = None
) -> dict[str, dict[str, int]]:
    """moment -> owner -> bytes on one rank of a pool with these owners, all if None.

    Moments at which nobody of this pool works are there too: they show what lies idle. "working"
    is the owner of activations. ValueError for an unknown owner or moment, an engine that doesn't
    fill its ranks, or shared weights where actor and engine are apart or differ in type.
    """
    pool = _checked(plan, ranks, plan.owners if owners is None else owners)
    return {
        moment: _at(plan, ranks, pool, moment)
        for moment, worker in MOMENTS.items()
        if worker in plan.owners
    }


def peak(
    plan: Rlhf, ranks: int, owners: Collection[str] | None = None
) -> tuple[str, dict[str, int]]:
    """The moment at which a rank of the pool holds most, and what by owner; the first of equals."""
    moments = bytes_by_moment(plan, ranks, owners)
    name = max(moments, key=lambda moment: sum(moments[moment].values()))
    return name, moments[name]


def _at(plan: Rlhf, ranks: int, pool: Collection[str], moment: str) -> dict[str, int]:
    held = {owner: _holds(plan, ranks, owner, moment) for owner in plan.owners if owner in pool}
    if plan.shared:  # where one of the two is away, nothing is saved
        weights = _states(plan, ranks, "actor").weights, _engine_weights(plan)
        held["engine"] -= min(*weights, held["actor"], held["engine"])
    if MOMENTS[moment] in pool and moment in plan.working:
        held["working"] = plan.working[moment]
    return held


def _holds(plan: Rlhf, ranks: int, owner: str, moment: str) -> int:
    """Bytes of one owner, as the module's second table says."""
    at_work = MOMENTS[moment] == owner
    if owner in plan.offload and not at_work:
        return 0
    if owner == "engine":
        cache = plan.cached_tokens * plan.kv_per_token
        return _engine_weights(plan) + -(-cache // plan.tensor_parallel)
    kept = _states(plan, ranks, owner)
    if at_work and moment.endswith("step"):
        return kept.total
    return kept.weights if owner in plan.offload else kept.total - kept.gradients


def _states(plan: Rlhf, ranks: int, model: str) -> States:
    shape = [(plan.parameters[model],)]
    trained, frozen = (shape, []) if model in ("actor", "critic") else ([], shape)
    return states(trained, plan.recipe, ranks, plan.stage, frozen=frozen)[0]


def _engine_weights(plan: Rlhf) -> int:
    return ENGINE_WEIGHT * -(-plan.parameters["actor"] // plan.tensor_parallel)


def _checked(plan: Rlhf, ranks: int, owners: Collection[str]) -> Collection[str]:
    """The owners; ValueError for a plan or a pool that can't be."""
    if "actor" not in plan.parameters:
        raise ValueError(f"parameters must have an actor, got {', '.join(plan.parameters)}")
    _known("parameters", plan.parameters, MODELS)
    _known("offload", plan.offload, plan.owners)
    _known("working", plan.working, MOMENTS)
    _known("owners", owners, plan.owners)
    for name in ("kv_per_token", "cached_tokens", "tensor_parallel"):
        positive_integer(name, getattr(plan, name))
    if "engine" in owners and positive_integer("ranks", ranks) % plan.tensor_parallel:
        expected = f"a multiple of tensor_parallel = {plan.tensor_parallel}"
        raise ValueError(f"ranks must be {expected} where the engine is, got {ranks}")
    if plan.shared and not {"actor", "engine"} <= set(owners):
        raise ValueError(f"shared needs actor and engine in one pool, got {', '.join(owners)}")
    if plan.shared and plan.recipe.weights != ENGINE_WEIGHT:
        found = f"got recipe.weights = {plan.recipe.weights}"
        raise ValueError(f"shared needs weights of {ENGINE_WEIGHT} bytes, {found}")
    return owners


def _known(name: str, words: Collection[str], known: Collection[str]) -> None:
    for word in words:
        if word not in known:
            raise ValueError(f"{name} must be among {', '.join(known)}, got {word!r}")
