"""The six exercises of the chapter on data: the mask of a conversation, the shift by one, the loss
of a part of a batch, truncation, packing, and batches by a budget of tokens.

Axes differ in size and vary: B sequences, T tokens.
"""

import torch

from rlcourse.alignment import data, packing
from rlcourse.alignment.data import Sample, Targets, Turn
from rlcourse.alignment.packing import Packing
from rlcourse.exercises.deep.policy_gradient import tensor
from rlcourse.grading import exercise

ROLES = "system", "user", "assistant", "tool"

# ------------------------------------------------------------------------------- a conversation

chat_sample = exercise(
    data.chat_sample,
    nudge="Of which tokens should the model learn to say them? And how should it learn to stop?",
    worked={
        "turns": [
            Turn("user", [1, 2], [7], [3], [4]),
            Turn("assistant", [1, 5], [8, 9], [3], [4]),
        ]
    },
)


def ids(rng, low, high):
    return rng.integers(10, 99, size=rng.integers(low, high)).tolist()


def turn(rng, role, content=None, end=1):
    said = ids(rng, 1, 5) if content is None else content
    return Turn(role, ids(rng, 1, 4), said, ids(rng, end, end + 1), ids(rng, 0, 3))


def talk(rng, *roles):
    return {"turns": [turn(rng, role) for role in roles]}


@chat_sample.check(points=1)
def test_a_conversation_is_written_turn_by_turn(rng):
    """the tokens of a conversation: header, content, end and what follows, turn by turn"""
    yield talk(rng, "user", "system", "tool")
    yield talk(rng, "user")
    yield talk(rng, "system", "user", "user", "tool")


@chat_sample.check(points=2)
def test_the_assistant_learns_its_words_and_their_end(rng):
    """content and end of the assistant's turns carry loss; headers and what follows don't"""
    yield talk(rng, "user", "assistant")
    yield talk(rng, "system", "user", "assistant")
    yield talk(rng, "assistant")
    yield {"turns": [turn(rng, "user", end=2), turn(rng, "assistant", end=2)]}
    yield {"turns": [turn(rng, "user"), turn(rng, "assistant", content=[])]}
    yield {"turns": [turn(rng, "user"), turn(rng, "assistant", end=0)]}


@chat_sample.check(points=1)
def test_every_turn_of_the_assistant_counts_and_no_tool(rng):
    """every turn of the assistant counts, not the last alone; what a tool returns doesn't"""
    yield talk(rng, "user", "assistant", "user", "assistant")
    yield talk(rng, "system", "user", "assistant", "tool", "assistant")
    yield talk(rng, "assistant", "tool", "tool", "assistant", "user")
    yield talk(rng, "user", "assistant", "tool")


@chat_sample.check(points=1)
def test_a_conversation_without_a_token_is_refused(rng):
    """no turn, and turns without a token, raise ValueError"""
    yield {"turns": []}
    yield {"turns": [Turn("user", [], [], [], []), Turn("assistant", [], [], [], [])]}
    yield {"turns": [Turn("user", [], [], [], []), Turn("assistant", [5], [], [6], [])]}
    yield talk(rng, "assistant", "user")


def written(turns, rule, role=lambda turns, i: turns[i].role == "assistant"):
    """The sample in which parts 0 to 3 of a turn count where rule says so, if its role does."""
    tokens, mask = [], []
    for i, turn in enumerate(turns):
        for j, part in enumerate(turn[1:]):
            tokens += part
            mask += [bool(role(turns, i)) and j in rule] * len(part)
    if not tokens:
        raise ValueError("turns")
    return Sample(torch.tensor(tokens), torch.tensor(mask))


@chat_sample.misconception(
    "The end of a turn must be learned too: without a loss on it the model never stops."
)
def never_learns_to_stop(turns):
    return written(turns, {1})


@chat_sample.misconception(
    "The header is written by the template, at inference too: don't learn it."
)
def learns_the_header(turns):
    return written(turns, {0, 1, 2})


@chat_sample.misconception(
    "What follows the end is never generated: generation stops at the end. It carries no loss."
)
def learns_what_follows_the_end(turns):
    return written(turns, {1, 2, 3})


@chat_sample.misconception("Only the assistant is to be imitated, not the user or the system.")
def learns_everybody(turns):
    return written(turns, {1, 2}, lambda turns, i: True)


@chat_sample.misconception(
    "A tool's output is read, not said: the model must not learn to invent it."
)
def learns_the_tools(turns):
    return written(turns, {1, 2}, lambda turns, i: turns[i].role in ("assistant", "tool"))


@chat_sample.misconception("All turns of the assistant are demonstrations, not the last one alone.")
def learns_the_last_turn_only(turns):
    last = max((i for i, t in enumerate(turns) if t.role == "assistant"), default=-1)
    return written(turns, {1, 2}, lambda turns, i: i == last)


@chat_sample.misconception("True is for what carries loss: the mask is turned round.")
def turns_the_mask_round(turns):
    sample = data.chat_sample(turns)
    return Sample(sample.tokens, ~sample.mask)


@chat_sample.misconception("Where there is nothing to learn from, say so: raise ValueError.")
def accepts_an_empty_conversation(turns):
    try:
        return data.chat_sample(turns)
    except ValueError:
        return Sample(torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.bool))


@chat_sample.misconception(
    "The template's `after` belongs into the tokens, though not into the loss."
)
def leaves_out_what_follows_the_end(turns):
    return data.chat_sample([t._replace(after=[]) for t in turns])


@chat_sample.control
def with_numbers(turns):
    parts = [
        (list(part), t.role == "assistant" and name in ("content", "end"))
        for t in turns
        for name, part in zip(Turn._fields[1:], t[1:], strict=True)
    ]
    tokens = [x for part, _ in parts for x in part]
    if len(tokens) == 0:
        raise ValueError("nothing was said")
    counts = [torch.full((len(part),), counts) for part, counts in parts]
    return Sample(torch.tensor(tokens), torch.cat(counts).bool())


# ------------------------------------------------------------------------------- the shift by one

next_token_targets = exercise(
    data.next_token_targets,
    nudge="Position t reads token t. Which token is it asked for, and whose mask decides?",
    worked={
        "tokens": torch.tensor([[4, 7, 9, 2]]),
        "mask": torch.tensor([[False, False, True, True]]),
    },
)


def rows(rng, b, t):
    return {
        "tokens": tensor(rng.integers(100, size=(b, t))),
        "mask": tensor(rng.permuted(rng.integers(2, size=(b, t)).astype(bool), axis=1)),
    }


@next_token_targets.check(points=1)
def test_position_t_reads_token_t(rng):
    """position t reads token t, up to the last but one, and is asked for token t + 1"""
    for b, t in ((2, 5), (1, 7), (4, 3), (3, 2)):
        yield rows(rng, b, t) | {"mask": torch.ones(b, t, dtype=torch.bool)}


@next_token_targets.check(points=1)
def test_the_mask_is_that_of_the_token_asked_for(rng):
    for b, t in ((2, 7), (3, 5), (1, 9), (5, 4)):
        yield rows(rng, b, t)
    answers = torch.arange(8) >= tensor(rng.integers(2, 7, size=(3, 1)))
    yield rows(rng, 3, 8) | {"mask": answers}


@next_token_targets.misconception(
    "The mask moves with the labels: here it is that of the token read, not of the token asked for."
)
def shifts_the_labels_alone(tokens, mask):
    return data.next_token_targets(tokens, mask)._replace(mask=mask[:, :-1])


@next_token_targets.misconception("Nobody has to predict the token it reads: labels are one ahead.")
def asks_for_the_token_read(tokens, mask):
    return Targets(tokens[:, :-1], tokens[:, :-1], mask[:, :-1])


@next_token_targets.misconception("Labels are one ahead, not one behind.")
def asks_for_the_token_before(tokens, mask):
    return Targets(tokens[:, 1:], tokens[:, :-1], mask[:, :-1])


@next_token_targets.misconception(
    "It is shifted twice: Hugging Face's models shift labels themselves, this function is the "
    "shift."
)
def shifts_twice(tokens, mask):
    return Targets(tokens[:, :-2], tokens[:, 2:], mask[:, 2:])


@next_token_targets.misconception(
    "roll brings the first token to the end, as if a text began anew: cut, don't roll."
)
def rolls_the_labels(tokens, mask):
    return Targets(tokens, tokens.roll(-1, 1), mask.roll(-1, 1))


@next_token_targets.misconception(
    "Only tokens that are read *and* asked for: it is one mask, shifted."
)
def needs_both_tokens(tokens, mask):
    return data.next_token_targets(tokens, mask)._replace(mask=mask[:, :-1] & mask[:, 1:])


@next_token_targets.control
def place_by_place(tokens, mask):
    t = tokens.shape[1]
    ahead = torch.arange(1, t)
    return Targets(tokens[:, torch.arange(t - 1)], tokens[:, ahead], mask[:, ahead])


# ------------------------------------------------------------------------------- the loss of a part

token_loss = exercise(
    data.token_loss,
    nudge="If a batch is cut in two, by what must both sums be divided so that they add up? And "
    "what is 0 times -inf?",
    worked={
        "log_probs": torch.tensor([[-1.0, -2.0, -3.0]], dtype=torch.float64),
        "mask": torch.tensor([[True, False, True]]),
        "total": 8,
    },
)


def part(rng, b, t, more=1, share=0.6):
    """Log-probabilities of a part of a batch that keeps as many tokens, and some more."""
    mask = rng.permuted(rng.random((b, t)) < share, axis=1)
    mask[0, 0] = True
    return {
        "log_probs": tensor(-rng.exponential(2, size=(b, t))),
        "mask": tensor(mask),
        "total": int(mask.sum()) + int(rng.integers(more, more + 30)),
    }


@token_loss.check(points=1, gradients=("log_probs",))
def test_the_loss_is_minus_the_kept_sum_over_the_batchs_count(rng):
    """the loss is minus the sum of the kept log-probabilities over the batch's count of them"""
    for b, t in ((2, 5), (3, 7), (1, 6), (5, 4)):
        yield part(rng, b, t)
    case = part(rng, 4, 3)
    yield case | {"total": int(case["mask"].sum())}


@token_loss.check(points=1, gradients=("log_probs",))
def test_what_is_masked_has_no_say_be_it_infinite(rng):
    """what the mask leaves out has no say, be it -inf or NaN, nor a gradient"""
    for b, t, bad in ((2, 6, -torch.inf), (3, 4, torch.nan), (1, 7, torch.inf)):
        case = part(rng, b, t, share=0.5)
        yield case | {"log_probs": torch.where(case["mask"], case["log_probs"], bad)}
    case = part(rng, 2, 5)
    yield case | {"log_probs": torch.where(case["mask"], case["log_probs"], -1e4)}


@token_loss.check(points=1)
def test_a_kept_token_that_is_impossible_makes_the_loss_infinite(rng):
    """a kept token of probability 0 makes the loss infinite, a kept NaN makes it NaN"""
    for b, t, bad in ((2, 6, -torch.inf), (3, 4, torch.nan)):
        case = part(rng, b, t, share=0.5)
        x = torch.where(case["mask"], case["log_probs"], -torch.inf)
        x[0, 0] = bad
        yield case | {"log_probs": x}


@token_loss.check(points=1, gradients=("log_probs",))
def test_a_part_without_a_kept_token_loses_nothing(rng):
    """a part without a kept token has loss 0, and a total below 1 raises ValueError"""
    case = part(rng, 3, 5)
    yield case | {"mask": torch.zeros(3, 5, dtype=torch.bool)}
    yield case | {"total": 0}
    yield part(rng, 2, 4) | {"total": -3}
    yield part(rng, 2, 3) | {"total": 1}


def kept(log_probs, mask):
    return torch.where(mask, log_probs, 0).sum()


def refuse(total):
    if total < 1:
        raise ValueError("total")


@token_loss.misconception(
    "The part's own count makes tokens of short parts count for more: divide by the batch's total."
)
def divides_by_its_own_count(log_probs, mask, total):
    refuse(total)
    return -kept(log_probs, mask) / mask.sum().clamp(min=1)


@token_loss.misconception("0 · -inf is NaN: leave masked tokens out by where, not by a product.")
def multiplies_by_the_mask(log_probs, mask, total):
    refuse(total)
    return -(log_probs * mask).sum() / total


@token_loss.misconception(
    "Two slips in one line: 0 · -inf is NaN, so leave masked tokens out by where; and parts add up "
    "only if each is divided by the whole batch's total."
)
def takes_the_masked_mean(log_probs, mask, total):
    return -(log_probs * mask).sum() / mask.sum()


@token_loss.misconception("A loss falls while the log-probabilities rise: it is minus their sum.")
def climbs_down(log_probs, mask, total):
    return -data.token_loss(log_probs, mask, total)


@token_loss.misconception("Only what the mask keeps is summed.")
def sums_all_tokens(log_probs, mask, total):
    return data.token_loss(log_probs, torch.ones_like(mask), total)


@token_loss.misconception(
    "A mean of each sequence first gives tokens of short sequences more weight: sum all of them."
)
def averages_each_sequence_first(log_probs, mask, total):
    refuse(total)
    each = torch.where(mask, log_probs, 0).sum(1) / mask.sum(1).clamp(min=1)
    return -each.sum() / total


@token_loss.misconception("All places count in the mean over T, padding too: divide by the total.")
def divides_by_the_number_of_places(log_probs, mask, total):
    refuse(total)
    return -kept(log_probs, mask) / mask.numel()


@token_loss.misconception("Nothing kept in the whole batch is an error: don't hide it, raise.")
def forgives_a_total_of_zero(log_probs, mask, total):
    return -kept(log_probs, mask) / max(total, 1)


@token_loss.misconception("The parts add up by themselves: the sum must be divided by the total.")
def forgets_the_total(log_probs, mask, total):
    refuse(total)
    return -kept(log_probs, mask)


@token_loss.control
def by_selection(log_probs, mask, total):
    if total <= 0:
        raise ValueError("no token at all")
    return log_probs[mask].neg().sum() * (1 / total)


# ------------------------------------------------------------------------------- truncation

truncate = exercise(
    data.truncate,
    nudge="Where does each mode cut: at the beginning, at the end, or between the two?",
    worked={"tokens": [1, 2, 3, 4, 5, 6], "limit": 3, "mode": "middle"},
)


def long(rng, n, limit, mode):
    return {"tokens": rng.integers(100, size=n).tolist(), "limit": limit, "mode": mode}


@truncate.check(points=1)
def test_left_and_right_name_the_side_that_is_cut(rng):
    """left cuts at the beginning, right at the end"""
    for n, limit in ((7, 3), (9, 8), (5, 1), (12, 5)):
        yield long(rng, n, limit, "left")
        yield long(rng, n, limit, "right")


@truncate.check(points=1)
def test_middle_keeps_both_ends(rng):
    """middle keeps limit // 2 tokens at the beginning, and the rest at the end"""
    for n, limit in ((7, 4), (9, 5), (8, 3), (11, 10), (6, 1), (5, 2)):
        yield long(rng, n, limit, "middle")


@truncate.check(points=1)
def test_what_is_short_enough_stays_whole(rng):
    """what has `limit` tokens or fewer stays whole in every mode; error raises beyond"""
    for mode in data.MODES:
        yield long(rng, 5, 5, mode)
        yield long(rng, 3, 8, mode)
        yield long(rng, 0, 2, mode)
    yield long(rng, 6, 5, "error")
    yield long(rng, 9, 2, "error")


@truncate.check(points=1)
def test_an_unknown_mode_or_limit_is_refused(rng):
    """another mode, and a limit below 1, raise ValueError, even where nothing must be cut"""
    yield long(rng, 7, 3, "center")
    yield long(rng, 2, 3, "Left")
    yield long(rng, 4, 0, "left")
    yield long(rng, 0, 0, "right")
    yield long(rng, 3, -1, "middle")
    yield long(rng, 3, 1, "left")


def guard(limit, mode):
    if mode not in data.MODES or limit < 1:
        raise ValueError("mode or limit")


@truncate.misconception("`left` is the side that is cut off, not the side that is kept.")
def keeps_the_side_named(tokens, limit, mode):
    other = {"left": "right", "right": "left"}.get(mode, mode)
    return data.truncate(tokens, limit, other)


@truncate.misconception("Middle keeps both ends and cuts between them: it doesn't cut at the ends.")
def keeps_the_middle(tokens, limit, mode):
    if mode != "middle" or len(tokens) <= limit or limit < 1:
        return data.truncate(tokens, limit, mode)
    first = (len(tokens) - limit) // 2
    return tokens[first : first + limit]


@truncate.misconception("Of an odd limit the larger part is kept at the end: limit // 2 in front.")
def keeps_more_in_front(tokens, limit, mode):
    if mode != "middle" or len(tokens) <= limit or limit < 1:
        return data.truncate(tokens, limit, mode)
    back = limit // 2
    return [*tokens[: limit - back], *tokens[len(tokens) - back :]]


@truncate.misconception(
    "tokens[-0:] is everything: with nothing to keep at the end the slice must be empty."
)
def meets_minus_zero(tokens, limit, mode):
    guard(limit, mode)
    if len(tokens) <= limit or mode in ("error", "left"):
        return data.truncate(tokens, limit, mode)
    front = limit if mode == "right" else limit // 2
    return [*tokens[:front], *tokens[-(limit - front) :]]


@truncate.misconception("A text of just `limit` tokens is not too long.")
def refuses_the_limit_itself(tokens, limit, mode):
    guard(limit, mode)
    if mode == "error" and len(tokens) >= limit:
        raise ValueError("too long")
    return data.truncate(tokens, limit, mode)


@truncate.misconception("`error` must not cut in silence: raise ValueError.")
def cuts_instead_of_raising(tokens, limit, mode):
    return data.truncate(tokens, limit, "right" if mode == "error" else mode)


@truncate.misconception("A misspelt mode must be an error at once, not only when a text is long.")
def looks_at_the_mode_too_late(tokens, limit, mode):
    if limit < 1:
        raise ValueError("limit")
    return [*tokens] if len(tokens) <= limit else data.truncate(tokens, limit, mode)


@truncate.misconception("A limit below 1 leaves nothing to learn from: raise ValueError.")
def accepts_any_limit(tokens, limit, mode):
    if mode not in data.MODES:
        raise ValueError("mode")
    return data.truncate(tokens, limit, mode) if limit > 0 else []


@truncate.control
def token_by_token(tokens, limit, mode):
    if mode not in ("error", "left", "right", "middle"):
        raise ValueError("unknown mode")
    if limit <= 0:
        raise ValueError("no room")
    n, cut = len(tokens), max(len(tokens) - limit, 0)
    if cut and mode == "error":
        raise ValueError("too long")
    start = {"left": 0, "right": limit, "middle": limit // 2, "error": n}[mode]
    return [x for i, x in enumerate(tokens) if not start <= i < start + cut]


# ------------------------------------------------------------------------------- packing

pack = exercise(
    packing.pack,
    nudge="Big stones first. And before you open a new row: is there room in an older one?",
    worked={"lengths": [3, 5, 2, 4], "capacity": 7},
)


def lengths_of(rng, n, capacity, low=1, high=None):
    return {
        "lengths": rng.integers(low, (high or capacity) + 1, size=n).tolist(),
        "capacity": capacity,
    }


@pack.check(points=2)
def test_each_sequence_goes_into_the_first_row_with_room(rng):
    """longest first, each sequence goes into the first row that has room for it"""
    for n, capacity in ((6, 10), (9, 12), (12, 17), (15, 30)):
        yield lengths_of(rng, n, capacity)
        yield lengths_of(rng, n, capacity, high=capacity // 2)


@pack.check(points=1)
def test_sequences_of_one_length_keep_their_order(rng):
    yield {"lengths": [4] * int(rng.integers(5, 9)), "capacity": 9}
    yield lengths_of(rng, 11, 6, low=2, high=3)
    yield {"lengths": rng.permutation([5, 5, 5, 2, 2, 2]).tolist(), "capacity": 7}


@pack.check(points=1)
def test_a_row_may_be_filled_to_the_brim(rng):
    """a row may be filled to the brim, and a sequence fill a row alone; no sequence, no row"""
    yield {"lengths": rng.permutation([6, 4, 3, 7, 5, 5]).tolist(), "capacity": 10}
    yield {"lengths": rng.permutation([8, 8, 1]).tolist(), "capacity": 8}
    yield {"lengths": [3], "capacity": 3}
    yield {"lengths": [], "capacity": 5}
    yield {"lengths": [1, 1, 1], "capacity": 1}


@pack.check(points=1)
def test_a_length_that_fits_no_row_is_refused(rng):
    """a length above the capacity, or below 1, raises ValueError"""
    for bad in (9, 0, -2, 50):
        case = lengths_of(rng, 5, 8)
        case["lengths"][int(rng.integers(5))] = bad
        yield case
    yield lengths_of(rng, 4, 8)


def fitted(lengths, capacity, order, candidates):
    """Packing in a given order; candidates(filled, length) says which rows to try, in turn."""
    if not all(1 <= n <= capacity for n in lengths):
        raise ValueError("lengths")
    row, offset, filled = [0] * len(lengths), [0] * len(lengths), []
    for i in order:
        options = [b for b in candidates(filled, lengths[i]) if filled[b] + lengths[i] <= capacity]
        b = options[0] if options else len(filled)
        if b == len(filled):
            filled.append(0)
        row[i], offset[i] = b, filled[b]
        filled[b] += lengths[i]
    return Packing(row, offset)


def falling(lengths):
    return sorted(range(len(lengths)), key=lambda i: -lengths[i])


def every_row(filled, length):
    return range(len(filled))


@pack.misconception("Longest first: short sequences then fill the gaps that long ones leave.")
def takes_them_as_they_come(lengths, capacity):
    return fitted(lengths, capacity, range(len(lengths)), every_row)


@pack.misconception("Longest first, not shortest first: sort in descending order.")
def takes_the_shortest_first(lengths, capacity):
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    return fitted(lengths, capacity, order, every_row)


@pack.misconception("Older rows may still have room: try all of them, not the last one alone.")
def looks_at_the_last_row_only(lengths, capacity):
    return fitted(lengths, capacity, falling(lengths), lambda filled, n: range(len(filled))[-1:])


@pack.misconception("First fit takes the first row with room; the fullest one would be best fit.")
def takes_the_fullest_row(lengths, capacity):
    def fullest(filled, length):
        return sorted(range(len(filled)), key=lambda b: -filled[b])

    return fitted(lengths, capacity, falling(lengths), fullest)


@pack.misconception("A row may be filled to the brim: used + length <= capacity.")
def leaves_a_place_free(lengths, capacity):
    if not all(1 <= n <= capacity for n in lengths):
        raise ValueError("lengths")
    row, offset, filled = [0] * len(lengths), [0] * len(lengths), []
    for i in falling(lengths):
        b = next((b for b, used in enumerate(filled) if used + lengths[i] < capacity), len(filled))
        if b == len(filled):
            filled.append(0)
        row[i], offset[i] = b, filled[b]
        filled[b] += lengths[i]
    return Packing(row, offset)


@pack.misconception("The answer is in the order of the sequences as they came, not as sorted.")
def answers_in_sorted_order(lengths, capacity):
    packed = packing.pack(lengths, capacity)
    order = falling(lengths)
    return Packing([packed.row[i] for i in order], [packed.offset[i] for i in order])


@pack.misconception("A sequence too long for a row must be refused, not given a row of its own.")
def gives_long_ones_a_row(lengths, capacity):
    if any(n < 1 for n in lengths):
        raise ValueError("lengths")
    packed = packing.pack([min(n, capacity) for n in lengths], capacity)
    return Packing(packed.row, packed.offset)


@pack.misconception("Of equally long ones the earlier goes first: a stable sort, no reversal.")
def turns_equals_round(lengths, capacity):
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])[::-1]
    return fitted(lengths, capacity, order, every_row)


@pack.control
def row_by_row(lengths, capacity):
    if any(n < 1 or n > capacity for n in lengths):
        raise ValueError("a length fits no row")
    row, offset = [-1] * len(lengths), [-1] * len(lengths)
    rows = []
    for n, i in sorted((-n, i) for i, n in enumerate(lengths)):
        for b, members in enumerate(rows):  # noqa: B007, the row where it stops
            used = sum(lengths[j] for j in members)
            if used - n <= capacity:
                break
        else:
            b, used = len(rows), 0
            rows.append([])
        rows[b].append(i)
        row[i], offset[i] = b, used
    return Packing(row, offset)


# ------------------------------------------------------------------------------- batch budgets

token_budget_batches = exercise(
    packing.token_budget_batches,
    nudge="In order of length, the newcomer is the longest of its batch. What does the batch then "
    "cost, padding and all?",
    worked={"lengths": [5, 2, 3, 2], "budget": 6},
)


def budgeted(rng, n, budget, high=None):
    return {"lengths": rng.integers(1, (high or budget) + 1, size=n).tolist(), "budget": budget}


@token_budget_batches.check(points=2)
def test_a_batch_costs_its_longest_times_its_count(rng):
    """a batch is closed when the next sequence would make longest times count exceed the budget"""
    for n, budget, high in ((8, 20, 7), (12, 30, 9), (6, 15, 15), (15, 64, 20)):
        yield budgeted(rng, n, budget, high)


@token_budget_batches.check(points=1)
def test_sequences_are_taken_by_length_and_equals_in_order(rng):
    """the shortest come first, and equals in the order in which they came"""
    yield {"lengths": [3] * int(rng.integers(5, 9)), "budget": 10}
    yield {"lengths": rng.permutation([2, 2, 2, 4, 4, 4]).tolist(), "budget": 8}
    yield budgeted(rng, 12, 13, 3)


@token_budget_batches.check(points=1)
def test_a_budget_may_be_spent_to_the_last_token(rng):
    """a budget may be spent to the last token; one sequence may take it all; none make no batch"""
    yield {"lengths": rng.permutation([3, 3, 3, 3, 6, 6]).tolist(), "budget": 12}
    yield {"lengths": rng.permutation([7, 7, 1]).tolist(), "budget": 7}
    yield {"lengths": [], "budget": 4}
    yield {"lengths": [5], "budget": 5}


@token_budget_batches.check(points=1)
def test_a_length_beyond_the_budget_is_refused(rng):
    """a length above the budget, or below 1, raises ValueError"""
    for bad in (11, 0, -1, 99):
        case = budgeted(rng, 4, 10)
        case["lengths"][int(rng.integers(4))] = bad
        yield case
    yield budgeted(rng, 5, 10)


def grouped(lengths, budget, order, cost):
    """Batches in a given order, closed where cost(batch, newcomer) exceeds the budget."""
    if not all(1 <= n <= budget for n in lengths):
        raise ValueError("lengths")
    batches = []
    for i in order:
        if batches and cost([lengths[j] for j in batches[-1]], lengths[i]) <= budget:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


def rising(lengths):
    return sorted(range(len(lengths)), key=lambda i: lengths[i])


def rectangle(batch, n):
    return max([*batch, n]) * (len(batch) + 1)


@token_budget_batches.misconception(
    "Padding costs too: the batch is a rectangle, longest times count, not the sum of the lengths."
)
def forgets_the_padding(lengths, budget):
    return grouped(lengths, budget, rising(lengths), lambda batch, n: sum(batch) + n)


@token_budget_batches.misconception("Sort by length first: unequal neighbours waste padding.")
def takes_them_unsorted(lengths, budget):
    return grouped(lengths, budget, range(len(lengths)), rectangle)


@token_budget_batches.misconception("The shortest come first, not the longest.")
def takes_the_longest_first(lengths, budget):
    return grouped(lengths, budget, falling(lengths), rectangle)


@token_budget_batches.misconception(
    "The newcomer is the longest: it makes all of the batch longer, not only itself."
)
def counts_the_old_length(lengths, budget):
    return grouped(lengths, budget, rising(lengths), lambda batch, n: max(batch) * (len(batch) + 1))


@token_budget_batches.misconception("The newcomer counts too: count + 1 sequences of its length.")
def forgets_the_newcomer(lengths, budget):
    return grouped(lengths, budget, rising(lengths), lambda batch, n: n * len(batch))


@token_budget_batches.misconception("The budget may be spent whole: <=, not <.")
def leaves_a_token_unspent(lengths, budget):
    return grouped(lengths, budget, rising(lengths), lambda batch, n: rectangle(batch, n) + 1)


@token_budget_batches.misconception("What is wanted are numbers of sequences, not their lengths.")
def returns_the_lengths(lengths, budget):
    return [[lengths[i] for i in b] for b in packing.token_budget_batches(lengths, budget)]


@token_budget_batches.misconception("A sequence beyond the budget must be refused, not go alone.")
def lets_long_ones_go_alone(lengths, budget):
    if any(n < 1 for n in lengths):
        raise ValueError("lengths")
    batches = []
    for i in rising(lengths):
        if batches and rectangle([lengths[j] for j in batches[-1]], lengths[i]) <= budget:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


@token_budget_batches.control
def with_a_running_count(lengths, budget):
    if lengths and not 1 <= min(lengths) <= max(lengths) <= budget:
        raise ValueError("lengths")
    batches, current = [], []
    for n, i in sorted((n, i) for i, n in enumerate(lengths)):
        if current and n * (len(current) + 1) > budget:
            batches.append(current)
            current = []
        current.append(i)
    return [*batches, current] if current else batches
