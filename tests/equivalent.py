"""What the quality gate found and a person let pass, each with the reason.

EQUIVALENT  exercise -> mutant, as the gate names it -> why it is no mistake
EXEMPT      exercise -> complaint about square or constant inputs -> why it must stand
ELSEWHERE   module -> why its functions are not mutated when a reference calls them

A line that the gate has no use for any more is refused. `python -m rlcourse.grading.gate`
prints the names to use.
"""

DOUBLE = "float64 is its own wide type; what 16 bits do is tested beside the module"
ON_THE_CPU = "all tensors of the cases lie on one device"
ONE_SHAPE = "s_next has the shape of p"
IN_MEMORY = "only the order in memory, and with it the speed"
ONE_OUTCOME = "with K = 1 the sum over outcomes gives the same, only slower"
SCALE = "the geometric mean takes any common factor out again"
ONE_DTYPE = "0 and 1 are exact in every type of float"
CHECKED = "every policy on the way is one: rows of the identity, or the uniform one"

SWEEPS = {  # of rlcourse.tabular.sweeps, which several references call
    "linear_form: np.einsum('sak,sak->sa', mdp.p, mdp.r)  ->  "
    "np.einsum('sak,sak->sa', mdp.r, mdp.p)": "a product of numbers commutes",
    "linear_form: runs(mdp.s_next)  ->  mdp.s_next": IN_MEMORY,
    "linear_form: runs(w)  ->  w": IN_MEMORY,
    "linear_form: runs(r)  ->  r": IN_MEMORY,
    "under: runs(model.s_next[s, a])  ->  model.s_next[s, a]": IN_MEMORY,
    "under: runs(model.w[s, a])  ->  model.w[s, a]": IN_MEMORY,
    "under: runs(model.r[s, a])  ->  model.r[s, a]": IN_MEMORY,
    "backup: if model.w.shape[-1] == 1:  ->  if False:": ONE_OUTCOME,
    "backup: model.w.shape[-1]  ->  model.w.shape": ONE_OUTCOME,
    "backup: 1  ->  0": ONE_OUTCOME,
    "backup: return np.asarray(model.r + model.w[..., 0] * v[model.s_next[..., 0]])  ->  pass": (
        ONE_OUTCOME
    ),
    "backup: model.w  ->  model.s_next  in  if model.w.shape[-1] == 1:": ONE_SHAPE,
    "backup: 0  ->  -1  in  return np.asarray(model.r + model.w[..., 0] * "
    "v[model.s_next[..., 0]])": "of one outcome, the first is the last",
    "backup: 0  ->  -1  in  return np.asarray(model.r + model.w[..., 0] * "
    "v[model.s_next[..., 0]])  (no. 2)": "of one outcome, the first is the last",
    "backup: np.einsum('...k,...k->...', model.w, v[model.s_next])  ->  "
    "np.einsum('...k,...k->...', v[model.s_next], model.w)": "a product of numbers commutes",
}

SHIFT = {  # of rlcourse.systems.online_softmax, whose max may be that of no keys
    f"shift: 0  ->  {c}": "exp(-inf - c) is 0 for every finite c" for c in (1, -1)
}
FLOATING = SHIFT | {
    "_floats: np.asarray(x)  ->  x": "x is an array; lists are not asked for",
    "_floats: a if a.dtype.kind == 'f' else a.astype(np.float64)  ->  a.astype(np.float64)": (
        "only float16 and float32 differ, which are too coarse for a tolerance of 1e-9"
    ),
}
NUMBERS = FLOATING | {
    f"_floats: {old}  ->  {new}": "numbers of any type compute alike here"
    for old, new in (
        (
            "a if a.dtype.kind == 'f' else a.astype(np.float64)",
            "a.astype(np.float64) if a.dtype.kind == 'f' else a",
        ),
        ("a if a.dtype.kind == 'f' else a.astype(np.float64)", "a"),
        ("a.dtype.kind == 'f'", "a.dtype.kind != 'f'"),
        ("a.astype(np.float64)", "a"),
    )
}
NO_SCORES = "a row of no scores at all, M = 0, is not asked for"
LOG_OF_ZERO = "it only avoids the warning of log 0, which is -inf as well"
SEEN = "in attention every key is seen: a max of -inf comes with M = 0 alone, and no scores"

TILES = {  # of rlcourse.systems.flash_attention, and of the blocks that it walks over
    "blocks: _check.positive_integer('block', block)  ->  pass": (
        "what becomes of a block of 0 is not promised"
    ),
    "blocks: block  ->  size  in  _check.positive_integer('block', block)": (
        "what becomes of a block of 0, or of no rows, is not promised"
    ),
    "blocks: min(start + block, size)  ->  start + block": (
        "NumPy cuts a slice off at the end by itself"
    ),
    "tile_scores: np.tri(len(q), len(k), ahead, bool)  ->  np.tri(len(q), len(k), ahead)": (
        "np.where takes 1.0 for true"
    ),
    "diagonal: int(rows.start + len(k) - len(q) - cols.start)  ->  "
    "rows.start + len(k) - len(q) - cols.start": "an integer either way",
}
EMPTY_SUM = "the first visible score rescales it to 0; a row without one is 0 divided by it"
K_AND_V = "k and v have the same shape"

ON_THE_BOUND = "a ratio that is exactly on the bound is a matter of rounding"
TAKEN = {  # of rlcourse.deep.policy_losses
    "log_prob: 0  ->  -1": "of the one action taken, the first is the last",
}

SYMMETRIC = "the product of two vectors is symmetric"
VALUES = {  # of rlcourse.deep.linear_td
    "td_error: linear_value(phi_next, w)  ->  linear_value(w, phi_next)": SYMMETRIC,
    "td_error: linear_value(phi, w)  ->  linear_value(w, phi)": SYMMETRIC,
}

ONE_LENGTH = "both have a row for each token"
OVERWRITTEN = "every element is overwritten"
UNFOLLOWED = "nothing follows the last token: zeros of any form"
MASKED = "tokens of tools are passed with a mask, and with 0 for their value"
NO_END = "an answer is one episode that nothing ends within: its flags are all 0"
GIVEN = "the mask is always given"
ACROSS_TOOLS = {  # of generalized_advantage and what it calls, as token_advantages does
    "next_values: 0 * v  ->  0 / v": OVERWRITTEN,
    "next_values: 0  ->  1  in  found = 0 * v": OVERWRITTEN,
    "next_values: 0  ->  -1  in  found = 0 * v": OVERWRITTEN,
    "next_values: v  ->  mask  in  found = 0 * v": OVERWRITTEN,
    "next_values: last + 0 * v[0]  ->  last - 0 * v[0]": UNFOLLOWED,
    "next_values: last + 0 * v[0]  ->  last": UNFOLLOWED,
    "next_values: last + 0 * v[0]  ->  0 * v[0]": UNFOLLOWED,
    "next_values: 0 * v[0]  ->  0": UNFOLLOWED,
    "next_values: v  ->  mask  in  follows = last + 0 * v[0]": UNFOLLOWED,
    "next_values: 0  ->  1  in  follows = last + 0 * v[0]  (no. 2)": UNFOLLOWED,
    "next_values: 0  ->  -1  in  follows = last + 0 * v[0]  (no. 2)": UNFOLLOWED,
    "next_values: v  ->  mask  in  for t in reversed(range(len(v))):": ONE_LENGTH,
    "next_values: 1 if mask is None else mask[t]  ->  mask[t]": MASKED,
    "next_values: mask  ->  last  in  counts = 1 if mask is None else mask[t]": MASKED,
    "next_values: 1  ->  2  in  counts = 1 if mask is None else mask[t]": MASKED,
    "next_values: 1  ->  0  in  counts = 1 if mask is None else mask[t]": MASKED,
    "next_values: counts * v[t]  ->  v[t]": MASKED,
    "generalized_advantage: gamma * lam * (1 - terminated) * (1 - truncated)  ->  "
    "gamma * lam * (1 - terminated) / (1 - truncated)": NO_END,
    "generalized_advantage: gamma * lam * (1 - terminated) * (1 - truncated)  ->  "
    "gamma * lam * (1 - terminated)": NO_END,
    "generalized_advantage: gamma * lam * (1 - terminated)  ->  gamma * lam / (1 - terminated)": (
        NO_END
    ),
    "generalized_advantage: gamma * lam * (1 - terminated)  ->  gamma * lam": NO_END,
    "generalized_advantage: 1 - terminated  ->  1 + terminated": NO_END,
    "generalized_advantage: 1 - terminated  ->  1": NO_END,
    "generalized_advantage: 1 - truncated  ->  1 + truncated": NO_END,
    "generalized_advantage: 1 - truncated  ->  1": NO_END,
    "generalized_advantage: truncated  ->  terminated": NO_END,
    "generalized_advantage: decay[t]  ->  decay[t - 1]": NO_END,
    "td_target: gamma * (1 - terminated)  ->  gamma / (1 - terminated)": NO_END,
    "td_target: gamma * (1 - terminated)  ->  gamma": NO_END,
    "td_target: 1 - terminated  ->  1 + terminated": NO_END,
    "td_target: 1 - terminated  ->  1": NO_END,
    "generalized_advantage: 1 if mask is None else mask[t]  ->  mask[t]": GIVEN,
    "generalized_advantage: mask  ->  lam  in  counts = 1 if mask is None else mask[t]": GIVEN,
    "generalized_advantage: 1  ->  2  in  counts = 1 if mask is None else mask[t]": GIVEN,
    "generalized_advantage: 1  ->  0  in  counts = 1 if mask is None else mask[t]": GIVEN,
}
SAME_GROUP = "to be of one group is symmetric"
GROUP_MEANS = {  # of rlcourse.alignment.grpo
    "group_means: rewards  ->  groups  in  if rewards.dim() != 1 or rewards.shape != "
    "groups.shape:": "their shapes are compared next",
    "group_means: 1  ->  0  in  size = member.sum(1)": SAME_GROUP,
    "group_means: groups  ->  rewards  in  if (alone := groups[size == 1]).numel():": (
        "either has as many; only the message names the group"
    ),
}
NONE_TOO = "None is no integer of at least 1 either; only the message is another"
ONE_AXIS = "the tokens that count are taken out of the batch, along one axis"
SAVED_BY_ALL = "every set has it: which saves most stays the same"

EQUIVALENT: dict[str, dict[str, str]] = {
    "tabular.gridworld.iterative_evaluation": {
        "iterative_evaluation: np.zeros  ->  np.ones": (
            "the fixed point does not depend on where the sweeps begin, nor does the bound"
        ),
        "iterative_evaluation: gamma * np.abs(v - before).max() <= (1 - gamma) * tolerance  ->  "
        "gamma * np.abs(v - before).max() < (1 - gamma) * tolerance": (
            "at equality, one sweep more than needed: the error is smaller still"
        ),
        "iterative_evaluation: gamma * np.abs(v - before).max()  ->  np.abs(v - before).max()": (
            "a stricter bound, since gamma < 1: the error is smaller still"
        ),
        "iterative_evaluation: v - before  ->  before - v": "its absolute value is taken",
    },
    "tabular.monte_carlo.completed_returns": {
        "completed_returns: np.zeros  ->  np.ones": "every element is overwritten",
    },
    "tabular.monte_carlo.first_visits": {
        "first_visits: s  ->  alive  in  n_steps, n = s.shape": "both have the same shape",
        "first_visits: s  ->  alive  in  return np.asarray(first.reshape(s.shape) & alive)": (
            "both have the same shape"
        ),
        "first_visits: np.where(alive, s * n + np.arange(n), -1)  ->  s * n + np.arange(n)": (
            "the padding comes last, so it can only mark itself, and the mask takes that out"
        ),
        "first_visits: -1  ->  -2": "any number that is no state's will do",
    },
    "tabular.monte_carlo.epsilon_greedy": {
        "epsilon_greedy: np.asarray(epsilon / n_actions + share * best, dtype=np.float64)  ->  "
        "np.asarray(epsilon / n_actions + share * best)": "of float64 values it is float64 anyway",
    },
    "tabular.monte_carlo.importance_ratios": {
        "importance_ratios: behaviour  ->  pi  in  ratio = np.divide(pi, behaviour, "
        "out=np.zeros(pi.shape), where=behaviour > 0)  (no. 2)": (
            "where pi > 0 the behaviour covers it, and elsewhere the ratio is 0 in both"
        ),
        "_check_covers: np.argwhere(uncovered)[0]  ->  np.argwhere(uncovered)": (
            "only the words of the error change"
        ),
        "_check_covers: 0  ->  -1  in  state, action = np.argwhere(uncovered)[0]": (
            "only the words of the error change: it names another pair"
        ),
    },
    "tabular.monte_carlo.weighted_estimates": {
        "weighted_estimates: g  ->  rho  in  v: Floats = np.divide(total, weight, "
        "out=np.zeros(g.shape), where=weight > 0)": "both have the same shape",
    },
    "tabular.stochastic_approximation.incremental_mean": {
        "incremental_mean: np.zeros_like  ->  np.ones_like": "every element is overwritten",
        "incremental_mean: np.zeros  ->  np.ones": (
            "the first step has size 1: wherever w begins, it is forgotten"
        ),
        "incremental_mean: -1  ->  0  in  w = np.zeros(samples.shape[:-1])": (
            "a start of 0 for each sequence, or one for all of them: it is forgotten"
        ),
    },
    "tabular.stochastic_approximation.step_size_conditions": {
        "step_size_conditions: np.asarray(p)  ->  p": (
            "numbers and arrays of any shape compare alike; lists are not asked for"
        ),
    },
    "tabular.temporal_difference.double_q_target": {
        "double_q_target: np.take_along_axis(q_judge, best[..., None], -1)  ->  "
        "np.take_along_axis(q_judge, best[..., None])": (
            "the last axis is the default (since NumPy 2.3)"
        ),
        "double_q_target: 0  ->  -1": "the first of one element is the last",
    },
    "tabular.dynamic_programming.policy_improvement": {
        "policy_improvement: np.take_along_axis(q, a[:, None], -1)  ->  "
        "np.take_along_axis(q, a[:, None])": "the last axis is NumPy's default, since 2.3",
        "policy_improvement: 0  ->  -1": "of the one action taken, the first is the last",
    },
    "tabular.dynamic_programming.truncated_evaluation": SWEEPS,
    "tabular.dynamic_programming.policy_iteration": SWEEPS
    | {
        "backup: -1  ->  -2": "where there is one action only, its value chooses nothing",
        "policy_iteration: mdp.p  ->  mdp.s_next  in  "
        "now = _check.indices('a', a, mdp.p.shape[1])": ONE_SHAPE,
        "policy_iteration: mdp.p  ->  mdp.s_next  in  "
        "_check.shape('a', now, mdp.p.shape[:1])": ONE_SHAPE,
        "policy_iteration: _check.shape('a', now, mdp.p.shape[:1])  ->  pass": (
            "what becomes of an a of another length is not promised"
        ),
        "policy_iteration: len(policies) <= MOST_POLICIES  ->  len(policies) < MOST_POLICIES": (
            "one policy less before it gives up, which no well-scaled MDP makes it do"
        ),
        "policy_iteration: float(np.abs(q).max())  ->  np.abs(q).max()": "a number either way",
        "policy_iteration: np.array(policies)  ->  policies": "a list of rows is judged alike",
        "policy_iteration: ValueError(f'mdp must be well scaled: after {MOST_POLICIES} policies "
        "actions still change')  ->  f'mdp must be well scaled: after {MOST_POLICIES} policies "
        "actions still change'": "no well-scaled MDP reaches that line",
        "_exact_values: if gamma == 1:  ->  if True:": "closed_form solves the same system",
        "_exact_values: mdp.p  ->  mdp.s_next": ONE_SHAPE,
        "closed_form: pi = check_policy(mdp, pi)  ->  pass": CHECKED,
        "closed_form: check_policy(mdp, pi)  ->  pi": CHECKED,
        "closed_form: _check.interval('gamma', gamma, 0, 1)  ->  pass": "gamma is checked before",
        "closed_form: 0  ->  -1": "gamma is checked before",
        "closed_form: 1  ->  2  in  _check.interval('gamma', gamma, 0, 1)": (
            "gamma is checked before"
        ),
        "closed_form: -1  ->  -2  in  "
        "w = (gamma * weight * ~mdp.terminated).reshape(len(pi), -1)": (
            "NumPy finds the size that any negative number stands for"
        ),
        "closed_form: -1  ->  -2  in  return linear.solve(mdp.s_next.reshape(len(pi), -1), w, r)": (
            "NumPy finds the size that any negative number stands for"
        ),
        "uniform_policy: mdp.p  ->  mdp.s_next": ONE_SHAPE,
        "action_values: (mdp.p * (mdp.r + future)).sum  ->  (mdp.p * (mdp.r + future)).mean": (
            "it divides all action values by K, and only the best action is asked"
        ),
        "check_policy: _check.probabilities('pi', pi)  ->  pi": CHECKED,
        "check_policy: _check.shape('pi', rows, mdp.p.shape[:2])  ->  pass": CHECKED,
        "check_policy: mdp.p  ->  mdp.s_next": ONE_SHAPE,
        "_check_ending: range(len(pi))  ->  range(len(pi) - 1)": (
            "the last step of the longest way is known to end before the first"
        ),
        "_check_ending: range(len(pi))  ->  range(len(pi) + 1)": "nothing is left to be found",
        "_check_ending: np.flatnonzero(~ends)  ->  ~ends": "only the words of the message differ",
        "deterministic_policy: _check.indices('a', a, n_actions)  ->  a": CHECKED,
        "deterministic_policy: _check.shape('a', chosen, ('S',))  ->  pass": CHECKED,
    },
    "deep.function_approximation.semi_gradient_td_step": VALUES,
    "deep.function_approximation.tdc_step": VALUES
    | {"tdc_step: linear_value(phi, h)  ->  linear_value(h, phi)": SYMMETRIC},
    "deep.dqn.dqn_target": {
        "dqn_target: q_next  ->  r  in  return td_target(r, q_next.amax(-1), "
        "terminated.to(q_next.dtype), gamma)  (no. 2)": ONE_DTYPE,
    },
    "deep.dqn.double_dqn_target": {
        "double_dqn_target: 0  ->  -1": "what gather leaves of the axis is one entry",
        "double_dqn_target: q_judge  ->  q_choose  in  return td_target(r, "
        "q_judge.gather(-1, best)[..., 0], terminated.to(q_judge.dtype), gamma)  (no. 2)": (
            ONE_DTYPE
        ),
    },
    "deep.dqn.dqn_loss": {
        "dqn_loss: 0  ->  -1": "what gather leaves of the axis is one entry",
        "dqn_loss: target.detach() - q_taken  ->  q_taken - target.detach()": (
            "the loss is symmetric: value and gradient stay"
        ),
    },
    "systems.online_softmax.safe_softmax": FLOATING
    | {
        "safe_softmax: x.max(-1, initial=-np.inf)  ->  x.max(-1)": NO_SCORES,
        "safe_softmax: 1  ->  2": "0 / 2 is 0 as well",
    },
    "systems.online_softmax.update": FLOATING
    | {"update: x.max(-1, initial=-np.inf)  ->  x.max(-1)": NO_SCORES},
    "systems.online_softmax.merge": SHIFT,
    "systems.online_softmax.attention": NUMBERS
    | {
        "attention: q = _floats(q)  ->  pass": "numbers of any type compute alike here",
        "attention: _floats(q)  ->  q": "numbers of any type compute alike here",
        "attention: v  ->  k  in  none = summarize(scores(q, k[:0]), v[:0])": (
            "no rows of either: both have D columns"
        ),
        "blocks: _check.positive_integer('block', block)  ->  pass": (
            "what becomes of a block of 0 is not promised"
        ),
        "blocks: min(start + block, size)  ->  start + block": (
            "NumPy cuts a slice off at the end by itself"
        ),
        "summarize: scores, v = (_floats(scores), _floats(v))  ->  pass": "they are arrays already",
        "summarize: _floats(scores)  ->  scores": "scores of a product are floats already",
        "summarize: _floats(v)  ->  v": "numbers of any type compute alike here",
        "summarize: shift(m)  ->  m": SEEN,
        "finish: 1  ->  2": "0 / 2 is 0 as well",
        "scores: k.swapaxes(-1, -2)  ->  k.swapaxes(-2, -1)": "the same two axes",
        "scores: q  ->  k  in  return np.asarray(q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5)  "
        "(no. 2)": "q and k have the same D",
        "shift: np.where(m == -np.inf, 0, m)  ->  m": SEEN,
        "shift: np.where(m == -np.inf, 0, m)  ->  np.where(0, m == -np.inf, m)": SEEN,
        "shift: -np.inf  ->  np.inf": SEEN,
    },
    "systems.online_softmax.log_sum_exp": FLOATING
    | {
        "log_sum_exp: np.where(total == 0, 1, total)  ->  total": LOG_OF_ZERO,
        "log_sum_exp: 0  ->  1": LOG_OF_ZERO,
        "log_sum_exp: 0  ->  -1": LOG_OF_ZERO,
        "log_sum_exp: 1  ->  2": "m = -inf swallows any finite number",
        "log_sum_exp: 1  ->  0": LOG_OF_ZERO,
    },
    "systems.online_softmax.weights": NUMBERS
    | {
        "weights: _floats(x)  ->  x": "numbers of any type compute alike here",
        "weights: _floats(lse)  ->  lse": "numbers of any type compute alike here",
    },
    "systems.online_softmax.merge_partials": {
        "merge_partials: np.logaddexp(a.lse, b.lse)  ->  np.logaddexp(b.lse, a.lse)": (
            "a sum of two: their order does not matter"
        ),
    },
    "systems.flash_attention.visible_tiles": {
        "visible_tiles: np.minimum(first + block_q, n)  ->  first + block_q": (
            "what lies beyond query N - 1 would see more than M keys, and is clipped to M"
        ),
        "visible_tiles: np.clip(i + 1 + m - n, 0, m)  ->  np.clip(0, i + 1 + m - n, m)": (
            "max and min of the same three numbers, in the same order"
        ),
    },
    "systems.flash_attention.forward_traffic": {
        "forward_traffic: int(np.minimum(seen * block_k, m).sum())  ->  "
        "np.minimum(seen * block_k, m).sum()": "an integer either way",
    },
    "systems.flash_attention.flash_forward": TILES
    | {
        "flash_forward: np.full_like(q_i[:, 0], -np.inf)  ->  -np.inf": "a scalar broadcasts",
        "flash_forward: 0  ->  -1  in  m_i, l_i = (np.full_like(q_i[:, 0], -np.inf), "
        "np.zeros_like(q_i[:, 0]))": "only the shape of the column is taken",
        "flash_forward: 0  ->  -1  in  m_i, l_i = (np.full_like(q_i[:, 0], -np.inf), "
        "np.zeros_like(q_i[:, 0]))  (no. 2)": "only the shape of the column is taken",
        "flash_forward: np.zeros_like  ->  np.ones_like  in  m_i, l_i = "
        "(np.full_like(q_i[:, 0], -np.inf), np.zeros_like(q_i[:, 0]))": (
            "the first tile with a visible key rescales it to 0; without one o / 1 is 0 as well"
        ),
        "flash_forward: 0  ->  1  in  shift = np.where(m_next == -np.inf, 0, m_next)": (
            "exp(-inf - c) is 0 for every finite c"
        ),
        "flash_forward: 0  ->  -1  in  shift = np.where(m_next == -np.inf, 0, m_next)": (
            "exp(-inf - c) is 0 for every finite c"
        ),
        "flash_forward: 1  ->  2  in  total = np.where(l_i == 0, 1, l_i)": "0 / 2 is 0 as well",
    },
    "systems.flash_attention.flash_backward": TILES
    | NUMBERS
    | {
        "flash_backward: (np.empty_like(q), np.empty_like(k), np.empty_like(v))  ->  "
        "(np.empty_like(q), np.empty_like(v), np.empty_like(k))": K_AND_V,
        "flash_backward: (np.zeros_like(k_j), np.zeros_like(v_j))  ->  "
        "(np.zeros_like(v_j), np.zeros_like(k_j))": K_AND_V,
        "weights: _floats(x)  ->  x": "scores are floats already",
        "weights: _floats(lse)  ->  lse": "what the forward saved is floats already",
        "_floats: a.astype(np.float64)  ->  np.float64": "only floats come here",
        "_floats: a.astype(np.float64)  ->  a.astype()": "only floats come here",
    },
    "systems.checkpointing.segment_peak": {
        "segment_peak: positive_integer('layers', layers)  ->  layers": (
            "less than one layer is less than one part, and refused for that"
        ),
    },
    "systems.checkpointing.best_parts": {
        "best_parts: positive_integer('layers', layers)  ->  layers": (
            "min refuses an empty range with ValueError too; only the message is another"
        ),
    },
    "systems.checkpointing.revolve_forwards": {
        "revolve_forwards: comb(c + r, c) < positive_integer('layers', layers)  ->  "
        "comb(c + r, c) <= positive_integer('layers', layers)": (
            "at L = C(c + r, c), r and r + 1 give the same: C(c + r + 1, r) - C(c + r, r - 1) = L"
        ),
    },
    "systems.checkpointing.knapsack": {
        "knapsack: 0  ->  1  in  best: list[tuple[int, int, tuple[int, ...]]] = [(0, 0, ())]  "
        "(no. 2)": SAVED_BY_ALL,
        "knapsack: 0  ->  -1  in  best: list[tuple[int, int, tuple[int, ...]]] = [(0, 0, ())]  "
        "(no. 2)": SAVED_BY_ALL,
        "knapsack: sizes  ->  seconds  in  for i in range(len(sizes)):": (
            "they have the same length here: others were refused"
        ),
        "knapsack: found[1] < best[-1][1]  ->  found[1] <= best[-1][1]": (
            "it also keeps sets that save as much with more bytes: the answer fits and is as good"
        ),
        "knapsack: list(best[-1][2])  ->  best[-1][2]": "a tuple of the same indices",
    },
    "systems.zero.layer_activations": {
        f"layer_activations: ('width', 'heads', *['tokens'] * sequence_parallel)  ->  {other}": (
            "only which of two faults is named first"
        )
        for other in (
            "('heads', 'width', *['tokens'] * sequence_parallel)",
            "('width', *['tokens'] * sequence_parallel, 'heads')",
        )
    },
    "systems.row_kernel.online_softmax_rows": {
        "online_softmax_rows: torch.empty(s.shape, dtype=torch.float32, device=s.device)  ->  "
        "torch.empty(s.shape, device=s.device)": "float32 is the default",
        "online_softmax_rows: torch.empty(s.shape, dtype=torch.float32, device=s.device)  ->  "
        "torch.empty(s.shape, dtype=torch.float32)": "it is judged on the CPU, the default device",
        "online_softmax_kernel: tl.program_id(0).to(tl.int64)  ->  tl.program_id(0)": (
            "only more than 2^31 scores need the wider integer"
        ),
        "online_softmax_kernel: 0.0  ->  1.0": EMPTY_SUM,
        "online_softmax_kernel: 0.0  ->  -1.0": EMPTY_SUM,
        "online_softmax_kernel: tl.max(s, 0)  ->  tl.max(s)": "a block has one axis",
        "online_softmax_kernel: tl.sum(tl.exp(s - m_next), 0)  ->  tl.sum(tl.exp(s - m_next))": (
            "a block has one axis"
        ),
        "online_softmax_kernel: 0  ->  -1  in  m_next = tl.maximum(m, tl.max(s, 0))": (
            "of one axis, the first is the last"
        ),
        "online_softmax_kernel: 0  ->  -1  in  "
        "l = l * tl.exp(m - m_next) + tl.sum(tl.exp(s - m_next), 0)": (
            "of one axis, the first is the last"
        ),
        "online_softmax_kernel: 1.0  ->  2.0": "0 / 2 is 0 as well",
        "online_softmax_kernel: range(0, keys, BLOCK)  ->  range(0, keys)": (
            "the same values, each written BLOCK times: only slower"
        ),
    },
    "deep.policy_gradient.policy_gradient": {
        "policy_gradient: (-3, -2)  ->  (-2, -3)": "the sum over the same two axes",
    },
    "deep.policy_gradient.optimal_baseline": {
        "optimal_baseline: (score ** 2).sum  ->  (score ** 2).mean": (
            "it divides all the weights by D, above and below alike"
        ),
        "optimal_baseline: np.asarray(mean)  ->  mean": "an array already",
    },
    "deep.ppo.clipped_value_loss": {
        "clipped_value_loss: v - g  ->  g - v": "the error counts squared",
        "clipped_value_loss: near - g  ->  g - near": "the error counts squared",
    },
    "deep.ppo.natural_step": {
        "natural_step: 0  ->  -1  in  direction = np.linalg.solve(fisher, "
        "gradient[..., None])[..., 0]": "of one column, the first is the last",
    },
    "deep.ppo.ppo_logits_gradient": {
        "clip_is_open: advantage > 0  ->  advantage >= 0": "without an advantage nothing is pushed",
        "clip_is_open: rho <= 1 + epsilon  ->  rho < 1 + epsilon": ON_THE_BOUND,
        "clip_is_open: rho >= 1 - epsilon  ->  rho > 1 - epsilon": ON_THE_BOUND,
    },
    "deep.actor_critic.a2c_loss": {
        "a2c_loss: v - target.detach()  ->  target.detach() - v": "the error counts squared",
    },
    "language.transformer.rms_norm": {
        "rms_norm: x.to(wide(x.dtype))  ->  x": DOUBLE,
        "rms_norm: x.to(wide(x.dtype))  ->  x.to()": DOUBLE,
        "rms_norm: wide(x.dtype)  ->  x.dtype": DOUBLE,
        "rms_norm: (z * torch.rsqrt(z.square().mean(-1, keepdim=True) + eps)).to(x.dtype)  ->  "
        "z * torch.rsqrt(z.square().mean(-1, keepdim=True) + eps)": DOUBLE,
        "rms_norm: (z * torch.rsqrt(z.square().mean(-1, keepdim=True) + eps)).to(x.dtype)  ->  "
        "(z * torch.rsqrt(z.square().mean(-1, keepdim=True) + eps)).to()": DOUBLE,
    },
    "language.transformer.rotate": {
        "turn: x.to(wide(x.dtype))  ->  x": DOUBLE,
        "turn: x.to(wide(x.dtype))  ->  x.to()": DOUBLE,
        "turn: wide(x.dtype)  ->  x.dtype": DOUBLE,
        "turn: x  ->  sin  in  z = x.to(wide(x.dtype))  (no. 2)": DOUBLE,
        "turn: torch.addcmul(z * cos, z.roll(x.shape[-1] // 2, -1), sin).to(x.dtype)  ->  "
        "torch.addcmul(z * cos, z.roll(x.shape[-1] // 2, -1), sin)": DOUBLE,
        "turn: torch.addcmul(z * cos, z.roll(x.shape[-1] // 2, -1), sin).to(x.dtype)  ->  "
        "torch.addcmul(z * cos, z.roll(x.shape[-1] // 2, -1), sin).to()": DOUBLE,
        "turn: torch.addcmul(z * cos, z.roll(x.shape[-1] // 2, -1), sin)  ->  "
        "torch.addcmul(z * cos, sin, z.roll(x.shape[-1] // 2, -1))": "a product commutes",
        "turn: x  ->  sin  in  return torch.addcmul(z * cos, z.roll(x.shape[-1] // 2, -1), sin)"
        ".to(x.dtype)": "sin has D numbers too",
        "turn: x  ->  sin  in  return torch.addcmul(z * cos, z.roll(x.shape[-1] // 2, -1), sin)"
        ".to(x.dtype)  (no. 2)": DOUBLE,
        "cos_sin: omega.to(positions.device)  ->  omega": ON_THE_CPU,
        "cos_sin: omega.to(positions.device)  ->  omega.to()": ON_THE_CPU,
        "cos_sin: positions  ->  omega  in  angle = positions[..., None] * "
        "omega.to(positions.device)  (no. 2)": ON_THE_CPU,
    },
    "language.transformer.padded_mask": {
        "padded_mask: causal_mask(n, m, window, present.device)  ->  causal_mask(n, m, window)": (
            ON_THE_CPU
        ),
        "padded_mask: torch.arange(m - n, m, device=present.device)  ->  torch.arange(m - n, m)": (
            ON_THE_CPU
        ),
        "padded_mask: torch.arange(m, device=present.device)  ->  torch.arange(m)": ON_THE_CPU,
        "causal_mask: torch.arange(m - n, m, device=device)  ->  torch.arange(m - n, m)": (
            ON_THE_CPU
        ),
        "causal_mask: torch.arange(m, device=device)  ->  torch.arange(m)": ON_THE_CPU,
        "causal_mask: back >= 0  ->  back > 0": "each query is let see itself afterwards",
        "causal_mask: 0  ->  1": "each query is let see itself afterwards",
    },
    "language.transformer.packed_positions": {
        "packed_positions: torch.arange(segments.shape[1], device=segments.device)  ->  "
        "torch.arange(segments.shape[1])": ON_THE_CPU,
        "packed_positions: 0  ->  -1": "the first start, 0, is the largest of both",
    },
    "alignment.reward_model.updated_strengths": {
        "updated_strengths: won.sum  ->  won.mean": SCALE,
        "updated_strengths: (games / (strengths[:, None] + strengths)).sum  ->  "
        "(games / (strengths[:, None] + strengths)).mean": SCALE,
        "updated_strengths: 1  ->  0  in  new = total / (games / (strengths[:, None] + "
        "strengths)).sum(1)": "games and the sums of two strengths are symmetric",
    },
    "alignment.reward_model.calibration_error": {
        "calibration_error: outcomes - probabilities  ->  probabilities - outcomes": (
            "only the size of a gap counts"
        ),
    },
    "alignment.reward_model.best_of_n": {
        "best_of_n: gold  ->  proxy  in  j = torch.arange(n, dtype=gold.dtype)": ONE_DTYPE,
    },
    "alignment.dpo.ipo_loss": {
        "ipo_loss: margin - 1 / (2 * beta)  ->  1 / (2 * beta) - margin": "a square has no sign",
    },
    "alignment.ppo_rlhf.token_advantages": {
        f"token_advantages: 0  ->  {c}  in  after = next_values(v_t, flags[0], counts)": (
            "all flags are 0"
        )
        for c in (1, -1)
    }
    | ACROSS_TOOLS,
    "alignment.ppo_rlhf.whitened": {
        "normalised: torch.std_mean(advantage, -1, correction=0, keepdim=True)  ->  "
        "torch.std_mean(advantage, correction=0, keepdim=True)": ONE_AXIS,
        "normalised: torch.std_mean(advantage, -1, correction=0, keepdim=True)  ->  "
        "torch.std_mean(advantage, -1, correction=0)": ONE_AXIS,
        "normalised: -1  ->  0": ONE_AXIS,
        "normalised: True  ->  False": ONE_AXIS,
    },
    "alignment.ppo_rlhf.policy_loss": {
        "dual_clip: weight < 0  ->  weight <= 0": "without an advantage both are 0",
    },
    "alignment.ppo_rlhf.kl_penalty": {
        "kl_penalty: if kind not in KINDS:  ->  if False:": (
            "the place of what isn't there raises ValueError too"
        ),
    },
    "alignment.grpo.grpo_advantages": GROUP_MEANS
    | {
        "group_moments: rewards.detach() - mean  ->  mean - rewards.detach()": (
            "a square has no sign"
        ),
    },
    "alignment.grpo.token_weights": {
        "token_weights: if length is None:  ->  if False:": NONE_TOO,
        "token_weights: length  ->  way  in  if length is None:": NONE_TOO,
    },
    "alignment.grpo.leave_one_out": GROUP_MEANS,
    "alignment.grpo.informative": {"informative: 1  ->  0": SAME_GROUP},
    "language.decoding.penalise_repetition": {
        "penalise_repetition: logits > 0  ->  logits >= 0": "0 is 0, multiplied or divided",
    },
    "language.decoding.sampled_log_probs": {
        "sampled_log_probs: 0  ->  -1": "of one column, the first is the last",
    },
    "language.decoding.left_pad": {
        "left_pad: if not prompts:  ->  if False:": "max of nothing raises ValueError too",
    },
    "deep.policy_gradient.policy_gradient_loss": TAKEN,
    "deep.policy_gradient.weighted_policy_loss": TAKEN,
}

SQUARE_TOO = "one square case among others: an axis must not be chosen by its size"

EXEMPT: dict[str, dict[str, str]] = {
    "deep.function_approximation.td_system": {
        "p has two axes of one size": "from every state to every state",
    },
    "deep.function_approximation.recursive_lstd_step": {
        "state.inverse has two axes of one size": "only a square matrix has an inverse",
    },
    "deep.ppo.natural_step": {
        "fisher has two axes of one size": "a Fisher matrix is square",
    },
    "deep.dqn.epsilon_greedy_action": {
        "axis -1 of u is always 2 long": "a coin and a die: two uniforms decide an action",
    },
    "alignment.reward_model.updated_strengths": {
        "wins has two axes of one size": "everybody against everybody",
    },
    "systems.online_softmax.weights": {"x has two axes of one size": SQUARE_TOO},
    "systems.online_softmax.merge_partials": {
        f"{side}.o has two axes of one size": SQUARE_TOO for side in "ab"
    },
}

ELSEWHERE = {
    "rlcourse._check": "argument checks, with tests of their own; the cases show what is refused",
    "rlcourse.language.numbers": "in float64 it changes nothing; tested on its own in 16 bits",
    "rlcourse.tabular.linear": "a fast linear solver, tested on its own against a dense solve",
}
