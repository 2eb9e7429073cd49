"""The exercises of the course: checks, misconceptions, controls and hints, one module a topic.

`ROOMS` is the reading order of the book; a topic that is not built yet has no module.
"""

ROOMS = {
    "tabular": "bandits gridworld dynamic_programming monte_carlo stochastic_approximation "
    "temporal_difference eligibility_traces planning",
    "deep": "function_approximation dqn policy_gradient actor_critic ppo continuous_control",
    "language": "recurrent transformer positions experts decoding qwen vision",
    "alignment": "data reward_model dpo ppo_rlhf grpo credit_assignment agent_loop",
    "systems": "online_softmax flash_attention row_kernel zero checkpointing kv_cache parallelism "
    "hybridflow",
}
