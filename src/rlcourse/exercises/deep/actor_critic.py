"""The five exercises of the actor-critic chapter: generalized advantage estimation, one step of
three actor-critics, and the loss of A2C, whose gradients are graded too.

Axes differ in size and vary: B learners, D parameters, F features, T steps, N samples.
"""

import numpy as np
import torch

from rlcourse.deep import a2c, actor_critic
from rlcourse.deep import generalized_advantage as gae
from rlcourse.deep.actor_critic import ActorCritic
from rlcourse.exercises.deep.policy_gradient import flags, some_of, tensor
from rlcourse.grading import exercise

FAR = 1e4

# ------------------------------------------------------------------------------- GAE

generalized_advantage = exercise(
    gae.generalized_advantage,
    nudge="Go backwards. What does the next row's advantage hold already, and when does it belong "
    "to another episode?",
    worked={
        "r": np.array([1.0, 2.0, 3.0]),
        "v": np.array([0.5, -0.2, 0.4]),
        "v_next": np.array([-0.2, 0.4, 0.7]),
        "terminated": np.array([False, False, True]),
        "truncated": np.array([False, False, False]),
        "gamma": 0.9,
        "lam": 0.8,
    },
)


def run(rng, shape, ends=0, cuts=0, mask=None, **numbers):
    """T steps with ends and cuts in their midst; values are no continuation of each other."""
    case = {
        "r": 2 * rng.normal(size=shape),
        "v": rng.normal(size=shape),
        "v_next": rng.normal(size=shape) + 0.5,
        "terminated": flags(rng, shape, ends, bool),
        "truncated": flags(rng, shape, cuts, bool),
        "gamma": rng.uniform(0.6, 0.99),
        "lam": rng.uniform(0.3, 0.97),
    } | numbers
    return case if mask is None else case | {"mask": mask}


@generalized_advantage.check(points=2)
def test_an_advantage_adds_later_errors_less_and_less(rng):
    """Â_t is the sum of the TD errors from t on, each step further worth γλ less"""
    for shape in ((5,), (8, 3), (4, 2, 3), (1, 7)):
        yield run(rng, shape)
    yield run(rng, (6, 2), gamma=0.995, lam=0.95)


@generalized_advantage.check(points=1)
def test_lambda_goes_from_the_error_of_one_step_to_the_return_less_the_value(rng):
    """λ = 0 is the TD error, λ = 1 the return less v; γ = 0 and 1 are allowed as well"""
    for lam in (0.0, 1.0, 0, 1):
        yield run(rng, (6, 3), lam=lam)
    for gamma in (0.0, 1.0, 1):
        yield run(rng, (5, 2), ends=2, gamma=gamma)


@generalized_advantage.check(points=2)
def test_no_advantage_leaks_from_the_episode_that_follows(rng):
    """after a terminated step nothing follows: neither v_next nor the next row"""
    for shape, ends in (((9,), 3), ((6, 4), 7), ((3, 2, 5), 6)):
        yield run(rng, shape, ends)
    case = run(rng, (7, 3), 5)
    yield case | {"r": np.where(case["terminated"], FAR, case["r"])}


@generalized_advantage.check(points=2)
def test_after_a_time_limit_the_value_of_its_last_state_follows_and_no_more(rng):
    """a truncated step takes v_next and nothing of the next row; terminated too, it has ended"""
    for shape, cuts in (((9,), 3), ((6, 4), 7), ((3, 2, 5), 6)):
        yield run(rng, shape, 0, cuts)
        yield run(rng, shape, cuts, cuts)
    case = run(rng, (7, 2), 4, 5)
    both = case["terminated"] | (rng.random((7, 2)) < 0.3)
    yield case | {"terminated": both, "truncated": both | case["truncated"]}
    yield case | {"terminated": case["terminated"] * 1, "truncated": case["truncated"] * 1.0}


@generalized_advantage.check(points=2)
def test_rows_that_do_not_count_are_skipped(rng):
    """where the mask is 0 the advantage is 0, and the row before goes on with the row after"""
    for shape in ((9,), (7, 3), (6, 2, 4)):
        yield run(rng, shape, mask=rng.random(shape) < 0.6)
        yield run(rng, shape, 2, 2, mask=rng.random(shape) < 0.5)
    yield run(rng, (8, 4), mask=(np.arange(8)[:, None] < rng.integers(2, 9, 4)) * 1.0)
    yield run(rng, (5, 3), 1, mask=np.arange(5)[:, None] + np.zeros(3, int) > 1)
    yield run(rng, (4, 2), mask=np.zeros((4, 2)))


def error(r, v, v_next, terminated, gamma):
    return r + gamma * (1 - terminated) * v_next - v


def backwards(delta, decay, mask=None):
    """A_t = δ_t + decay_t A_{t+1}, where rows that don't count are skipped."""
    a, follows = np.zeros(delta.shape), np.zeros(delta.shape[1:])
    for t in reversed(range(len(delta))):
        here = delta[t] + decay[t] * follows
        counts = 1 if mask is None else mask[t]
        a[t] = counts * here
        follows = counts * here + (1 - counts) * follows
    return a


def going_on(terminated, truncated):
    return (1 - terminated) * (1 - truncated)


@generalized_advantage.misconception(
    "An ended episode says nothing about the next: the sum stops at terminated and at truncated."
)
def leaks_across_episodes(r, v, v_next, terminated, truncated, gamma, lam, mask=None):
    decay = gamma * lam * np.ones(r.shape)
    return backwards(error(r, v, v_next, terminated, gamma), decay, mask)


@generalized_advantage.misconception(
    "A time limit is no end of the world: the value of the last state still follows it."
)
def takes_a_cut_for_an_end(r, v, v_next, terminated, truncated, gamma, lam, mask=None):
    ended = terminated + truncated > 0
    decay = gamma * lam * (1 - ended)
    return backwards(error(r, v, v_next, ended, gamma), decay, mask)


@generalized_advantage.misconception(
    "Row t + 1 belongs to another episode after a time limit too: the sum stops there."
)
def runs_on_past_a_cut(r, v, v_next, terminated, truncated, gamma, lam, mask=None):
    decay = gamma * lam * (1 - terminated)
    return backwards(error(r, v, v_next, terminated, gamma), decay, mask)


@generalized_advantage.misconception("Where the episode terminated v_next doesn't count.")
def bootstraps_past_the_end(r, v, v_next, terminated, truncated, gamma, lam, mask=None):
    decay = gamma * lam * going_on(terminated, truncated)
    return backwards(error(r, v, v_next, 0 * terminated, gamma), decay, mask)


@generalized_advantage.misconception("Each step further counts γλ less: λ is missing.")
def forgets_lambda(r, v, v_next, terminated, truncated, gamma, lam, mask=None):
    return gae.generalized_advantage(r, v, v_next, terminated, truncated, gamma, 1.0, mask)


@generalized_advantage.misconception("Each step further counts γλ less: γ is missing.")
def forgets_gamma_in_the_decay(r, v, v_next, terminated, truncated, gamma, lam, mask=None):
    decay = lam * going_on(terminated, truncated)
    return backwards(error(r, v, v_next, terminated, gamma), decay, mask)


@generalized_advantage.misconception("λ and γ are mixed up: γ discounts v_next, λ only the sum.")
def swaps_gamma_and_lambda(r, v, v_next, terminated, truncated, gamma, lam, mask=None):
    return gae.generalized_advantage(r, v, v_next, terminated, truncated, lam, gamma, mask)


@generalized_advantage.misconception("λ weighs later errors, not v_next in the error itself.")
def puts_lambda_into_the_error(r, v, v_next, terminated, truncated, gamma, lam, mask=None):
    decay = gamma * lam * going_on(terminated, truncated)
    return backwards(error(r, v, v_next, terminated, gamma * lam), decay, mask)


@generalized_advantage.misconception("That is the λ-return Â + v: take v off.")
def gives_the_return(r, v, v_next, terminated, truncated, gamma, lam, mask=None):
    found = gae.generalized_advantage(r, v, v_next, terminated, truncated, gamma, lam, mask)
    return found + (v if mask is None else v * mask)


@generalized_advantage.misconception("v_next is missing: δ = r + γ v' - v.")
def forgets_what_the_next_state_is_worth(
    r, v, v_next, terminated, truncated, gamma, lam, mask=None
):
    decay = gamma * lam * going_on(terminated, truncated)
    return backwards(r - v, decay, mask)


@generalized_advantage.misconception(
    "The state that a step led to is v_next[t]. v[t + 1] is another episode's after an end."
)
def takes_the_value_of_the_next_row(r, v, v_next, terminated, truncated, gamma, lam, mask=None):
    after = np.concatenate([v[1:], v_next[-1:]])
    decay = gamma * lam * going_on(terminated, truncated)
    return backwards(error(r, v, after, terminated, gamma), decay, mask)


@generalized_advantage.misconception("A sum of TD errors, not a mean: no (1 - λ).")
def normalises_the_weights(r, v, v_next, terminated, truncated, gamma, lam, mask=None):
    found = gae.generalized_advantage(r, v, v_next, terminated, truncated, gamma, lam, mask)
    return (1 - lam) * found


@generalized_advantage.misconception("A row that doesn't count has no error either: its Â is 0.")
def lets_skipped_rows_speak(r, v, v_next, terminated, truncated, gamma, lam, mask=None):
    return gae.generalized_advantage(r, v, v_next, terminated, truncated, gamma, lam)


@generalized_advantage.misconception(
    "A skipped row is no end: what comes after it is handed on, as if it weren't there."
)
def stops_at_skipped_rows(r, v, v_next, terminated, truncated, gamma, lam, mask=None):
    kept = 1 if mask is None else mask
    decay = gamma * lam * going_on(terminated, truncated)
    return kept * backwards(kept * error(r, v, v_next, terminated, gamma), decay * kept)


@generalized_advantage.misconception("A skipped row costs no time: nothing decays across it.")
def decays_across_skipped_rows(r, v, v_next, terminated, truncated, gamma, lam, mask=None):
    kept = 1 if mask is None else mask
    decay = gamma * lam * going_on(terminated, truncated)
    return kept * backwards(kept * error(r, v, v_next, terminated, gamma), decay)


@generalized_advantage.misconception("Rows that don't count are 1 minus the mask: it is inverted.")
def inverts_the_mask(r, v, v_next, terminated, truncated, gamma, lam, mask=None):
    other = None if mask is None else 1 - mask
    return gae.generalized_advantage(r, v, v_next, terminated, truncated, gamma, lam, other)


@generalized_advantage.misconception("Time is the first axis: rows are steps, columns episodes.")
def runs_along_the_last_axis(r, v, v_next, terminated, truncated, gamma, lam, mask=None):
    turned = [np.moveaxis(x, -1, 0) for x in (r, v, v_next, terminated, truncated)]
    known = None if mask is None else np.moveaxis(mask, -1, 0)
    return np.moveaxis(gae.generalized_advantage(*turned, gamma, lam, known), 0, -1)


@generalized_advantage.misconception("-= and += write into the caller's arrays: make a new one.")
def writes_into_the_rewards(r, v, v_next, terminated, truncated, gamma, lam, mask=None):
    found = gae.generalized_advantage(r, v, v_next, terminated, truncated, gamma, lam, mask)
    r[...] = found
    return r


@generalized_advantage.control
def advantage_as_a_double_sum(r, v, v_next, terminated, truncated, gamma, lam, mask=None):
    delta, found = error(r, v, v_next, terminated, gamma), np.zeros(r.shape)
    counts = np.ones(r.shape) if mask is None else mask
    for i in np.ndindex(*r.shape):
        if not counts[i]:
            continue
        weight = 1.0
        for k in range(i[0], len(r)):
            at = (k, *i[1:])
            if not counts[at]:
                continue
            found[i] += weight * delta[at]
            weight *= gamma * lam
            if terminated[at] or truncated[at]:
                break
    return found


@generalized_advantage.control
def advantage_by_where(r, v, v_next, terminated, truncated, gamma, lam, mask=None):
    ended = np.asarray(terminated, bool)
    over = ended | np.asarray(truncated, bool)
    delta = np.where(ended, r, r + gamma * v_next) - v
    counts = np.ones(r.shape, bool) if mask is None else np.asarray(mask, bool)
    rows, follows = [], np.zeros(r.shape[1:])
    for t in range(len(r) - 1, -1, -1):
        here = delta[t] + np.where(over[t], 0.0, gamma * lam * follows)
        follows = np.where(counts[t], here, follows)
        rows.append(np.where(counts[t], here, 0.0))
    return np.array(rows[::-1])


# ------------------------------------------------------------------------------- one step

actor_critic_step = exercise(
    actor_critic.actor_critic_step,
    nudge="One δ serves both updates. Who is moved by how much, and which of the factors does the "
    "critic not have?",
    worked={
        "x": ActorCritic(np.array([0.5, -0.5]), np.array([1.0, 2.0])),
        "score": np.array([0.5, -0.5]),
        "phi": np.array([1.0, 0.0]),
        "phi_next": np.array([0.0, 1.0]),
        "r": np.array(1.0),
        "terminated": np.array(False),
        "rho": np.array(2.0),
        "discount": np.array(0.5),
        "alpha": 0.1,
        "alpha_w": 0.2,
        "gamma": 0.5,
    },
)


def learner(rng, leading, d, f, size=1.0):
    theta, w = (size * rng.normal(size=(*leading, n)) for n in (d, f))
    return {
        "x": ActorCritic(theta, w),
        "score": rng.normal(size=(*leading, d)),
        "phi": rng.normal(size=(*leading, f)),
        "phi_next": rng.normal(size=(*leading, f)),
        "r": 3 * rng.normal(size=leading),
        "terminated": rng.random(leading) < 0.3,
        "alpha": rng.uniform(0.05, 0.4),
        "alpha_w": rng.uniform(0.5, 0.9),
        "gamma": rng.uniform(0.5, 0.95),
    }


def stepped(rng, leading, d, f, **changes):
    ones = {"rho": np.ones(leading), "discount": np.ones(leading)}
    return learner(rng, leading, d, f) | ones | changes


@actor_critic_step.check(points=2)
def test_actor_and_critic_both_follow_the_error_of_the_critic(rng):
    """with ρ = I = 1 both move along δ, which is that of the critic before the step"""
    for leading, d, f in (((5,), 3, 4), ((2,), 6, 3), ((7,), 2, 5)):
        yield stepped(rng, leading, d, f, terminated=np.zeros(leading, bool))
    for gamma in (0.995, 0.0, 1):
        yield stepped(rng, (3,), 4, 2, gamma=gamma)


@actor_critic_step.check(points=1)
def test_nothing_follows_a_terminated_step_of_an_actor_critic(rng):
    for leading, d, f in (((8,), 3, 4), ((6,), 5, 2)):
        yield stepped(rng, leading, d, f, terminated=some_of(rng, leading[0], 3))
    yield stepped(rng, (4,), 3, 5, terminated=np.ones(4, int))


@actor_critic_step.check(points=2)
def test_another_policys_actions_count_by_their_ratio_for_actor_and_critic(rng):
    """ρ weighs both updates, I = γ^t the actor's alone"""
    for leading, d, f in (((6,), 3, 4), ((3,), 2, 7)):
        rho, discount = rng.uniform(0.1, 4, leading), 0.9 ** rng.integers(1, 9, leading)
        yield stepped(rng, leading, d, f, rho=rho)
        yield stepped(rng, leading, d, f, discount=discount)
        yield stepped(rng, leading, d, f, rho=rho, discount=discount)
    yield stepped(rng, (5,), 4, 3, rho=np.zeros(5))


@actor_critic_step.check(points=1)
def test_every_learner_has_a_step_of_its_own(rng):
    """leading axes are learners, each with its own step sizes if these are arrays"""
    for leading, d, f in (((), 3, 4), ((1,), 5, 2), ((2, 3), 4, 6), ((4, 1), 2, 3)):
        rho = np.asarray(rng.uniform(0.2, 3, leading))
        yield stepped(rng, leading, d, f, rho=rho)
    sizes = {"alpha": rng.uniform(0.1, 1, 6), "alpha_w": rng.uniform(0.1, 1, 6)}
    yield stepped(rng, (6,), 3, 1, **sizes)


def deltas(x, phi, phi_next, r, terminated, gamma):
    return r + gamma * (1 - terminated) * (phi_next * x.w).sum(-1) - (phi * x.w).sum(-1)


def moved(x, up, score, fit, phi):
    up, fit = np.asarray(up), np.asarray(fit)
    return ActorCritic(x.theta + up[..., None] * score, x.w + fit[..., None] * phi)


def given(x, score, phi, phi_next, r, terminated, rho, discount, alpha, alpha_w, gamma):
    """δ, and how far actor and critic go."""
    delta = deltas(x, phi, phi_next, r, terminated, gamma)
    return delta, alpha * discount * rho * delta, alpha_w * rho * delta


@actor_critic_step.misconception("The episode ended: nothing of phi_next belongs into δ.")
def values_what_lies_beyond_the_end(
    x, score, phi, phi_next, r, terminated, rho, discount, alpha, alpha_w, gamma
):
    return actor_critic.actor_critic_step(
        x, score, phi, phi_next, r, 0 * terminated, rho, discount, alpha, alpha_w, gamma
    )


@actor_critic_step.misconception("The critic learns from another policy's actions: it needs ρ too.")
def weighs_the_actor_alone(
    x, score, phi, phi_next, r, terminated, rho, discount, alpha, alpha_w, gamma
):
    delta, up, _ = given(
        x, score, phi, phi_next, r, terminated, rho, discount, alpha, alpha_w, gamma
    )
    return moved(x, up, score, alpha_w * delta, phi)


@actor_critic_step.misconception("The actor learns from another policy's actions: it needs ρ too.")
def weighs_the_critic_alone(
    x, score, phi, phi_next, r, terminated, rho, discount, alpha, alpha_w, gamma
):
    delta, _, fit = given(
        x, score, phi, phi_next, r, terminated, rho, discount, alpha, alpha_w, gamma
    )
    return moved(x, alpha * discount * delta, score, fit, phi)


@actor_critic_step.misconception("The ratio is missing: the actions are another policy's.")
def ignores_the_ratio(x, score, phi, phi_next, r, terminated, rho, discount, alpha, alpha_w, gamma):
    return actor_critic.actor_critic_step(
        x, score, phi, phi_next, r, terminated, 1 + 0 * rho, discount, alpha, alpha_w, gamma
    )


@actor_critic_step.misconception("ρ weighs all of δ, with what was expected, not the target alone.")
def weighs_the_target_alone(
    x, score, phi, phi_next, r, terminated, rho, discount, alpha, alpha_w, gamma
):
    v = (phi * x.w).sum(-1)
    delta = rho * (deltas(x, phi, phi_next, r, terminated, gamma) + v) - v
    return moved(x, alpha * discount * delta, score, alpha_w * delta, phi)


@actor_critic_step.misconception("I = γ^t belongs to the actor: the critic is right at any time.")
def discounts_the_critic_too(
    x, score, phi, phi_next, r, terminated, rho, discount, alpha, alpha_w, gamma
):
    _, up, fit = given(x, score, phi, phi_next, r, terminated, rho, discount, alpha, alpha_w, gamma)
    return moved(x, up, score, discount * fit, phi)


@actor_critic_step.misconception("The factor I is missing from the actor's step.")
def forgets_the_discount(
    x, score, phi, phi_next, r, terminated, rho, discount, alpha, alpha_w, gamma
):
    return actor_critic.actor_critic_step(
        x, score, phi, phi_next, r, terminated, rho, 1 + 0 * discount, alpha, alpha_w, gamma
    )


@actor_critic_step.misconception(
    "Both see the critic as it was: with the new w the actor's δ has lost a part of itself."
)
def asks_the_critic_after_it_learned(
    x, score, phi, phi_next, r, terminated, rho, discount, alpha, alpha_w, gamma
):
    _, _, fit = given(x, score, phi, phi_next, r, terminated, rho, discount, alpha, alpha_w, gamma)
    new = x.w + np.asarray(fit)[..., None] * phi
    delta = deltas(x._replace(w=new), phi, phi_next, r, terminated, gamma)
    return moved(x, alpha * discount * rho * delta, score, fit, phi)


@actor_critic_step.misconception("The step sizes are swapped: alpha is the actor's.")
def swaps_the_step_sizes(
    x, score, phi, phi_next, r, terminated, rho, discount, alpha, alpha_w, gamma
):
    return actor_critic.actor_critic_step(
        x, score, phi, phi_next, r, terminated, rho, discount, alpha_w, alpha, gamma
    )


@actor_critic_step.misconception("The actor climbs: along δ, not against it.")
def takes_the_actor_downhill(
    x, score, phi, phi_next, r, terminated, rho, discount, alpha, alpha_w, gamma
):
    return actor_critic.actor_critic_step(
        x, score, phi, phi_next, r, terminated, rho, discount, -1 * alpha, alpha_w, gamma
    )


@actor_critic_step.misconception("A semi-gradient: phi_next belongs to the target, which is data.")
def follows_the_whole_gradient(
    x, score, phi, phi_next, r, terminated, rho, discount, alpha, alpha_w, gamma
):
    _, up, fit = given(x, score, phi, phi_next, r, terminated, rho, discount, alpha, alpha_w, gamma)
    slope = phi - gamma * (1 - np.asarray(terminated))[..., None] * phi_next
    return moved(x, up, score, fit, slope)


@actor_critic_step.misconception(
    "δ is the advantage of the action: what was expected, v(s), goes off."
)
def moves_the_actor_by_the_target(
    x, score, phi, phi_next, r, terminated, rho, discount, alpha, alpha_w, gamma
):
    delta, _, fit = given(
        x, score, phi, phi_next, r, terminated, rho, discount, alpha, alpha_w, gamma
    )
    target = delta + (phi * x.w).sum(-1)
    return moved(x, alpha * discount * rho * target, score, fit, phi)


@actor_critic_step.misconception("Learners share nothing: each has a δ of its own.")
def averages_the_errors(
    x, score, phi, phi_next, r, terminated, rho, discount, alpha, alpha_w, gamma
):
    delta = deltas(x, phi, phi_next, r, terminated, gamma).mean()
    return moved(x, alpha * discount * rho * delta, score, alpha_w * rho * delta, phi)


@actor_critic_step.misconception("+= writes into the caller's theta and w: make new ones.")
def writes_into_the_learner(
    x, score, phi, phi_next, r, terminated, rho, discount, alpha, alpha_w, gamma
):
    _, up, fit = given(x, score, phi, phi_next, r, terminated, rho, discount, alpha, alpha_w, gamma)
    x.theta[...] += np.asarray(up)[..., None] * score
    x.w[...] += np.asarray(fit)[..., None] * phi
    return x


@actor_critic_step.control
def step_by_einsum(x, score, phi, phi_next, r, terminated, rho, discount, alpha, alpha_w, gamma):
    going = 1.0 - np.asarray(terminated, float)
    ahead = phi_next * (gamma * going)[..., None] - phi
    delta = r + np.einsum("...f,...f->...", ahead, x.w)
    theta = x.theta + np.einsum("...,...d->...d", alpha * discount * rho * delta, score)
    return ActorCritic(theta, x.w + np.einsum("...,...f->...f", alpha_w * rho * delta, phi))


@actor_critic_step.control
def step_learner_by_learner(
    x, score, phi, phi_next, r, terminated, rho, discount, alpha, alpha_w, gamma
):
    theta, w = x.theta.copy(), x.w.copy()
    up, fit = (np.broadcast_to(size, np.shape(r)) for size in (alpha, alpha_w))
    for i in np.ndindex(*np.shape(r)):
        target = r[i] if terminated[i] else r[i] + gamma * (phi_next[i] @ x.w[i])
        delta = target - phi[i] @ x.w[i]
        theta[i] = theta[i] + up[i] * discount[i] * rho[i] * delta * score[i]
        w[i] = w[i] + fit[i] * rho[i] * delta * phi[i]
    return ActorCritic(theta, w)


# ------------------------------------------------------------------------------- QAC

q_actor_critic_step = exercise(
    actor_critic.q_actor_critic_step,
    nudge="The actor asks what (s, a) is worth. By what is the critic surprised?",
    worked={
        "x": ActorCritic(np.array([0.5, -0.5]), np.array([1.0, 2.0])),
        "score": np.array([0.5, -0.5]),
        "phi": np.array([1.0, 0.0]),
        "phi_next": np.array([0.0, 1.0]),
        "r": np.array(1.0),
        "terminated": np.array(False),
        "alpha": 0.1,
        "alpha_w": 0.2,
        "gamma": 0.5,
    },
)


@q_actor_critic_step.check(points=2)
def test_the_actor_of_qac_is_moved_by_the_value_and_the_critic_by_its_error(rng):
    for leading, d, f in (((5,), 3, 4), ((2,), 6, 3), ((7,), 2, 5)):
        yield learner(rng, leading, d, f) | {"terminated": np.zeros(leading, bool)}
    for gamma in (0.995, 0.0, 1):
        yield learner(rng, (3,), 4, 2) | {"gamma": gamma}


@q_actor_critic_step.check(points=1)
def test_nothing_follows_a_terminated_step_of_qac(rng):
    for leading, d, f in (((8,), 3, 4), ((6,), 5, 2)):
        yield learner(rng, leading, d, f) | {"terminated": some_of(rng, leading[0], 3)}
    yield learner(rng, (4,), 3, 5) | {"terminated": np.ones(4, int)}


@q_actor_critic_step.check(points=1)
def test_the_actor_of_qac_sees_the_critic_as_it_was(rng):
    """a critic without weights moves no actor; one that learns fast moves it by the old q"""
    for leading, d, f in (((4,), 3, 2), ((6,), 2, 4)):
        case = learner(rng, leading, d, f)
        yield case | {"x": case["x"]._replace(w=np.zeros((*leading, f)))}
        yield case | {"alpha_w": 3.0}


@q_actor_critic_step.check(points=1)
def test_every_learner_of_qac_has_a_step_of_its_own(rng):
    for leading, d, f in (((), 3, 4), ((1,), 5, 2), ((2, 3), 4, 6), ((4, 1), 2, 3)):
        yield learner(rng, leading, d, f)
    sizes = {"alpha": rng.uniform(0.1, 1, 6), "alpha_w": rng.uniform(0.1, 1, 6)}
    yield learner(rng, (6,), 3, 1) | sizes


def q_of(x, phi):
    return (phi * x.w).sum(-1)


@q_actor_critic_step.misconception("QAC's actor is moved by q itself; δ is the next algorithm's.")
def moves_the_actor_by_the_error(x, score, phi, phi_next, r, terminated, alpha, alpha_w, gamma):
    delta = deltas(x, phi, phi_next, r, terminated, gamma)
    return moved(x, alpha * delta, score, alpha_w * delta, phi)


@q_actor_critic_step.misconception(
    "The actor is moved by q(s, a), not by the target of the critic."
)
def moves_the_actor_by_sarsas_target(x, score, phi, phi_next, r, terminated, alpha, alpha_w, gamma):
    delta = deltas(x, phi, phi_next, r, terminated, gamma)
    return moved(x, alpha * (delta + q_of(x, phi)), score, alpha_w * delta, phi)


@q_actor_critic_step.misconception("The score is that of a: so is the value, not that of a'.")
def moves_the_actor_by_the_next_value(
    x, score, phi, phi_next, r, terminated, alpha, alpha_w, gamma
):
    delta = deltas(x, phi, phi_next, r, terminated, gamma)
    return moved(x, alpha * q_of(x, phi_next), score, alpha_w * delta, phi)


@q_actor_critic_step.misconception("The actor is moved by q as it was before the critic learned.")
def asks_the_new_critic(x, score, phi, phi_next, r, terminated, alpha, alpha_w, gamma):
    fit = np.asarray(alpha_w * deltas(x, phi, phi_next, r, terminated, gamma))
    new = x._replace(w=x.w + fit[..., None] * phi)
    return moved(x, alpha * q_of(new, phi), score, fit, phi)


@q_actor_critic_step.misconception("The episode ended: nothing of phi_next belongs into δ.")
def values_pairs_beyond_the_end(x, score, phi, phi_next, r, terminated, alpha, alpha_w, gamma):
    return actor_critic.q_actor_critic_step(
        x, score, phi, phi_next, r, 0 * terminated, alpha, alpha_w, gamma
    )


@q_actor_critic_step.misconception("What comes next is discounted: γ is missing.")
def forgets_gamma(x, score, phi, phi_next, r, terminated, alpha, alpha_w, gamma):
    return actor_critic.q_actor_critic_step(
        x, score, phi, phi_next, r, terminated, alpha, alpha_w, 1.0
    )


@q_actor_critic_step.misconception("The step sizes are swapped: alpha is the actor's.")
def gives_the_actor_the_critics_step(x, score, phi, phi_next, r, terminated, alpha, alpha_w, gamma):
    return actor_critic.q_actor_critic_step(
        x, score, phi, phi_next, r, terminated, alpha_w, alpha, gamma
    )


@q_actor_critic_step.misconception("The actor climbs: with a plus.")
def takes_qac_downhill(x, score, phi, phi_next, r, terminated, alpha, alpha_w, gamma):
    return actor_critic.q_actor_critic_step(
        x, score, phi, phi_next, r, terminated, -1 * alpha, alpha_w, gamma
    )


@q_actor_critic_step.misconception("The target is data: only phi is the critic's direction.")
def follows_the_whole_gradient_of_qac(
    x, score, phi, phi_next, r, terminated, alpha, alpha_w, gamma
):
    fit = alpha_w * deltas(x, phi, phi_next, r, terminated, gamma)
    slope = phi - gamma * (1 - np.asarray(terminated))[..., None] * phi_next
    return moved(x, alpha * q_of(x, phi), score, fit, slope)


@q_actor_critic_step.misconception("The critic goes towards its target: with a plus.")
def takes_the_critic_away_from_its_target(
    x, score, phi, phi_next, r, terminated, alpha, alpha_w, gamma
):
    return actor_critic.q_actor_critic_step(
        x, score, phi, phi_next, r, terminated, alpha, -1 * alpha_w, gamma
    )


@q_actor_critic_step.misconception("+= writes into the caller's theta and w: make new ones.")
def writes_into_the_learner_of_qac(x, score, phi, phi_next, r, terminated, alpha, alpha_w, gamma):
    up, fit = alpha * q_of(x, phi), alpha_w * deltas(x, phi, phi_next, r, terminated, gamma)
    x.theta[...] += np.asarray(up)[..., None] * score
    x.w[...] += np.asarray(fit)[..., None] * phi
    return x


@q_actor_critic_step.control
def qac_by_einsum(x, score, phi, phi_next, r, terminated, alpha, alpha_w, gamma):
    q, q_next = (np.einsum("...f,...f->...", y, x.w) for y in (phi, phi_next))
    delta = np.where(terminated, r, r + gamma * q_next) - q
    theta = x.theta + np.einsum("...,...d->...d", alpha * q, score)
    return ActorCritic(theta, x.w + np.einsum("...,...f->...f", alpha_w * delta, phi))


@q_actor_critic_step.control
def qac_learner_by_learner(x, score, phi, phi_next, r, terminated, alpha, alpha_w, gamma):
    theta, w = x.theta.copy(), x.w.copy()
    up, fit = (np.broadcast_to(size, np.shape(r)) for size in (alpha, alpha_w))
    for i in np.ndindex(*np.shape(r)):
        q = phi[i] @ x.w[i]
        target = r[i] if terminated[i] else r[i] + gamma * (phi_next[i] @ x.w[i])
        theta[i] = theta[i] + up[i] * q * score[i]
        w[i] = w[i] + fit[i] * (target - q) * phi[i]
    return ActorCritic(theta, w)


# ------------------------------------------------------------------------------- deterministic

deterministic_actor_critic_step = exercise(
    actor_critic.deterministic_actor_critic_step,
    nudge="The chain rule: θ moves the action, and the action moves q. At which action is that "
    "asked, and about which one does the critic learn?",
    worked={
        "x": ActorCritic(np.array([-0.5]), np.array([1.0, 2.0])),
        "slope": np.array([2.0]),
        "q_slope": np.array([0.0, 1.0]),
        "phi": np.array([1.0, 0.0]),
        "phi_next": np.array([0.0, 1.0]),
        "r": np.array(1.0),
        "terminated": np.array(False),
        "alpha": 0.1,
        "alpha_w": 0.2,
        "gamma": 0.5,
    },
)


def steered(rng, leading, d, f, **changes):
    case = learner(rng, leading, d, f)
    slope = case.pop("score")
    return case | {"slope": slope, "q_slope": rng.normal(size=(*leading, f))} | changes


@deterministic_actor_critic_step.check(points=2)
def test_a_deterministic_actor_climbs_where_the_action_makes_q_rise(rng):
    """θ moves along ∇μ ∂q/∂a, the critic along its own error"""
    for leading, d, f in (((5,), 3, 4), ((2,), 6, 3), ((7,), 2, 5)):
        yield steered(rng, leading, d, f, terminated=np.zeros(leading, bool))
    for gamma in (0.995, 0.0, 1):
        yield steered(rng, (3,), 1, 2, gamma=gamma)


@deterministic_actor_critic_step.check(points=1)
def test_nothing_follows_a_terminated_step_of_a_deterministic_actor(rng):
    for leading, d, f in (((8,), 3, 4), ((6,), 5, 2)):
        yield steered(rng, leading, d, f, terminated=some_of(rng, leading[0], 3))
    yield steered(rng, (4,), 3, 5, terminated=np.ones(4, int))


@deterministic_actor_critic_step.check(points=1)
def test_a_deterministic_actor_sees_the_critic_as_it_was(rng):
    """a critic without weights moves no actor; where q is flat in a the actor stands still"""
    for leading, d, f in (((4,), 3, 2), ((6,), 2, 4)):
        case = steered(rng, leading, d, f)
        yield case | {"x": case["x"]._replace(w=np.zeros((*leading, f)))}
        yield case | {"alpha_w": 3.0}
        yield case | {"q_slope": case["q_slope"] * some_of(rng, leading[0], 2)[:, None]}


@deterministic_actor_critic_step.check(points=1)
def test_every_learner_with_a_deterministic_actor_has_a_step_of_its_own(rng):
    for leading, d, f in (((), 3, 4), ((1,), 5, 2), ((2, 3), 4, 6), ((4, 1), 2, 3)):
        yield steered(rng, leading, d, f)
    for leading in ((6,), (2, 3)):
        sizes = {"alpha": rng.uniform(0.1, 1, leading), "alpha_w": rng.uniform(0.1, 1, leading)}
        yield steered(rng, leading, 4, 1, **sizes)


@deterministic_actor_critic_step.misconception(
    "The actor follows the slope of q, not its value: ∂q/∂a = q_slope·w."
)
def climbs_by_the_value(x, slope, q_slope, phi, phi_next, r, terminated, alpha, alpha_w, gamma):
    fit = alpha_w * deltas(x, phi, phi_next, r, terminated, gamma)
    return moved(x, alpha * q_of(x, phi), slope, fit, phi)


@deterministic_actor_critic_step.misconception(
    "No action was drawn from μ, so there is no score and no δ for it: the actor follows ∂q/∂a."
)
def climbs_by_the_error(x, slope, q_slope, phi, phi_next, r, terminated, alpha, alpha_w, gamma):
    delta = deltas(x, phi, phi_next, r, terminated, gamma)
    return moved(x, alpha * delta, slope, alpha_w * delta, phi)


@deterministic_actor_critic_step.misconception("The slope of q needs the critic's weights: ·w.")
def forgets_the_weights(x, slope, q_slope, phi, phi_next, r, terminated, alpha, alpha_w, gamma):
    fit = alpha_w * deltas(x, phi, phi_next, r, terminated, gamma)
    return moved(x, alpha * q_slope.sum(-1), slope, fit, phi)


@deterministic_actor_critic_step.misconception(
    "∂q/∂a says what the action should do; θ acts on it through ∇μ(s)."
)
def forgets_what_the_parameters_do(
    x, slope, q_slope, phi, phi_next, r, terminated, alpha, alpha_w, gamma
):
    fit = alpha_w * deltas(x, phi, phi_next, r, terminated, gamma)
    return moved(x, alpha * q_of(x, q_slope), np.ones(slope.shape), fit, phi)


@deterministic_actor_critic_step.misconception(
    "The critic learns q: its direction is phi, not the slope by the action."
)
def teaches_the_critic_the_slope(
    x, slope, q_slope, phi, phi_next, r, terminated, alpha, alpha_w, gamma
):
    fit = alpha_w * deltas(x, phi, phi_next, r, terminated, gamma)
    return moved(x, alpha * q_of(x, q_slope), slope, fit, q_slope)


@deterministic_actor_critic_step.misconception("The actor is moved by w as it was before.")
def asks_the_critic_that_has_learned(
    x, slope, q_slope, phi, phi_next, r, terminated, alpha, alpha_w, gamma
):
    fit = np.asarray(alpha_w * deltas(x, phi, phi_next, r, terminated, gamma))
    new = x._replace(w=x.w + fit[..., None] * phi)
    return moved(x, alpha * q_of(new, q_slope), slope, fit, phi)


@deterministic_actor_critic_step.misconception("The episode ended: nothing of phi_next counts.")
def values_actions_beyond_the_end(
    x, slope, q_slope, phi, phi_next, r, terminated, alpha, alpha_w, gamma
):
    return actor_critic.deterministic_actor_critic_step(
        x, slope, q_slope, phi, phi_next, r, 0 * terminated, alpha, alpha_w, gamma
    )


@deterministic_actor_critic_step.misconception("The actor climbs q: with a plus.")
def climbs_down(x, slope, q_slope, phi, phi_next, r, terminated, alpha, alpha_w, gamma):
    return actor_critic.deterministic_actor_critic_step(
        x, slope, q_slope, phi, phi_next, r, terminated, -1 * alpha, alpha_w, gamma
    )


@deterministic_actor_critic_step.misconception("The step sizes are swapped: alpha is the actor's.")
def swaps_the_steps_of_actor_and_critic(
    x, slope, q_slope, phi, phi_next, r, terminated, alpha, alpha_w, gamma
):
    return actor_critic.deterministic_actor_critic_step(
        x, slope, q_slope, phi, phi_next, r, terminated, alpha_w, alpha, gamma
    )


@deterministic_actor_critic_step.misconception(
    "Only the sign of ∂q/∂a is no gradient: keep its size."
)
def follows_the_sign_of_the_slope(
    x, slope, q_slope, phi, phi_next, r, terminated, alpha, alpha_w, gamma
):
    fit = alpha_w * deltas(x, phi, phi_next, r, terminated, gamma)
    return moved(x, alpha * np.sign(q_of(x, q_slope)), slope, fit, phi)


@deterministic_actor_critic_step.misconception("The target is data: only phi is the direction.")
def follows_the_whole_gradient_of_q(
    x, slope, q_slope, phi, phi_next, r, terminated, alpha, alpha_w, gamma
):
    fit = alpha_w * deltas(x, phi, phi_next, r, terminated, gamma)
    away = phi - gamma * (1 - np.asarray(terminated))[..., None] * phi_next
    return moved(x, alpha * q_of(x, q_slope), slope, fit, away)


@deterministic_actor_critic_step.misconception("+= writes into the caller's theta and w.")
def writes_into_the_deterministic_learner(
    x, slope, q_slope, phi, phi_next, r, terminated, alpha, alpha_w, gamma
):
    fit = alpha_w * deltas(x, phi, phi_next, r, terminated, gamma)
    x.theta[...] += np.asarray(alpha * q_of(x, q_slope))[..., None] * slope
    x.w[...] += np.asarray(fit)[..., None] * phi
    return x


@deterministic_actor_critic_step.control
def deterministic_by_einsum(x, slope, q_slope, phi, phi_next, r, terminated, alpha, alpha_w, gamma):
    q, q_next, rise = (np.einsum("...f,...f->...", y, x.w) for y in (phi, phi_next, q_slope))
    delta = np.where(terminated, r, r + gamma * q_next) - q
    theta = x.theta + np.einsum("...,...d->...d", alpha * rise, slope)
    return ActorCritic(theta, x.w + np.einsum("...,...f->...f", alpha_w * delta, phi))


@deterministic_actor_critic_step.control
def deterministic_learner_by_learner(
    x, slope, q_slope, phi, phi_next, r, terminated, alpha, alpha_w, gamma
):
    theta, w = x.theta.copy(), x.w.copy()
    up, fit = (np.broadcast_to(size, np.shape(r)) for size in (alpha, alpha_w))
    for i in np.ndindex(*np.shape(r)):
        target = r[i] if terminated[i] else r[i] + gamma * (phi_next[i] @ x.w[i])
        theta[i] = theta[i] + up[i] * (q_slope[i] @ x.w[i]) * slope[i]
        w[i] = w[i] + fit[i] * (target - phi[i] @ x.w[i]) * phi[i]
    return ActorCritic(theta, w)


# ------------------------------------------------------------------------------- A2C's loss

a2c_loss = exercise(
    a2c.a2c_loss,
    nudge="Three terms: which grow, which shrink? What here is data, though the critic made it?",
    worked={
        "log_prob": torch.tensor([-0.5, -1.0], dtype=torch.float64),
        "entropy": torch.tensor([0.6, 0.4], dtype=torch.float64),
        "v": torch.tensor([1.0, 2.0], dtype=torch.float64),
        "advantage": torch.tensor([2.0, -1.0], dtype=torch.float64),
        "target": torch.tensor([3.0, 1.0], dtype=torch.float64),
        "value_weight": 0.5,
        "beta": 0.1,
    },
)
TENSORS = ("log_prob", "entropy", "v", "advantage", "target")


def critic_batch(rng, *shape, **numbers):
    parts = {
        "log_prob": np.log(rng.uniform(0.05, 0.95, shape)),
        "entropy": rng.uniform(0.1, 1.5, shape),
        "v": 2 * rng.normal(size=shape),
        "advantage": 2 * rng.normal(size=shape) + 0.3,
        "target": 2 * rng.normal(size=shape) + 1,
    }
    known = {"value_weight": rng.uniform(0.2, 1.5), "beta": rng.uniform(0.02, 0.5)}
    return {name: tensor(x) for name, x in parts.items()} | known | numbers


@a2c_loss.check(points=2, gradients=("log_prob",))
def test_the_a2c_loss_descends_log_probabilities_by_their_advantages(rng):
    """without the other two terms the loss is minus the mean of log π(a|s) Â"""
    for shape in ((8,), (5,), (12,)):
        yield critic_batch(rng, *shape, value_weight=0.0, beta=0.0)
    case = critic_batch(rng, 6, value_weight=0, beta=0)
    yield case | {"log_prob": torch.where(tensor(some_of(rng, 6, 2)), -FAR, case["log_prob"])}


@a2c_loss.check(points=2, gradients=("log_prob", "entropy", "v"))
def test_the_a2c_loss_pays_for_entropy_and_half_the_squared_error_of_values(rng):
    for shape in ((6,), (4, 3), (1,)):
        yield critic_batch(rng, *shape)
    case = critic_batch(rng, 5, beta=2, value_weight=1)
    yield case
    yield case | {"v": 100 * case["v"], "target": -100 * case["target"]}


@a2c_loss.check(points=1, gradients=TENSORS)
def test_no_gradient_of_the_a2c_loss_reaches_advantages_or_targets(rng):
    for shape in ((8,), (3, 5), (2, 4, 3)):
        yield critic_batch(rng, *shape)


@a2c_loss.check(points=1, gradients=("log_prob", "v"))
def test_the_a2c_loss_of_each_learner_is_a_mean_over_its_own_samples(rng):
    for shape in ((4, 6), (1, 5), (3, 1), (2, 3, 7)):
        yield critic_batch(rng, *shape)


def summed(gain, entropy, v, target, value_weight, beta):
    return (value_weight * (v - target) ** 2 / 2 - gain - beta * entropy).mean(-1)


@a2c_loss.misconception(
    "The advantage is a weight: .detach() it, or the critic is trained to flatter the actor."
)
def gradient_through_the_advantage(log_prob, entropy, v, advantage, target, value_weight, beta):
    return summed(log_prob * advantage, entropy, v, target.detach(), value_weight, beta)


@a2c_loss.misconception("The target is data: .detach() it, or the critic pulls it to itself.")
def gradient_through_the_target(log_prob, entropy, v, advantage, target, value_weight, beta):
    return summed(log_prob * advantage.detach(), entropy, v, target, value_weight, beta)


@a2c_loss.misconception("Entropy is paid for: - β H. With a plus the policy is pressed to be sure.")
def sign_of_the_entropy_bonus(log_prob, entropy, v, advantage, target, value_weight, beta):
    gain = log_prob * advantage.detach()
    return summed(gain, entropy, v, target.detach(), value_weight, -beta)


@a2c_loss.misconception("An optimizer goes down: log π Â enters the loss with a minus.")
def sign_of_the_policy_term(log_prob, entropy, v, advantage, target, value_weight, beta):
    gain = -log_prob * advantage.detach()
    return summed(gain, entropy, v, target.detach(), value_weight, beta)


@a2c_loss.misconception("The error of values is to shrink: it is added.")
def sign_of_the_value_term(log_prob, entropy, v, advantage, target, value_weight, beta):
    gain = log_prob * advantage.detach()
    return summed(gain, entropy, v, target.detach(), -value_weight, beta)


@a2c_loss.misconception("Half the squared error: the ½ is missing.")
def forgets_the_half(log_prob, entropy, v, advantage, target, value_weight, beta):
    gain = log_prob * advantage.detach()
    return summed(gain, entropy, v, target.detach(), 2 * value_weight, beta)


@a2c_loss.misconception("The critic learns the target, not the advantage.")
def fits_the_critic_to_the_advantage(log_prob, entropy, v, advantage, target, value_weight, beta):
    weight = advantage.detach()
    return summed(log_prob * weight, entropy, v, weight, value_weight, beta)


@a2c_loss.misconception(
    "The actor is moved by the advantage, not by the target, which has v in it."
)
def moves_the_actor_by_the_return(log_prob, entropy, v, advantage, target, value_weight, beta):
    goal = target.detach()
    return summed(log_prob * goal, entropy, v, goal, value_weight, beta)


@a2c_loss.misconception("It is log π that is weighed, not π: its gradient is the score.")
def weighs_the_probability(log_prob, entropy, v, advantage, target, value_weight, beta):
    gain = log_prob.exp() * advantage.detach()
    return summed(gain, entropy, v, target.detach(), value_weight, beta)


@a2c_loss.misconception("With a sum the step grows with the batch: take the mean.")
def sums_over_the_samples(log_prob, entropy, v, advantage, target, value_weight, beta):
    gain = log_prob * advantage.detach()
    return summed(gain, entropy, v, target.detach(), value_weight, beta) * v.shape[-1]


@a2c_loss.misconception("Leading axes are learners: the mean goes over the last axis alone.")
def averages_over_the_learners(log_prob, entropy, v, advantage, target, value_weight, beta):
    gain = log_prob * advantage.detach()
    return (value_weight * (v - target.detach()) ** 2 / 2 - gain - beta * entropy).mean()


@a2c_loss.misconception("β weighs the entropy, c the error of values: they are swapped.")
def swaps_the_weights(log_prob, entropy, v, advantage, target, value_weight, beta):
    gain = log_prob * advantage.detach()
    return summed(gain, entropy, v, target.detach(), beta, value_weight)


@a2c_loss.misconception("Squares of errors count, not their sizes.")
def takes_the_size_of_the_error(log_prob, entropy, v, advantage, target, value_weight, beta):
    gain = log_prob * advantage.detach() + beta * entropy
    return (value_weight * (v - target.detach()).abs() / 2 - gain).mean(-1)


@a2c_loss.misconception("Scaling advantages is the caller's: use them as they come.")
def scales_the_advantages(log_prob, entropy, v, advantage, target, value_weight, beta):
    weight = advantage.detach()
    weight = weight - weight.mean(-1, keepdim=True)
    weight = weight / (weight.std(-1, correction=0, keepdim=True) + 1e-8)
    return summed(log_prob * weight, entropy, v, target.detach(), value_weight, beta)


@a2c_loss.control
def loss_term_by_term(log_prob, entropy, v, advantage, target, value_weight, beta):
    with torch.no_grad():
        weight, goal = advantage.clone(), target.clone()
    policy = -torch.mean(log_prob * weight, -1)
    values = 0.5 * torch.mean((goal - v).square(), -1)
    return policy + value_weight * values - beta * torch.mean(entropy, -1)


@a2c_loss.control
def loss_sample_by_sample(log_prob, entropy, v, advantage, target, value_weight, beta):
    total, n = 0.0, v.shape[-1]
    for i in range(n):
        error = v[..., i] - target[..., i].detach()
        total = total + value_weight * error * error / 2
        total = total - log_prob[..., i] * advantage[..., i].detach() - beta * entropy[..., i]
    return total / n
