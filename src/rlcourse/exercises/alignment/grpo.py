"""The six exercises of the GRPO chapter: advantages of a group in two forms, groups that teach
something, the weights of tokens, and two losses with another clip. What is data and what is learned
shows in the gradients, which are graded too.

Axes differ in size and vary: B responses, R tokens of the longest.
"""

import numpy as np
import torch

from rlcourse.alignment import aggregation, grpo
from rlcourse.exercises.alignment.ppo_rlhf import emptied, ended, interrupted
from rlcourse.exercises.deep.policy_gradient import tensor
from rlcourse.exercises.deep.ppo import inside, outside
from rlcourse.grading import exercise

FAR = 1e4
UNEQUAL = (3, 2, 5), (4, 2), (2, 6, 3, 4)

# ------------------------------------------------------------------------------- GRPO

grpo_advantages = exercise(
    grpo.grpo_advantages,
    nudge="With whom is an answer compared? By what is the difference divided, and what happens "
    "where all earned the same?",
    worked={
        "rewards": torch.tensor([1.0, 0.0, 3.0, 2.0, 2.0], dtype=torch.float64),
        "groups": torch.tensor([7, 5, 7, 5, 5]),
        "epsilon": 0.5,
    },
)


def in_rows(rng, k, g, **more):
    """Rewards of G answers to each of K prompts, one prompt after another."""
    return {
        "rewards": tensor(2 * rng.normal(size=k * g) + np.repeat(rng.normal(size=k), g)),
        "groups": torch.arange(k).repeat_interleave(g),
    } | more


def mixed(rng, sizes, **more):
    """Rewards of groups of these sizes, with any names, in any order."""
    names = rng.permutation(40)[: len(sizes)] - 9
    groups = rng.permutation(np.repeat(names, sizes))
    return {"rewards": tensor(2 * rng.normal(size=len(groups))), "groups": tensor(groups)} | more


def ranks(rng, groups):
    """0, 1, ... within each group, by lot."""
    place = tensor(rng.permutation(len(groups)))
    return ((groups[:, None] == groups) & (place[:, None] > place)).sum(1)


def verified(rng, sizes, **more):
    """The same with rewards of 0 and 1, both of which each group has."""
    case = mixed(rng, sizes, **more)
    return case | {"rewards": (ranks(rng, case["groups"]) % 2).double()}


def of_size(case, size):
    """Which answers belong to a group of this size."""
    return (case["groups"][:, None] == case["groups"]).sum(1) == size


def equalled(case, size, value):
    """The same, but all groups of this size have earned this."""
    return case | {"rewards": torch.where(of_size(case, size), value, case["rewards"])}


def added(rng, case):
    """The same, and one answer more, which is a group by itself."""
    at = int(rng.integers(len(case["groups"]) + 1))
    alone = {"rewards": tensor(rng.normal(size=1)), "groups": torch.tensor([77])}
    parts = {n: (case[n][:at], alone[n], case[n][at:]) for n in alone}
    return case | {n: torch.cat(part) for n, part in parts.items()}


def in_two_rows(rng):
    """Rewards on two axes, all of one group."""
    name = int(rng.integers(9))
    return {"rewards": tensor(rng.normal(size=(2, 3))), "groups": torch.full((2, 3), name)}


@grpo_advantages.check(points=2)
def test_an_answer_is_compared_with_its_group_in_deviations_of_it(rng):
    """the reward less the group's mean, over the group's unbiased deviation + ε"""
    for k, g in ((3, 4), (2, 5)):
        yield in_rows(rng, k, g)
        yield in_rows(rng, k, g, epsilon=float(rng.uniform(0.1, 2)))


@grpo_advantages.check(points=1)
def test_without_a_scale_the_reward_less_the_mean_is_left(rng):
    """by "none" nothing is divided"""
    for k, g in ((3, 4), (2, 7)):
        yield in_rows(rng, k, g, scale="none", epsilon=float(rng.uniform(0.1, 2)))


@grpo_advantages.check(points=2)
def test_the_batch_gives_one_deviation_to_all_groups(rng):
    """by "batch" all are divided by the unbiased deviation of all centred rewards + ε"""
    for k, g in ((3, 4), (2, 5)):
        yield in_rows(rng, k, g, scale="batch")
        yield in_rows(rng, k, g, scale="batch", epsilon=float(rng.uniform(0.1, 2)))


@grpo_advantages.check(points=2)
def test_groups_have_any_size_name_and_order(rng):
    """groups may be of unequal size, in any order, and their names are only names"""
    for sizes, scale in zip(UNEQUAL, grpo.SCALES, strict=True):
        yield mixed(rng, sizes, scale=scale)
    yield verified(rng, (5, 3, 4))


@grpo_advantages.check(points=1)
def test_a_group_of_equal_rewards_has_the_advantage_zero(rng):
    """where all of a group earned the same its advantages are 0, however small ε is"""
    for size, value in ((3, 0.1), (3, 0.7), (6, 0.7), (4, 0.0), (2, 1.0)):
        yield equalled(mixed(rng, (size, size + 2), epsilon=1e-12), size, value)


@grpo_advantages.check(points=1, gradients=("rewards",))
def test_an_advantage_is_data(rng):
    """no gradient reaches the rewards"""
    for sizes, scale in zip(UNEQUAL, grpo.SCALES, strict=True):
        yield mixed(rng, sizes, scale=scale)


@grpo_advantages.check(points=1)
def test_an_answer_alone_and_another_scale_are_refused(rng):
    """a group of one, shapes that don't fit, and another scale raise ValueError"""
    yield added(rng, mixed(rng, (3, 4)))
    yield added(rng, mixed(rng, (2, 5), scale="none"))
    for scale in ("std", "Group", ""):
        yield mixed(rng, (2, 3), scale=scale)
    case = mixed(rng, (4, 3))
    yield case | {"groups": case["groups"][:-1]}
    yield in_two_rows(rng)
    yield mixed(rng, (3, 4), scale=grpo.SCALES[int(rng.integers(3))])


def centred(rewards, groups, scale="group"):
    """The reward less its group's mean, and the group's moments; refuses what must be refused."""
    if scale not in grpo.SCALES:
        raise ValueError("scale")
    found = grpo.group_moments(rewards, groups)
    return rewards.detach() - found.mean, found


def scaled(c, std, scale, epsilon):
    """The centred rewards over one of the deviations."""
    if scale == "none":
        return c
    return c / ((std if scale == "group" else c.std()) + epsilon)


@grpo_advantages.misconception("The deviation is unbiased: G - 1 below, not G.")
def takes_the_biased_deviation(rewards, groups, scale="group", epsilon=1e-6):
    c, found = centred(rewards, groups, scale)
    return scaled(c, found.std * ((found.size - 1) / found.size).sqrt(), scale, epsilon)


@grpo_advantages.misconception("The batch's deviation is unbiased: B - 1 below, not B.")
def takes_the_batches_biased_deviation(rewards, groups, scale="group", epsilon=1e-6):
    c, found = centred(rewards, groups, scale)
    if scale == "batch":
        return c / (c.std(correction=0) + epsilon)
    return scaled(c, found.std, scale, epsilon)


@grpo_advantages.misconception("Whose prompt is hard earns little: compare within the group.")
def subtracts_the_batches_mean(rewards, groups, scale="group", epsilon=1e-6):
    _, found = centred(rewards, groups, scale)
    return scaled(rewards.detach() - rewards.detach().mean(), found.std, scale, epsilon)


@grpo_advantages.misconception("The deviation is the group's; that of the batch is another scale.")
def takes_the_batches_deviation_for_the_groups(rewards, groups, scale="group", epsilon=1e-6):
    c, _ = centred(rewards, groups, scale)
    return c if scale == "none" else c / (c.std() + epsilon)


@grpo_advantages.misconception(
    "The batch's deviation is of centred rewards: prompts differ in mean."
)
def takes_the_deviation_of_raw_rewards(rewards, groups, scale="group", epsilon=1e-6):
    c, found = centred(rewards, groups, scale)
    if scale == "batch":
        return c / (rewards.detach().std() + epsilon)
    return scaled(c, found.std, scale, epsilon)


@grpo_advantages.misconception("Three scales, and this is always the group's.")
def ignores_the_scale(rewards, groups, scale="group", epsilon=1e-6):
    c, found = centred(rewards, groups, scale)
    return scaled(c, found.std, "group", epsilon)


@grpo_advantages.misconception("Dr. GRPO doesn't divide at all.")
def divides_by_epsilon_without_a_scale(rewards, groups, scale="group", epsilon=1e-6):
    c, found = centred(rewards, groups, scale)
    return c / (1 + epsilon) if scale == "none" else scaled(c, found.std, scale, epsilon)


@grpo_advantages.misconception("ε is added to the deviation, not to the variance under the root.")
def hides_epsilon_under_the_root(rewards, groups, scale="group", epsilon=1e-6):
    c, found = centred(rewards, groups, scale)
    if scale == "none":
        return c
    return c / ((found.std if scale == "group" else c.std()) ** 2 + epsilon).sqrt()


@grpo_advantages.misconception("0/0 is NaN in a group of equal rewards: add ε to the deviation.")
def forgets_epsilon(rewards, groups, scale="group", epsilon=1e-6):
    c, found = centred(rewards, groups, scale)
    return scaled(c, found.std, scale, 0)


@grpo_advantages.misconception("Divide by the standard deviation; its square is the variance.")
def divides_by_the_variance(rewards, groups, scale="group", epsilon=1e-6):
    c, found = centred(rewards, groups, scale)
    if scale == "none":
        return c
    return c / ((found.std if scale == "group" else c.std()) ** 2 + epsilon)


@grpo_advantages.misconception(
    "The mean is of the whole group: without the answer itself it is RLOO."
)
def leaves_the_answer_out(rewards, groups, scale="group", epsilon=1e-6):
    c, found = centred(rewards, groups, scale)
    return scaled(c * found.size / (found.size - 1), found.std, scale, epsilon)


@grpo_advantages.misconception("Answers to one prompt needn't stand together: ask `groups`.")
def takes_neighbours_for_a_group(rewards, groups, scale="group", epsilon=1e-6):
    centred(rewards, groups, scale)
    g = int((groups == groups[0]).sum())
    r = rewards.detach()
    blocks = [r[i : i + g] for i in range(0, len(r), g)]
    c = torch.cat([x - x.mean() for x in blocks])
    std = torch.cat([x.std(correction=min(1, len(x) - 1)).expand(len(x)) for x in blocks])
    return scaled(c, std, scale, epsilon)


@grpo_advantages.misconception("A group's name is no index: 0 to K - 1 isn't promised.")
def takes_names_for_indices(rewards, groups, scale="group", epsilon=1e-6):
    centred(rewards, groups, scale)
    size = int(groups.max()) + 1
    if int(groups.min()) < 0 or len(groups.unique()) < size:
        raise IndexError("index out of range")
    return grpo.grpo_advantages(rewards, groups, scale, epsilon)


@grpo_advantages.misconception(
    "In floats the mean of three 0.1 isn't 0.1, and ε may be smaller than what is left: ask "
    "whether all are equal, or take the mean of differences."
)
def trusts_the_mean_of_equal_floats(rewards, groups, scale="group", epsilon=1e-6):
    centred(rewards, groups, scale)
    r, c, std = rewards.detach(), rewards.detach().clone(), rewards.detach().clone()
    for name in groups.unique():
        own = r[groups == name]
        c[groups == name] = own - own.mean()
        std[groups == name] = own.std()
    return scaled(c, std, scale, epsilon)


@grpo_advantages.misconception("An advantage is data: .detach() the rewards, a network gave them.")
def gradient_through_rewards(rewards, groups, scale="group", epsilon=1e-6):
    _, found = centred(rewards, groups, scale)
    c = rewards - found.mean
    return scaled(c, found.std, scale, epsilon)


@grpo_advantages.misconception(
    "Alone an answer is compared with nobody: ValueError, not its reward."
)
def lets_an_answer_alone_keep_its_reward(rewards, groups, scale="group", epsilon=1e-6):
    alone = (groups[:, None] == groups).sum(1) == 1
    if rewards.shape != groups.shape or not alone.any():
        return grpo.grpo_advantages(rewards, groups, scale, epsilon)
    rest = grpo.grpo_advantages(rewards[~alone], groups[~alone], scale, epsilon)
    return rewards.detach().masked_scatter(~alone, rest)


@grpo_advantages.misconception("Alone an answer is compared with nobody: ValueError, not 0.")
def gives_nothing_to_an_answer_alone(rewards, groups, scale="group", epsilon=1e-6):
    alone = (groups[:, None] == groups).sum(1) == 1
    if rewards.shape != groups.shape or not alone.any():
        return grpo.grpo_advantages(rewards, groups, scale, epsilon)
    rest = grpo.grpo_advantages(rewards[~alone], groups[~alone], scale, epsilon)
    return torch.zeros_like(rewards).masked_scatter(~alone, rest)


@grpo_advantages.misconception("A scale that nobody knows is a slip of the pen: raise ValueError.")
def takes_any_scale_for_none(rewards, groups, scale="group", epsilon=1e-6):
    known = scale if scale in grpo.SCALES else "none"
    return grpo.grpo_advantages(rewards, groups, known, epsilon)


@grpo_advantages.misconception("Rewards and groups are of one length: raise ValueError where not.")
def cuts_what_does_not_fit(rewards, groups, scale="group", epsilon=1e-6):
    r, g = rewards.flatten(), groups.flatten()
    n = min(len(r), len(g))
    return grpo.grpo_advantages(r[:n], g[:n], scale, epsilon)


@grpo_advantages.control
def group_by_group(rewards, groups, scale="group", epsilon=1e-6):
    if scale not in ("group", "batch", "none") or rewards.ndim != 1 or groups.ndim != 1:
        raise ValueError("scale or shapes")
    names, members = groups.tolist(), {}
    for name, r in zip(names, rewards.tolist(), strict=True):
        members.setdefault(name, []).append(r)
    found, deviation = [], []
    for name, r in zip(names, rewards.tolist(), strict=True):
        own = np.array(members[name])
        if len(own) < 2:
            raise ValueError("alone")
        equal = (own == own[0]).all()
        found.append(0.0 if equal else r - own.mean())
        deviation.append(0.0 if equal else own.std(ddof=1))
    if scale == "batch":
        deviation = np.full(len(found), np.std(found, ddof=1))
    below = np.ones(len(found)) if scale == "none" else np.array(deviation) + epsilon
    return torch.tensor(np.array(found) / below, dtype=rewards.dtype)


# ------------------------------------------------------------------------------- RLOO

leave_one_out = exercise(
    grpo.leave_one_out,
    nudge="What did the others of the group earn on average? How is that got from the mean of all?",
    worked={
        "rewards": torch.tensor([1.0, 5.0, 4.0, 0.0, 3.0], dtype=torch.float64),
        "groups": torch.tensor([7, 5, 7, 5, 5]),
    },
)


@leave_one_out.check(points=2)
def test_an_answer_is_compared_with_the_mean_of_the_others(rng):
    """the reward less the mean of what the others of its group earned"""
    for k, g in ((3, 4), (2, 5), (2, 3)):
        yield in_rows(rng, k, g)


@leave_one_out.check(points=1)
def test_of_two_answers_each_is_the_others_baseline(rng):
    """in a group of two the advantage is the difference of both rewards"""
    for sizes in ((2, 2), (2, 2, 2)):
        yield mixed(rng, sizes)


@leave_one_out.check(points=2)
def test_each_group_has_a_size_name_and_order_of_its_own(rng):
    """groups may be of unequal size, in any order, and their names are only names"""
    for sizes in UNEQUAL:
        yield mixed(rng, sizes)
    yield verified(rng, (5, 3, 4))


@leave_one_out.check(points=1)
def test_who_earned_what_all_did_has_no_advantage(rng):
    """a group of equal rewards has the advantage 0, beside others"""
    for sizes, value in (((3, 5), 0.1), ((4, 2, 3), 0.7), ((2, 6), 0.0)):
        yield equalled(mixed(rng, sizes), sizes[0], value)


@leave_one_out.check(points=1, gradients=("rewards",))
def test_what_others_earned_is_data(rng):
    """no gradient reaches the rewards"""
    for sizes in UNEQUAL[:2]:
        yield mixed(rng, sizes)


@leave_one_out.check(points=1)
def test_an_answer_without_others_is_refused(rng):
    """a group of one, and shapes that don't fit, raise ValueError"""
    yield added(rng, mixed(rng, (3, 4)))
    yield added(rng, mixed(rng, (2, 2, 3)))
    case = mixed(rng, (4, 3))
    yield case | {"groups": case["groups"][:-1]}
    yield in_two_rows(rng)
    yield mixed(rng, (3, 2))


@leave_one_out.misconception("The answer itself is no other: leave it out of its own baseline.")
def keeps_the_answer_in(rewards, groups):
    return centred(rewards, groups)[0]


@leave_one_out.misconception("G - 1 others: divide their sum by that, not by G.")
def divides_by_all(rewards, groups):
    _, found = centred(rewards, groups)
    r = rewards.detach()
    return r - (found.mean * found.size - r) / found.size


@leave_one_out.misconception("Each group has a size of its own: G isn't that of the first.")
def takes_one_size_for_all(rewards, groups):
    c, found = centred(rewards, groups)
    return c * found.size[0] / (found.size[0] - 1)


@leave_one_out.misconception("G/(G - 1), not its inverse: the others' mean lies farther off.")
def turns_the_factor_round(rewards, groups):
    c, found = centred(rewards, groups)
    return c * (found.size - 1) / found.size


@leave_one_out.misconception("Others are those of the same prompt, not all of the batch.")
def compares_with_the_whole_batch(rewards, groups):
    centred(rewards, groups)
    r = rewards.detach()
    return r - (r.sum() - r) / (len(r) - 1)


@leave_one_out.misconception("The baseline is subtracted from the reward, it isn't the answer.")
def returns_the_baseline(rewards, groups):
    return rewards.detach() - grpo.leave_one_out(rewards, groups)


@leave_one_out.misconception("Better than the others is above 0: the reward less the baseline.")
def turns_the_advantage_round(rewards, groups):
    return -grpo.leave_one_out(rewards, groups)


@leave_one_out.misconception("RLOO divides by no standard deviation: it would add a bias.")
def divides_by_the_deviation(rewards, groups):
    _, found = centred(rewards, groups)
    return grpo.leave_one_out(rewards, groups) / (found.std + 1e-6)


@leave_one_out.misconception("The mean of the others is the baseline, not the best of them.")
def compares_with_the_best_other(rewards, groups):
    centred(rewards, groups)
    r = rewards.detach()
    others = (groups[:, None] == groups) & ~torch.eye(len(r), dtype=torch.bool)
    return r - torch.where(others, r, -torch.inf).amax(1)


@leave_one_out.misconception("All others count, not the next one alone.")
def compares_with_the_next(rewards, groups):
    centred(rewards, groups)
    found = rewards.detach().clone()
    for name in groups.unique():
        own = groups == name
        found[own] -= rewards.detach()[own].roll(-1)
    return found


@leave_one_out.misconception("Answers to one prompt needn't stand together: ask `groups`.")
def takes_neighbours_for_others(rewards, groups):
    centred(rewards, groups)
    g = int((groups == groups[0]).sum())
    r = rewards.detach()
    blocks = [r[i : i + g] for i in range(0, len(r), g)]
    return torch.cat([x - (x.sum() - x) / max(len(x) - 1, 1) for x in blocks])


@leave_one_out.misconception("A group's name is no index: 0 to K - 1 isn't promised.")
def takes_groups_for_indices(rewards, groups):
    centred(rewards, groups)
    if int(groups.min()) < 0 or len(groups.unique()) <= int(groups.max()):
        raise IndexError("index out of range")
    return grpo.leave_one_out(rewards, groups)


@leave_one_out.misconception("An advantage is data: .detach() the rewards, a network gave them.")
def gradient_through_the_answer(rewards, groups):
    found = grpo.leave_one_out(rewards, groups)
    return found + rewards - rewards.detach()


@leave_one_out.misconception("Without others there is no baseline: raise ValueError.")
def accepts_an_answer_alone(rewards, groups):
    alone = (groups[:, None] == groups).sum(1) == 1
    if rewards.shape != groups.shape or not alone.any():
        return grpo.leave_one_out(rewards, groups)
    rest = grpo.leave_one_out(rewards[~alone], groups[~alone])
    return torch.zeros_like(rewards).masked_scatter(~alone, rest)


@leave_one_out.misconception("Rewards and groups are of one length: raise ValueError where not.")
def cuts_the_longer(rewards, groups):
    r, g = rewards.flatten(), groups.flatten()
    n = min(len(r), len(g))
    return grpo.leave_one_out(r[:n], g[:n])


@leave_one_out.control
def answer_by_answer(rewards, groups):
    if rewards.ndim != 1 or groups.shape != rewards.shape:
        raise ValueError("shapes")
    r, names = rewards.tolist(), groups.tolist()
    found = []
    for i, name in enumerate(names):
        others = [r[j] for j, other in enumerate(names) if other == name and j != i]
        if not others:
            raise ValueError("alone")
        found.append(r[i] - sum(others) / len(others))
    return torch.tensor(found, dtype=rewards.dtype)


@leave_one_out.control
def less_a_sum(rewards, groups):
    if rewards.dim() > 1 or len(rewards) != len(groups):
        raise ValueError("shapes")
    member, r = (groups[:, None] == groups).to(rewards.dtype), rewards.detach()
    if (member.sum(1) < 2).any():
        raise ValueError("alone")
    return r - (member @ r - r) / (member.sum(1) - 1)


# ------------------------------------------------------------------------------- which groups

informative = exercise(
    grpo.informative,
    nudge="Which groups have advantages other than 0? Compare each answer with all of its group.",
    worked={
        "rewards": torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0], dtype=torch.float64),
        "groups": torch.tensor([7, 5, 7, 5, 5]),
    },
)


def some_equal(rng, sizes, values=(0.0, 1.0)):
    """Groups of 0 and 1, and one of 3 and one of 4 in which all earned the same."""
    case = verified(rng, (*sizes, 3, 4))
    return equalled(equalled(case, 3, values[0]), 4, values[1])


def sorted_by_group(case):
    order = case["groups"].argsort(stable=True)
    return {n: x[order] for n, x in case.items()}


@informative.check(points=2)
def test_a_prompt_that_all_or_none_solved_teaches_nothing(rng):
    """False where all of a group failed or all succeeded, True for all others of any group"""
    for sizes in ((2, 5), (6,), (5, 2, 2)):
        yield sorted_by_group(some_equal(rng, sizes))


@informative.check(points=2)
def test_rewards_may_be_any_numbers(rng):
    """equal means equal, whichever number it is: 0.1, -2 or 5, and not nearly equal"""
    for sizes, values in (((2, 5), (0.1, -2.0)), ((6,), (0.7, 5.0)), ((2, 2), (-0.1, 0.5))):
        case = sorted_by_group(some_equal(rng, sizes, values))
        equal = of_size(case, 3) | of_size(case, 4)
        for other in (1.5 * ranks(rng, case["groups"]), 1 + 1e-6 * ranks(rng, case["groups"])):
            yield case | {"rewards": torch.where(equal, case["rewards"], other.double())}


@informative.check(points=1)
def test_groups_stand_in_any_order_under_any_name(rng):
    """answers to one prompt may stand anywhere, and names are only names"""
    for sizes in ((2, 5), (6,), (5, 2, 2)):
        yield some_equal(rng, sizes)


@informative.check(points=1)
def test_an_answer_alone_teaches_nothing(rng):
    """a group of one is False, beside others"""
    for sizes in ((2, 5), (6, 2)):
        yield added(rng, some_equal(rng, sizes))


def by_group(rewards, groups, ask):
    """What is asked of the rewards of each group, at all its answers."""
    found = torch.zeros(len(rewards), dtype=torch.bool)
    for name in groups.unique():
        found[groups == name] = bool(ask(rewards[groups == name]))
    return found


@informative.misconception("True means that it teaches: these are the groups that don't.")
def marks_the_equal(rewards, groups):
    return ~grpo.informative(rewards, groups)


@informative.misconception("All of a group or none: an answer is left out with its prompt.")
def marks_the_right_answers(rewards, groups):
    return by_group(rewards, groups, lambda r: r.min() != r.max()) & (rewards > 0)


@informative.misconception("The whole group stays: what sets it apart isn't one answer alone.")
def marks_what_differs_from_the_first(rewards, groups):
    found = torch.zeros(len(rewards), dtype=torch.bool)
    for name in groups.unique():
        own = groups == name
        found[own] = rewards[own] != rewards[own][0]
    return found


@informative.misconception("An answer on the mean has the advantage 0, but its group teaches.")
def marks_what_differs_from_the_mean(rewards, groups):
    member = groups[:, None] == groups
    first = rewards[member.int().argmax(1)]
    return (member * (rewards - first[:, None])).sum(1) / member.sum(1) + first != rewards


@informative.misconception("Where all succeed there is nothing to learn either.")
def keeps_what_all_solved(rewards, groups):
    return by_group(rewards, groups, lambda r: (r > 0).any())


@informative.misconception("Where all fail there is nothing to learn either.")
def keeps_what_nobody_solved(rewards, groups):
    return by_group(rewards, groups, lambda r: (r < 1).any())


@informative.misconception(
    "Rewards needn't be 0 and 1: ask whether they differ, not for 0 < mean < 1."
)
def takes_all_rewards_for_zero_or_one(rewards, groups):
    return by_group(rewards, groups, lambda r: 0 < r.sum() / len(r) < 1)


@informative.misconception(
    "In floats the mean of three 0.1 isn't 0.1: compare rewards, not with a mean."
)
def asks_for_a_deviation(rewards, groups):
    return by_group(rewards, groups, lambda r: len(r) > 1 and r.std() > 0)


@informative.misconception("A small difference is one: no threshold stands in the definition.")
def asks_for_a_large_deviation(rewards, groups):
    return by_group(rewards, groups, lambda r: r.max() - r.min() > 1e-3)


@informative.misconception("Each group by itself: others of the batch don't make it teach.")
def looks_at_the_whole_batch(rewards, groups):
    return (rewards[:, None] != rewards).any(1)


@informative.misconception(
    "Answers to one prompt needn't stand together: compare all, not neighbours."
)
def compares_neighbours(rewards, groups):
    _, runs = groups.unique_consecutive(return_inverse=True)
    return grpo.informative(rewards, runs)


@informative.misconception("A group's name is no index: 0 to K - 1 isn't promised.")
def reads_names_as_indices(rewards, groups):
    if int(groups.min()) < 0 or len(groups.unique()) <= int(groups.max()):
        raise IndexError("index out of range")
    return grpo.informative(rewards, groups)


@informative.misconception("One flag for each answer, not for each group.")
def gives_a_flag_for_each_group(rewards, groups):
    asked = [rewards[groups == name] for name in groups.unique()]
    return torch.stack([r.min() != r.max() for r in asked])


@informative.misconception("Flags are asked for, the places are `.nonzero()` of them.")
def gives_places(rewards, groups):
    return grpo.informative(rewards, groups).nonzero().flatten()


@informative.misconception("Alone an answer differs from nobody.")
def keeps_an_answer_alone(rewards, groups):
    return grpo.informative(rewards, groups) | ((groups[:, None] == groups).sum(1) == 1)


@informative.control
def by_sets(rewards, groups):
    members = {}
    for name, r in zip(groups.tolist(), rewards.tolist(), strict=True):
        members.setdefault(name, set()).add(r)
    return torch.tensor([len(members[name]) > 1 for name in groups.tolist()])


@informative.control
def by_extremes(rewards, groups):
    return by_group(rewards, groups, lambda r: r.max() > r.min())


# ------------------------------------------------------------------------------- what tokens weigh

token_weights = exercise(
    aggregation.token_weights,
    tolerance=1e-11,  # weights are small, and are asked for in float64
    nudge="Who shall weigh the same: the tokens of the batch, its answers, or the tokens of all "
    "batches? What do the weights add up to?",
    worked={
        "mask": torch.tensor([[True, True, True, True], [True, False, False, False]]),
        "way": "sequence mean",
    },
)


def weighed(mask, way, **more):
    return {"mask": mask, "way": way} | more


@token_weights.check(points=1)
def test_by_the_token_mean_all_tokens_of_the_batch_weigh_the_same(rng):
    """by "token mean": one over the number of tokens that count in the batch"""
    for b, r in ((3, 7), (4, 5)):
        yield weighed(ended(rng, b, r), "token mean")
        yield weighed(interrupted(rng, b, r), "token mean", length=int(rng.integers(2, 9)))


@token_weights.check(points=2)
def test_by_the_sequence_mean_all_answers_weigh_the_same(rng):
    """by "sequence mean": one over the number of answers and the length of this one"""
    for b, r in ((3, 7), (4, 5)):
        yield weighed(ended(rng, b, r), "sequence mean")
        yield weighed(interrupted(rng, b, r), "sequence mean", length=int(rng.integers(2, 9)))


@token_weights.check(points=1)
def test_by_a_constant_a_token_weighs_the_same_in_every_batch(rng):
    """by "constant": one over the number of answers and the length given"""
    for b, r in ((3, 7), (4, 5)):
        yield weighed(ended(rng, b, r), "constant", length=r + int(rng.integers(1, 5)))
        yield weighed(interrupted(rng, b, r), "constant", length=int(rng.integers(1, r)))


@token_weights.check(points=2)
def test_an_answer_without_tokens_has_no_weight_and_is_no_answer(rng):
    """a row in which nothing counts has the weights 0, and isn't counted as an answer"""
    for way, (b, r) in zip(aggregation.WAYS, ((3, 6), (4, 5), (5, 3)), strict=True):
        yield weighed(emptied(rng, interrupted(rng, b, r)), way, length=int(rng.integers(2, 9)))
        yield weighed(emptied(rng, ended(rng, b, r)), way, length=int(rng.integers(2, 9)))


@token_weights.check(points=1)
def test_another_way_no_length_and_no_token_are_refused(rng):
    """another way, no whole length of at least 1 for a constant, and no token raise ValueError"""
    for way in ("mean", "Token mean", "sum"):
        yield weighed(ended(rng, 2, 5), way, length=4)
    for length in (None, 0, -3, 2.5):
        yield weighed(ended(rng, 3, 4), "constant", length=length)
    for way in aggregation.WAYS:
        yield weighed(torch.zeros(2, 4, dtype=torch.bool), way, length=3)
    yield weighed(ended(rng, 2, 6), "constant", length=1)


def counted(mask, way, length):
    """The tokens, the lengths and the number of answers; refuses what must be refused."""
    if way not in aggregation.WAYS or not mask.any():
        raise ValueError("way or mask")
    if way == "constant" and (not isinstance(length, int) or length < 1):
        raise ValueError("length")
    counts = mask.double()
    lengths = counts.sum(1, keepdim=True)
    return counts, lengths, (lengths > 0).sum()


def instead(mask, way, length, **other):
    """The right weights but for the ways named, where a function of the counts decides."""
    counts = counted(mask, way, length)
    wrong = other.get(way.replace(" ", "_"))
    return wrong(*counts) if wrong else aggregation.token_weights(mask, way, length)


@token_weights.misconception("Padding and tools are no tokens: divide by Σ mask, not by B R.")
def divides_by_all_places(mask, way, length=None):
    return instead(mask, way, length, token_mean=lambda c, n, b: c / c.numel())


@token_weights.misconception("The token mean is over all tokens: no answer has a mean of its own.")
def lets_answers_weigh_the_same(mask, way, length=None):
    return instead(mask, way, length, token_mean=lambda c, n, b: c / (b * n.clamp(min=1)))


@token_weights.misconception("The sequence mean gives each answer the same, long or short.")
def lets_tokens_weigh_the_same(mask, way, length=None):
    return instead(mask, way, length, sequence_mean=lambda c, n, b: c / c.sum())


@token_weights.misconception("A mean over answers too: divide by how many there are.")
def sums_over_answers(mask, way, length=None):
    return instead(mask, way, length, sequence_mean=lambda c, n, b: c / n.clamp(min=1))


@token_weights.misconception("An answer is as long as its tokens that count, not as the longest.")
def divides_by_the_longest(mask, way, length=None):
    return instead(mask, way, length, sequence_mean=lambda c, n, b: c / (b * c.shape[1]))


@token_weights.misconception("A constant is given, so that no batch is asked for its tokens.")
def divides_the_constant_by_tokens(mask, way, length=None):
    return instead(mask, way, length, constant=lambda c, n, b: c / (c.sum() * length))


@token_weights.misconception("The sum over tokens is by L, that over answers by B: divide by both.")
def forgets_the_answers(mask, way, length=None):
    return instead(mask, way, length, constant=lambda c, n, b: c / length)


@token_weights.misconception("L is given: the longest answer of this batch is no constant.")
def takes_the_width_for_the_length(mask, way, length=None):
    return instead(mask, way, length, constant=lambda c, n, b: c / (b * c.shape[1]))


@token_weights.misconception("With a constant weights need not add up to 1: that is its point.")
def normalises_the_constant(mask, way, length=None):
    return instead(mask, way, length, constant=lambda c, n, b: c / c.sum())


@token_weights.misconception("An answer without a token is none: it isn't one of the B.")
def counts_empty_answers(mask, way, length=None):
    return instead(
        mask, way, length,
        sequence_mean=lambda c, n, b: c / (len(c) * n.clamp(min=1)),
        constant=lambda c, n, b: c / (len(c) * length),
    )  # fmt: skip


@token_weights.misconception("0/0 is NaN: an answer without tokens has the weight 0.")
def divides_nothing_by_nothing(mask, way, length=None):
    return instead(mask, way, length, sequence_mean=lambda c, n, b: c / (b * n))


@token_weights.misconception("What the mask leaves out has no weight at all.")
def weighs_padding_too(mask, way, length=None):
    found = aggregation.token_weights(mask, way, length)
    return found.amax(1, keepdim=True).expand_as(found).clone()


@token_weights.misconception("A weight for each token, before anything is summed.")
def sums_the_weights(mask, way, length=None):
    return aggregation.token_weights(mask, way, length).sum(1)


@token_weights.misconception("No length, no constant: raise ValueError, the batch's isn't meant.")
def makes_up_a_length(mask, way, length=None):
    found = length if length is None or length >= 1 else 1
    return aggregation.token_weights(mask, way, found or mask.shape[1])


@token_weights.misconception("Tokens are counted: a length with a fraction raises ValueError.")
def takes_a_fraction_for_a_length(mask, way, length=None):
    if isinstance(length, int) or way != "constant" or (length or 0) < 1:
        return aggregation.token_weights(mask, way, length)
    return instead(mask, way, 1, constant=lambda c, n, b: c / (b * length))


@token_weights.misconception("A way that nobody knows is a slip of the pen: raise ValueError.")
def takes_any_way_for_a_mean(mask, way, length=None):
    return aggregation.token_weights(mask, way if way in aggregation.WAYS else "token mean", length)


@token_weights.misconception("A batch in which nothing counts has no mean: raise ValueError.")
def accepts_a_batch_of_nothing(mask, way, length=None):
    if mask.any():
        return aggregation.token_weights(mask, way, length)
    counted(mask | True, way, length)
    return mask.double()


@token_weights.control
def row_by_row(mask, way, length=None):
    rows = [row.sum().item() for row in mask]
    answers = [n for n in rows if n]
    if not answers or way not in ("token mean", "sequence mean", "constant"):
        raise ValueError("mask or way")
    if way == "constant" and (length is None or length < 1 or length % 1):
        raise ValueError("length")
    found = torch.zeros(mask.shape, dtype=torch.float64)
    for weights, row, n in zip(found, mask, rows, strict=True):
        each = {"token mean": sum(answers), "sequence mean": n * len(answers)}
        weights[row] = 1 / each.get(way, len(answers) * (length or 1)) if n else 0.0
    return found


# ------------------------------------------------------------------------------- CISPO

cispo_loss = exercise(
    grpo.cispo_loss,
    nudge="REINFORCE has the loss -Â log π. By what is it weighed, and which part of it may move?",
    worked={
        "log_prob": torch.tensor([0.5, 1.5, 3.0], dtype=torch.float64).log() - 2,
        "log_prob_old": torch.full((3,), -2.0, dtype=torch.float64),
        "advantage": torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64),
        "epsilon_low": 0.2,
        "epsilon_high": 0.5,
    },
)
SHAPES = (2, 5), (4, 2, 3)


def weighted(rng, log_ratio, advantage=None, low=None, high=None):
    """Log-probabilities now and before with this log-ratio, advantages of both signs, bounds."""
    old = tensor(-rng.uniform(3, 6, np.shape(log_ratio)))
    side = rng.permutation(np.arange(np.size(log_ratio)) % 2 * 2 - 1).reshape(np.shape(log_ratio))
    a = side * rng.uniform(0.2, 3, np.shape(log_ratio)) if advantage is None else advantage
    return {
        "log_prob": old + tensor(log_ratio),
        "log_prob_old": old,
        "advantage": tensor(a),
        "epsilon_low": float(rng.uniform(0.05, 0.4)) if low is None else low,
        "epsilon_high": float(rng.uniform(0.5, 0.9)) if high is None else high,
    }


@cispo_loss.check(points=1, gradients=("log_prob",))
def test_within_the_bounds_the_ratio_weighs_the_log_probability(rng):
    """within the bounds the loss is -ρ Â log π, with the gradient -ρ Â"""
    for shape in SHAPES:
        low = float(rng.uniform(0.05, 0.4))
        yield weighted(rng, inside(rng, shape, low), low=low)
    yield weighted(rng, np.zeros(6))


@cispo_loss.check(points=3, gradients=("log_prob",))
def test_beyond_the_bounds_the_weight_is_clipped_and_the_token_still_learns(rng):
    """beyond either bound, for advantages of either sign, the weight is the bound"""
    for shape in SHAPES:
        low = float(rng.uniform(0.05, 0.4))
        yield weighted(rng, outside(rng, shape, low, 1.5), low=low)
    x = outside(rng, (6,), 0.4, 1.5)
    for sign in (1, -1):
        yield weighted(rng, x, sign * np.sign(x) * rng.uniform(0.2, 3, 6))


@cispo_loss.check(points=1, gradients=("log_prob",))
def test_each_bound_has_a_width_of_its_own(rng):
    """ε_low bounds the weight below and ε_high above, whichever is wider"""
    x = rng.uniform(-1.5, 1.5, (3, 4))
    yield weighted(rng, x, low=0.5, high=float(rng.uniform(0.05, 0.3)))
    yield weighted(rng, x[0], low=1.0, high=float(rng.uniform(1, 3)))
    yield weighted(rng, x, low=0.0, high=float(rng.uniform(0.3, 0.6)))


@cispo_loss.check(points=2, gradients=("log_prob", "log_prob_old", "advantage"))
def test_the_weight_is_data(rng):
    """no gradient runs through the ratio, the old log-probabilities or the advantages"""
    for shape in ((5,), (3, 4)):
        low = float(rng.uniform(0.1, 0.4))
        yield weighted(rng, inside(rng, shape, low), low=low)


@cispo_loss.check(points=1, gradients=("log_prob",))
def test_an_extreme_ratio_gives_a_finite_loss(rng):
    """ratios of e to the power of thousands, or of minus thousands, give finite losses"""
    for n in (4, 5):
        x = FAR * rng.uniform(0.2, 0.5, n) * rng.permutation([1, -1, 1, -1, 1][:n])
        case = weighted(rng, x)
        down = torch.where(case["log_prob"] > 0, case["log_prob"] + 3, 0)
        names = "log_prob", "log_prob_old"
        yield case | {name: case[name] - down for name in names}


def bounded(log_prob, log_prob_old, epsilon_low, epsilon_high):
    """The clipped ratio, without a gradient."""
    rho = (log_prob - log_prob_old).detach().exp()
    return rho.clamp(1 - epsilon_low, 1 + epsilon_high)


@cispo_loss.misconception("PPO's minimum silences tokens beyond the clip: CISPO keeps all of them.")
def is_ppo(log_prob, log_prob_old, advantage, epsilon_low, epsilon_high):
    rho, a = (log_prob - log_prob_old.detach()).exp(), advantage.detach()
    return -torch.minimum(rho * a, rho.clamp(1 - epsilon_low, 1 + epsilon_high) * a)


@cispo_loss.misconception("No token is silenced: beyond the bounds the weight is the bound, not 0.")
def drops_tokens_beyond_the_bounds(log_prob, log_prob_old, advantage, epsilon_low, epsilon_high):
    rho = (log_prob - log_prob_old).detach().exp()
    near = (rho >= 1 - epsilon_low) & (rho <= 1 + epsilon_high)
    return -torch.where(near, rho, 0) * advantage.detach() * log_prob


@cispo_loss.misconception("The weight is the clipped ratio alone: no minimum with ρ Â.")
def takes_the_cautious_weight(log_prob, log_prob_old, advantage, epsilon_low, epsilon_high):
    rho, a = (log_prob - log_prob_old).detach().exp(), advantage.detach()
    weight = torch.minimum(rho * a, rho.clamp(1 - epsilon_low, 1 + epsilon_high) * a)
    return -weight * log_prob


@cispo_loss.misconception("The ratio is a weight: .detach() it, or log π has two gradients.")
def gradient_through_the_ratio(log_prob, log_prob_old, advantage, epsilon_low, epsilon_high):
    rho = (log_prob - log_prob_old.detach()).clamp(-700, 700).exp()
    return -rho.clamp(1 - epsilon_low, 1 + epsilon_high) * advantage.detach() * log_prob


@cispo_loss.misconception("The gradient comes from log π: without it nothing is learned.")
def forgets_the_log_probability(log_prob, log_prob_old, advantage, epsilon_low, epsilon_high):
    weight = bounded(log_prob, log_prob_old, epsilon_low, epsilon_high)
    return -weight * advantage.detach() + 0 * log_prob


@cispo_loss.misconception("The new policy learns: its log π is weighed, not that of the old.")
def weighs_the_old_log_probability(log_prob, log_prob_old, advantage, epsilon_low, epsilon_high):
    weight = bounded(log_prob, log_prob_old, epsilon_low, epsilon_high)
    return -weight * advantage.detach() * log_prob_old.detach() + 0 * log_prob


@cispo_loss.misconception("Without the bounds one token outweighs all others.")
def clips_no_weight(log_prob, log_prob_old, advantage, epsilon_low, epsilon_high):
    return -(log_prob - log_prob_old).detach().exp() * advantage.detach() * log_prob


@cispo_loss.misconception("The weight is bounded below too.")
def bounds_above_only(log_prob, log_prob_old, advantage, epsilon_low, epsilon_high):
    return grpo.cispo_loss(log_prob, log_prob_old, advantage, 1.0, epsilon_high)


@cispo_loss.misconception("ε_low bounds the ratio below, ε_high above: they are swapped.")
def swaps_the_bounds(log_prob, log_prob_old, advantage, epsilon_low, epsilon_high):
    return grpo.cispo_loss(log_prob, log_prob_old, advantage, epsilon_high, epsilon_low)


@cispo_loss.misconception("The ratio is clipped to 1 ± ε, not its log to ± ε.")
def clips_the_log(log_prob, log_prob_old, advantage, epsilon_low, epsilon_high):
    weight = (log_prob - log_prob_old).detach().clamp(-epsilon_low, epsilon_high).exp()
    return -weight * advantage.detach() * log_prob


@cispo_loss.misconception("New over old: the ratio is exp(log π - log π_old).")
def inverts_the_ratio(log_prob, log_prob_old, advantage, epsilon_low, epsilon_high):
    weight = bounded(log_prob_old, log_prob, epsilon_low, epsilon_high)
    return -weight * advantage.detach() * log_prob


@cispo_loss.misconception("A loss is made small: the minus is missing.")
def turns_the_loss_round(log_prob, log_prob_old, advantage, epsilon_low, epsilon_high):
    return -grpo.cispo_loss(log_prob, log_prob_old, advantage, epsilon_low, epsilon_high)


@cispo_loss.misconception("The advantage is a weight: .detach() it.")
def gradient_through_the_advantage(log_prob, log_prob_old, advantage, epsilon_low, epsilon_high):
    weight = bounded(log_prob, log_prob_old, epsilon_low, epsilon_high)
    return -weight * advantage * log_prob


@cispo_loss.misconception("The log-probability is what is weighed, not the probability.")
def weighs_the_probability(log_prob, log_prob_old, advantage, epsilon_low, epsilon_high):
    weight = bounded(log_prob, log_prob_old, epsilon_low, epsilon_high)
    return -weight * advantage.detach() * log_prob.exp()


@cispo_loss.misconception("Token by token: how they are averaged is another choice.")
def averages_the_tokens(log_prob, log_prob_old, advantage, epsilon_low, epsilon_high):
    return grpo.cispo_loss(log_prob, log_prob_old, advantage, epsilon_low, epsilon_high).mean()


@cispo_loss.control
def without_gradients_first(log_prob, log_prob_old, advantage, epsilon_low, epsilon_high):
    with torch.no_grad():
        ratio = torch.exp(log_prob - log_prob_old)
        ratio = torch.minimum(ratio, torch.full_like(ratio, 1 + epsilon_high))
        weight = torch.maximum(ratio, torch.full_like(ratio, 1 - epsilon_low)) * advantage
    return -log_prob * weight


# ------------------------------------------------------------------------------- GSPO

sequence_log_ratio = exercise(
    grpo.sequence_log_ratio,
    nudge="The value is the answer's, the gradient the token's own. What is a - a.detach()?",
    worked={
        "log_prob": torch.tensor([[-1.0, -2.0, -1.5], [-3.0, -1.0, -2.0]], dtype=torch.float64),
        "log_prob_old": torch.full((2, 3), -2.0, dtype=torch.float64),
        "mask": torch.tensor([[True, True, True], [True, False, False]]),
    },
)
BOTH = "log_prob", "log_prob_old"


def answered(rng, mask):
    old = -rng.uniform(0.5, 4, tuple(mask.shape))
    return {
        "log_prob": tensor(old + rng.normal(size=old.shape)),
        "log_prob_old": tensor(old),
        "mask": mask,
    }


@sequence_log_ratio.check(points=2)
def test_each_token_has_the_mean_log_ratio_of_its_answer(rng):
    """the value is the mean of log ρ over the tokens of the answer"""
    for b, r in ((2, 5), (4, 3)):
        yield answered(rng, torch.ones(b, r, dtype=torch.bool))
        yield answered(rng, ended(rng, b, r))


@sequence_log_ratio.check(points=1)
def test_tokens_of_tools_are_no_part_of_the_answer(rng):
    """what the mask leaves out gets 0 and isn't counted, in the middle too"""
    for b, r in ((2, 7), (4, 6), (3, 5)):
        yield answered(rng, interrupted(rng, b, r))


@sequence_log_ratio.check(points=2, gradients=BOTH)
def test_each_token_has_the_gradient_of_its_own_log_probability(rng):
    """the gradient is that of log π of the token alone, and what is old has none"""
    for b, r in ((2, 6), (3, 5)):
        yield answered(rng, interrupted(rng, b, r))


@sequence_log_ratio.check(points=1, gradients=BOTH)
def test_neither_value_nor_gradient_hears_of_what_is_left_out(rng):
    """log-probabilities that the mask leaves out may be infinite or NaN"""
    for b, r, bad in ((2, 6, -torch.inf), (3, 4, torch.nan)):
        case = answered(rng, interrupted(rng, b, r))
        yield case | {n: torch.where(case["mask"], case[n], bad) for n in BOTH}


@sequence_log_ratio.check(points=1)
def test_an_answer_without_a_token_has_no_ratio(rng):
    """a row in which nothing counts raises ValueError, also beside others"""
    for b, r in ((3, 5), (2, 4)):
        yield answered(rng, emptied(rng, interrupted(rng, b, r)))
    yield answered(rng, torch.zeros(2, 3, dtype=torch.bool))
    yield answered(rng, interrupted(rng, 3, 6))


def refuse_empty(mask):
    if not mask.any(1).all():
        raise ValueError("mask")


def whole_and_own(log_prob, log_prob_old, mask, over=None):
    """The mean log-ratio of each answer, a column of data, and 0 with each token's gradient."""
    refuse_empty(mask)
    ratio = torch.where(mask, log_prob - log_prob_old, 0).detach()
    count = mask.sum(1, keepdim=True) if over is None else over
    return ratio.sum(1, keepdim=True) / count, log_prob - log_prob.detach()


@sequence_log_ratio.misconception(
    "GSPO takes the mean: with the sum long answers are always clipped."
)
def sums_the_log_ratios(log_prob, log_prob_old, mask):
    whole, own = whole_and_own(log_prob, log_prob_old, mask, over=1)
    return torch.where(mask, whole + own, 0)


@sequence_log_ratio.misconception("The mean is over the answer's tokens, not over all places.")
def averages_over_all_places(log_prob, log_prob_old, mask):
    whole, own = whole_and_own(log_prob, log_prob_old, mask, over=mask.shape[1])
    return torch.where(mask, whole + own, 0)


@sequence_log_ratio.misconception("Each answer has a length of its own: no mean length.")
def divides_by_the_mean_length(log_prob, log_prob_old, mask):
    whole, own = whole_and_own(log_prob, log_prob_old, mask, over=mask.double().sum(1).mean())
    return torch.where(mask, whole + own, 0)


@sequence_log_ratio.misconception("One ratio for the answer: these are its tokens', as in PPO.")
def keeps_the_tokens_ratios(log_prob, log_prob_old, mask):
    refuse_empty(mask)
    return torch.where(mask, log_prob - log_prob_old.detach(), 0)


@sequence_log_ratio.misconception("One ratio for each answer, not one for the batch.")
def averages_over_the_batch(log_prob, log_prob_old, mask):
    _, own = whole_and_own(log_prob, log_prob_old, mask)
    ratio = torch.where(mask, log_prob - log_prob_old, 0).detach()
    return torch.where(mask, ratio.sum() / mask.sum() + own, 0)


@sequence_log_ratio.misconception("The log of a mean isn't the mean of the logs: average log ρ.")
def averages_the_ratios(log_prob, log_prob_old, mask):
    _, own = whole_and_own(log_prob, log_prob_old, mask)
    ratio = torch.where(mask, (log_prob - log_prob_old).exp(), 0).detach()
    mean = ratio.sum(1, keepdim=True) / mask.sum(1, keepdim=True)
    return torch.where(mask, mean.log() + own, 0)


@sequence_log_ratio.misconception("A logarithm is asked for: whoever clips takes the exp.")
def returns_the_ratio(log_prob, log_prob_old, mask):
    return torch.where(mask, grpo.sequence_log_ratio(log_prob, log_prob_old, mask).exp(), 0)


@sequence_log_ratio.misconception("New over old: log π - log π_old.")
def turns_the_ratio_round(log_prob, log_prob_old, mask):
    whole, own = whole_and_own(log_prob, log_prob_old, mask)
    return torch.where(mask, own - whole, 0)


@sequence_log_ratio.misconception("Detached altogether nothing is learned: add log π - sg[log π].")
def detaches_everything(log_prob, log_prob_old, mask):
    whole, own = whole_and_own(log_prob, log_prob_old, mask)
    return torch.where(mask, whole + own.detach(), 0)


@sequence_log_ratio.misconception("Each token has its own gradient: .detach() the answer's mean.")
def shares_the_gradient(log_prob, log_prob_old, mask):
    refuse_empty(mask)
    ratio = torch.where(mask, log_prob - log_prob_old.detach(), 0)
    whole = ratio.sum(1, keepdim=True) / mask.sum(1, keepdim=True)
    return torch.where(mask, whole, 0)


@sequence_log_ratio.misconception("The mean brings a gradient of its own: .detach() it.")
def has_two_gradients(log_prob, log_prob_old, mask):
    refuse_empty(mask)
    ratio = torch.where(mask, log_prob - log_prob_old.detach(), 0)
    whole = ratio.sum(1, keepdim=True) / mask.sum(1, keepdim=True)
    return torch.where(mask, whole + log_prob - log_prob.detach(), 0)


@sequence_log_ratio.misconception(
    "What the tokens were drawn from is data: no gradient reaches it."
)
def gradient_through_the_old_policy(log_prob, log_prob_old, mask):
    whole, own = whole_and_own(log_prob, log_prob_old, mask)
    old = log_prob_old - log_prob_old.detach()
    return torch.where(mask, whole + own - old, 0)


@sequence_log_ratio.misconception("inf · 0 is NaN: leave tokens out by where, not by a product.")
def multiplies_by_the_mask(log_prob, log_prob_old, mask):
    refuse_empty(mask)
    ratio = ((log_prob - log_prob_old) * mask).detach()
    whole = ratio.sum(1, keepdim=True) / mask.sum(1, keepdim=True)
    return (whole + log_prob - log_prob.detach()) * mask


@sequence_log_ratio.misconception("What the mask leaves out has the log-ratio 0.")
def gives_tools_the_ratio_too(log_prob, log_prob_old, mask):
    whole, own = whole_and_own(log_prob, log_prob_old, mask)
    return whole + torch.where(mask, own, 0)


@sequence_log_ratio.misconception("Of each token one number: clip and mean come afterwards.")
def returns_one_for_each_answer(log_prob, log_prob_old, mask):
    whole, own = whole_and_own(log_prob, log_prob_old, mask)
    return whole[:, 0] + torch.where(mask, own, 0).sum(1)


@sequence_log_ratio.misconception("An answer without a token has no ratio: raise ValueError.")
def accepts_an_answer_without_tokens(log_prob, log_prob_old, mask):
    ratio = torch.where(mask, log_prob - log_prob_old, 0).detach()
    whole = ratio.sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
    return torch.where(mask, whole + log_prob - log_prob.detach(), 0)


@sequence_log_ratio.control
def answer_for_answer(log_prob, log_prob_old, mask):
    found = torch.zeros_like(log_prob)
    for i, counts in enumerate(mask):
        if not counts.any():
            raise ValueError("mask")
        own, old = log_prob[i][counts], log_prob_old[i][counts].detach()
        value = (own.detach() - old).mean()
        found = found.index_put(
            (torch.tensor(i), counts.nonzero().flatten()), own - own.detach() + value
        )
    return found


@sequence_log_ratio.control
def less_what_is_known(log_prob, log_prob_old, mask):
    if (mask.sum(1) == 0).any():
        raise ValueError("mask")
    with torch.no_grad():
        means = [(x - y)[m].mean() for x, y, m in zip(log_prob, log_prob_old, mask, strict=True)]
        shift = torch.stack(means)[:, None] - log_prob
    return (log_prob + shift).masked_fill(~mask, 0)
