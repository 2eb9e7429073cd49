"""The six exercises of the decoding chapter: top-p, the repetition penalty, log-probabilities of
what was sampled, left padding, the mask of a response, and a step of a beam search.

Axes differ in size and vary: B batch, K beams, T and R tokens, V vocabulary.
"""

import numpy as np
import torch

from rlcourse.exercises.deep.policy_gradient import tensor
from rlcourse.grading import exercise
from rlcourse.language import beam, decoding, sampling
from rlcourse.language.beam import BeamStep
from rlcourse.language.decoding import Padded

FAR = 1e4
HIDDEN = -torch.inf


def normal(rng, *shape, size=1.0):
    return tensor(size * rng.normal(size=shape))


def holes(rng, logits):
    """Logits of which a third of each row is cut already."""
    cut = np.broadcast_to(np.arange(logits.shape[-1]) < logits.shape[-1] // 3, logits.shape)
    return torch.where(tensor(rng.permuted(cut, axis=-1)), HIDDEN, logits)


# ------------------------------------------------------------------------------- top-p

keep_top_p = exercise(
    sampling.keep_top_p,
    nudge="Sort the probabilities, the largest first. How much stood before a token decides "
    "whether it is kept.",
    worked={"logits": torch.tensor([[0.2, 0.5, 0.3]], dtype=torch.float64).log(), "p": 0.6},
)


def nucleus(rng, *shape, p=None, size=2.0):
    return {"logits": normal(rng, *shape, size=size), "p": p or float(rng.uniform(0.2, 0.95))}


@keep_top_p.check(points=2, gradients=("logits",))
def test_top_p_keeps_the_fewest_tokens_that_hold_p(rng):
    """top-p keeps the fewest likeliest tokens whose probabilities sum to p or more"""
    for shape in ((3, 7), (9,), (4, 5), (2, 3, 6), (1, 8)):
        yield nucleus(rng, *shape)
        yield nucleus(rng, *shape, size=0.3)


@keep_top_p.check(points=1, gradients=("logits",))
def test_top_p_keeps_the_token_that_crosses_p(rng):
    """top-p keeps the token with which the sum passes p, and so always one at least"""
    for p in (0.01, 0.5, 0.3):
        yield nucleus(rng, 5, 6, p=p, size=4)
    share = rng.permuted(np.array([[0.41, 0.32, 0.17, 0.1]] * 3), axis=1)
    yield {"logits": tensor(np.log(share)), "p": 0.45}
    yield {"logits": tensor(np.log(share)), "p": 0.75}
    yield {"logits": tensor(np.log(share)), "p": 0.2}


@keep_top_p.check(points=1, gradients=("logits",))
def test_top_p_leaves_the_logits_it_keeps_as_they_were(rng):
    """top-p changes no logit that it keeps, wherever it stands, and brings none back"""
    for shape, p in (((4, 9), 0.6), ((3, 7), 0.9)):
        yield nucleus(rng, *shape, p=p) | {"logits": holes(rng, normal(rng, *shape)) - 5}
    yield nucleus(rng, 2, 8, p=1.0)
    yield nucleus(rng, 3, 6, p=0.7) | {"logits": normal(rng, 3, 6) + 40}


@keep_top_p.check(points=1, gradients=("logits",))
def test_top_p_takes_the_first_of_equals(rng):
    """top-p takes the first of equally likely tokens, and bears logits of ten thousand"""
    yield {"logits": torch.zeros(2, 8, dtype=torch.float64), "p": 0.5}
    yield {"logits": torch.zeros(3, 64, dtype=torch.float64), "p": 0.75}
    share = rng.permuted(np.array([[4, 4, 4, 1.0]] * 3), axis=1)
    yield {"logits": tensor(np.log(share)), "p": 0.6}
    yield nucleus(rng, 3, 5, p=0.9, size=FAR)
    yield {"logits": normal(rng, 4, 6) - FAR, "p": 0.8}


def cut_where(logits, p, rule):
    """Cut the sorted tokens for which rule(share, running sum) holds."""
    z, order = logits.sort(dim=-1, descending=True, stable=True)
    share = z.softmax(-1)
    cut = rule(share, share.cumsum(-1))
    return logits.masked_fill(torch.empty_like(cut).scatter(-1, order, cut), HIDDEN)


@keep_top_p.misconception(
    "The token that crosses p is needed too: look at the sum before it, not with it."
)
def drops_the_token_that_crosses(logits, p):
    return cut_where(logits, p, lambda share, running: running > p)


@keep_top_p.misconception(
    "It keeps one more than it needs: cut as soon as the sum before reached p."
)
def keeps_one_too_many(logits, p):
    return cut_where(logits, p, lambda share, running: running - share - share.roll(1, -1) >= p)


@keep_top_p.misconception(
    "The cut is in sorted order: bring it back to the order of the tokens (scatter)."
)
def forgets_to_undo_the_sorting(logits, p):
    share = logits.sort(dim=-1, descending=True).values.softmax(-1)
    return logits.masked_fill(share.cumsum(-1) - share >= p, HIDDEN)


@keep_top_p.misconception("The order of sorting brings tokens back by scatter, not by gather.")
def undoes_the_sorting_the_wrong_way(logits, p):
    z, order = logits.sort(dim=-1, descending=True, stable=True)
    share = z.softmax(-1)
    return logits.masked_fill((share.cumsum(-1) - share >= p).gather(-1, order), HIDDEN)


@keep_top_p.misconception("Each token of p or more is kept: that is a cut by probability, no sum.")
def cuts_by_probability(logits, p):
    return logits.masked_fill(logits.softmax(-1) < 1 - p, HIDDEN)


@keep_top_p.misconception("The likeliest come first: sort in descending order.")
def keeps_the_least_likely(logits, p):
    z, order = logits.sort(dim=-1, stable=True)
    share = z.softmax(-1)
    cut = share.cumsum(-1) - share >= p
    return logits.masked_fill(torch.empty_like(cut).scatter(-1, order, cut), HIDDEN)


@keep_top_p.misconception("Logits come back, cut ones as -inf: the softmax is taken later.")
def returns_probabilities(logits, p):
    return sampling.keep_top_p(logits, p).softmax(-1)


@keep_top_p.misconception("What is cut gets -inf: a logit of 0 is a token like any other.")
def cuts_to_zero(logits, p):
    return torch.where(sampling.keep_top_p(logits, p) == HIDDEN, 0.0, logits)


@keep_top_p.misconception("Each row is a distribution: sort and sum over the last axis.")
def sums_over_all_rows(logits, p):
    flat = sampling.keep_top_p(logits.flatten()[None], p)
    return flat.reshape(logits.shape)


@keep_top_p.control
def token_by_token(logits, p):
    rows = logits.reshape(-1, logits.shape[-1])
    keep = torch.zeros_like(rows, dtype=torch.bool)
    for b, share in enumerate(rows.softmax(-1).tolist()):
        total = 0.0
        for i in sorted(range(len(share)), key=lambda i: -share[i]):
            if total >= p:
                break
            keep[b, i] = True
            total += share[i]
    return torch.where(keep, rows, HIDDEN).reshape(logits.shape)


# ------------------------------------------------------------------------------- repetition

penalise_repetition = exercise(
    sampling.penalise_repetition,
    nudge="A penalty must make a token less likely, whatever the sign of its logit. And once is "
    "enough.",
    worked={
        "logits": torch.tensor([[2.0, -1.0, 3.0]], dtype=torch.float64),
        "tokens": torch.tensor([[1, 0, 1, 1]]),
        "penalty": 2.0,
    },
)


def said(rng, b, t, v, penalty=None, pad=None):
    """Logits after T tokens that repeat themselves, a part of them padding where pad is given."""
    tokens = rng.integers(v, size=(b, t))
    tokens[:, 0] = tokens[:, -1]
    case = {
        "logits": normal(rng, b, v, size=3),
        "tokens": tensor(tokens),
        "penalty": penalty or float(rng.uniform(1.1, 3)),
    }
    if pad is None:
        return case
    absent = np.arange(t) < rng.integers(1, t, size=b)[:, None]
    present = tensor(~absent)
    return case | {"tokens": torch.where(present, case["tokens"], pad), "present": present}


@penalise_repetition.check(points=2, gradients=("logits",))
def test_a_penalty_makes_what_was_said_less_likely(rng):
    """a penalty divides a positive logit and multiplies a negative one, of the tokens said"""
    for b, t, v in ((2, 3, 7), (1, 4, 6), (3, 2, 9), (2, 5, 8)):
        yield said(rng, b, t, v)
    case = said(rng, 2, 3, 5)
    yield case | {"logits": -case["logits"].abs()}
    yield case | {"logits": case["logits"].abs(), "penalty": 0.5}
    case = said(rng, 2, 4, 9)
    yield case | {"logits": holes(rng, case["logits"])}


@penalise_repetition.check(points=1, gradients=("logits",))
def test_a_penalty_is_paid_once_for_each_token(rng):
    for b, t, v in ((2, 9, 4), (1, 7, 3), (3, 8, 5)):
        yield said(rng, b, t, v)


@penalise_repetition.check(points=1, gradients=("logits",))
def test_padding_is_no_token_that_was_said(rng):
    for b, t, v, pad in ((3, 6, 8, 0), (2, 5, 9, 3), (4, 7, 10, 9)):
        yield said(rng, b, t, v, pad=pad)
        case = said(rng, b, t, v, pad=pad)
        here = case["present"].roll(int(rng.integers(1, t)), 1)
        yield case | {"present": here}
    case = said(rng, 3, 4, 6)
    yield case | {"present": torch.zeros(3, 4, dtype=torch.bool)}


def by_sign(logits, seen, penalty):
    punished = torch.where(logits > 0, logits / penalty, logits * penalty)
    return torch.where(seen, punished, logits)


def said_in(logits, tokens, present=None):
    hot = torch.nn.functional.one_hot(tokens, logits.shape[-1]).bool()
    return (hot if present is None else hot & present[..., None].bool()).any(1)


@penalise_repetition.misconception(
    "A negative logit divided by 2 grows: it must be multiplied to become less likely."
)
def divides_negative_logits_too(logits, tokens, penalty, present=None):
    return torch.where(said_in(logits, tokens, present), logits / penalty, logits)


@penalise_repetition.misconception("It is the positive logits that are divided: turn it round.")
def rewards_repetition(logits, tokens, penalty, present=None):
    return sampling.penalise_repetition(logits, tokens, 1 / penalty, present)


@penalise_repetition.misconception(
    "A token pays once, however often it was said: a frequency penalty is another one."
)
def makes_a_token_pay_each_time(logits, tokens, penalty, present=None):
    hot = torch.nn.functional.one_hot(tokens, logits.shape[-1])
    times = (hot if present is None else hot * present[..., None].long()).sum(1)
    rate = penalty**times
    return torch.where(logits > 0, logits / rate, logits * rate)


@penalise_repetition.misconception(
    "Padding was never said: a short prompt must not pay for the pad token."
)
def makes_the_padding_pay(logits, tokens, penalty, present=None):
    return sampling.penalise_repetition(logits, tokens, penalty)


@penalise_repetition.misconception("To subtract is the presence penalty. This one is a factor.")
def subtracts_the_penalty(logits, tokens, penalty, present=None):
    return logits - penalty * said_in(logits, tokens, present)


@penalise_repetition.misconception("Each row has said its own tokens: don't mix the batch.")
def mixes_the_rows(logits, tokens, penalty, present=None):
    seen = said_in(logits, tokens, present).any(0, keepdim=True)
    return by_sign(logits, seen, penalty)


@penalise_repetition.misconception("All that was said pays, not the last token alone.")
def punishes_the_last_token_only(logits, tokens, penalty, present=None):
    here = None if present is None else present[:, -1:]
    return by_sign(logits, said_in(logits, tokens[:, -1:], here), penalty)


@penalise_repetition.misconception("Only what was said pays: the other logits stay.")
def punishes_every_token(logits, tokens, penalty, present=None):
    return by_sign(logits, torch.ones_like(logits, dtype=torch.bool), penalty)


@penalise_repetition.control
def row_by_row(logits, tokens, penalty, present=None):
    out = logits.clone()
    for b in range(len(logits)):
        row = tokens[b] if present is None else tokens[b][present[b].bool()]
        for token in set(row.tolist()):
            z = out[b, token]
            out[b, token] = z / penalty if z > 0 else z * penalty
    return out


# ------------------------------------------------------------------------------- log-probabilities

sampled_log_probs = exercise(
    sampling.sampled_log_probs,
    nudge="Only what is left can be drawn, so only that shares the probability 1.",
    worked={
        "logits": torch.tensor([[0.0, 0.0, -torch.inf], [1.0, 1.0, 1.0]], dtype=torch.float64),
        "tokens": torch.tensor([1, 0]),
    },
)


def drawn(rng, *shape, size=2.0, cut=False):
    logits = normal(rng, *shape, size=size)
    logits = holes(rng, logits) if cut else logits
    share = logits.softmax(-1).cumsum(-1) > tensor(rng.random((*shape[:-1], 1)))
    return {"logits": logits, "tokens": share.to(torch.uint8).argmax(-1)}


@sampled_log_probs.check(points=1, gradients=("logits",))
def test_a_log_probability_is_the_logit_less_the_log_sum(rng):
    """the log-probability of a token is its logit less the row's log-sum-exp"""
    for shape in ((4, 7), (2, 3, 5), (6,), (1, 9)):
        yield drawn(rng, *shape)
    yield drawn(rng, 5, 3)


@sampled_log_probs.check(points=1)
def test_cut_tokens_share_nothing_of_the_probability(rng):
    """cut tokens share nothing of the probability, and have log-probability -inf themselves"""
    for shape in ((4, 7), (3, 9), (2, 5, 6)):
        case = drawn(rng, *shape, cut=True)
        yield case
        yield case | {"tokens": tensor(rng.integers(shape[-1], size=shape[:-1]))}
    yield {
        "logits": torch.tensor([[HIDDEN, 3.0, HIDDEN], [HIDDEN, HIDDEN, -2.0]]).double(),
        "tokens": torch.tensor([1, 2]),
    }


@sampled_log_probs.check(points=1, gradients=("logits",))
def test_log_probabilities_are_finite_for_logits_of_ten_thousand(rng):
    for base in (FAR, -FAR):
        case = drawn(rng, 4, 6)
        yield case | {"logits": case["logits"] + base}
    yield drawn(rng, 3, 5, size=FAR)
    yield drawn(rng, 3, 5, size=FAR) | {"tokens": tensor(rng.integers(5, size=3))}


@sampled_log_probs.misconception("A logit is no log-probability: the row's log-sum-exp goes off.")
def returns_the_logit(logits, tokens):
    return logits.gather(-1, tokens[..., None])[..., 0]


@sampled_log_probs.misconception("The logarithm is missing: probabilities came, not their logs.")
def returns_the_probability(logits, tokens):
    return sampling.sampled_log_probs(logits, tokens).exp()


@sampled_log_probs.misconception(
    "exp of a large logit is inf, and a softmax underflows to 0: use logsumexp or log_softmax."
)
def takes_the_log_of_a_softmax(logits, tokens):
    return logits.softmax(-1).gather(-1, tokens[..., None])[..., 0].log()


@sampled_log_probs.misconception(
    "1e-8 under the logarithm invents probability for what can't be drawn."
)
def adds_a_little_under_the_log(logits, tokens):
    return (logits.softmax(-1).gather(-1, tokens[..., None])[..., 0] + 1e-8).log()


@sampled_log_probs.misconception(
    "The cut is forgotten: -inf for 0 lets the cut tokens share in the probability."
)
def forgets_the_cut(logits, tokens):
    return sampling.sampled_log_probs(logits.nan_to_num(neginf=0.0), tokens)


@sampled_log_probs.misconception("The tokens of a row share 1, not the rows: the last axis.")
def normalises_over_the_rows(logits, tokens):
    total = logits.reshape(-1).logsumexp(0)
    return logits.gather(-1, tokens[..., None])[..., 0] - total


@sampled_log_probs.misconception("A log-probability is below 0: the sign is turned round.")
def returns_the_loss(logits, tokens):
    return -sampling.sampled_log_probs(logits, tokens)


@sampled_log_probs.misconception("The token that was drawn counts, not the likeliest.")
def takes_the_likeliest(logits, tokens):
    return sampling.sampled_log_probs(logits, logits.argmax(-1))


@sampled_log_probs.control
def by_log_softmax(logits, tokens):
    log_p = torch.log_softmax(logits, -1).reshape(-1, logits.shape[-1])
    picked = log_p[torch.arange(len(log_p)), tokens.reshape(-1)]
    return picked.reshape(tokens.shape)


# ------------------------------------------------------------------------------- left padding

left_pad = exercise(
    decoding.left_pad,
    nudge="Where must the last token of each prompt stand, so that one column holds the next "
    "token of all?",
    worked={"prompts": [[5, 2, 7], [3]], "pad": 0},
)


def prompts(rng, *lengths, pad):
    return {"prompts": [rng.integers(1, 30, size=n).tolist() for n in lengths], "pad": pad}


@left_pad.check(points=1)
def test_all_prompts_end_in_the_last_column(rng):
    yield prompts(rng, 3, 5, 1, pad=0)
    yield prompts(rng, 2, 7, pad=31)
    yield prompts(rng, 4, 1, 6, 2, pad=0)
    yield prompts(rng, 5, 5, pad=2)
    yield prompts(rng, 3, pad=0)


@left_pad.check(points=1)
def test_a_pad_id_within_a_prompt_is_a_token_like_another(rng):
    """what is present is a question of places: a prompt may hold the padding's id itself"""
    for pad in (3, 7):
        case = prompts(rng, 4, 6, 2, pad=pad)
        for row in case["prompts"]:
            row[int(rng.integers(len(row)))] = pad
        case["prompts"][0][0] = pad
        yield case
    yield {"prompts": [[0, 0, 5], [0], [4, 0]], "pad": 0}


@left_pad.check(points=1)
def test_prompts_without_a_token_are_refused(rng):
    """no prompt, and a prompt without a token, raise ValueError"""
    yield prompts(rng, 3, 0, 2, pad=0)
    yield prompts(rng, 0, pad=1)
    yield {"prompts": [], "pad": 0}
    yield prompts(rng, 2, 1, pad=1)


def refuse_empty(prompts):
    if not len(prompts) or not all(map(len, prompts)):
        raise ValueError("prompts")


@left_pad.misconception(
    "Padding goes before the prompt, not after: the next token goes right behind it."
)
def pads_on_the_right(prompts, pad):
    padded = decoding.left_pad([row[::-1] for row in prompts], pad)
    return Padded(padded.tokens.flip(1), padded.present.flip(1))


@left_pad.misconception(
    "A prompt may hold the padding's id as a token: what is present depends on lengths alone."
)
def takes_a_token_for_padding(prompts, pad):
    tokens = decoding.left_pad(prompts, pad).tokens
    return Padded(tokens, tokens != pad)


@left_pad.misconception("Whoever calls chooses the padding: use `pad`, not 0.")
def pads_with_zeros(prompts, pad):
    return decoding.left_pad(prompts, 0)


@left_pad.misconception("True means that there is a token: it is turned round.")
def marks_the_padding(prompts, pad):
    padded = decoding.left_pad(prompts, pad)
    return Padded(padded.tokens, ~padded.present)


@left_pad.misconception("Nothing is lost: pad up to the longest prompt, don't cut to the shortest.")
def cuts_to_the_shortest(prompts, pad):
    refuse_empty(prompts)
    least = min(map(len, prompts))
    return decoding.left_pad([row[-least:] for row in prompts], pad)


@left_pad.misconception("A prompt is read from left to right: its tokens keep their order.")
def turns_the_prompts_round(prompts, pad):
    return decoding.left_pad([row[::-1] for row in prompts], pad)


@left_pad.misconception(
    "A prompt without a token has nothing to go on from: raise ValueError before it does harm."
)
def accepts_prompts_without_a_token(prompts, pad):
    longest = max(map(len, prompts), default=0)
    tokens = [[pad] * (longest - len(row)) + row for row in prompts]
    present = [[False] * (longest - len(row)) + [True] * len(row) for row in prompts]
    return Padded(torch.tensor(tokens).reshape(len(prompts), -1).long(), torch.tensor(present))


@left_pad.control
def place_by_place(prompts, pad):
    refuse_empty(prompts)
    shape = len(prompts), max(map(len, prompts))
    tokens, present = torch.full(shape, pad), torch.zeros(shape, dtype=torch.bool)
    for b, row in enumerate(prompts):
        for t, token in enumerate(row):
            at = shape[1] - len(row) + t
            tokens[b, at], present[b, at] = token, True
    return Padded(tokens, present)


# ------------------------------------------------------------------------------- response mask

response_mask = exercise(
    decoding.response_mask,
    nudge="How many ends have stood before a token? And does the first end belong to the text?",
    worked={"response": torch.tensor([[4, 2, 0, 0], [5, 6, 7, 8]]), "eos": [0]},
)


def texts(rng, b, r, eos, least=10):
    """Responses whose tokens are above the ends, with one or two ends at random in most rows."""
    response = rng.integers(least, least + 9, size=(b, r))
    for row in response[: max(1, b - 1)]:
        row[rng.integers(r)] = eos[rng.integers(len(eos))]
        row[rng.integers(r)] = eos[rng.integers(len(eos))]
    return {"response": tensor(rng.permutation(response)), "eos": list(eos)}


@response_mask.check(points=2)
def test_a_response_goes_up_to_its_first_end_and_holds_it(rng):
    """the mask is True up to the first end, for the end itself too, and False after it"""
    for b, r in ((3, 6), (4, 5), (1, 8), (6, 7)):
        yield texts(rng, b, r, [int(rng.integers(3, 9))])
    yield texts(rng, 2, 9, [0])


@response_mask.check(points=1)
def test_any_of_several_ends_ends_a_response(rng):
    for b, r, eos in ((4, 7, [2, 5]), (3, 8, [0, 1, 4]), (5, 6, [7, 3])):
        yield texts(rng, b, r, eos)


@response_mask.check(points=1)
def test_a_response_may_end_never_at_once_or_last(rng):
    """a response may end with its first token, with its last, or not at all"""
    for b, r in ((4, 5), (3, 7)):
        response = tensor(rng.integers(10, 20, size=(b, r)))
        yield {"response": response, "eos": [3]}
        yield {"response": response.index_fill(1, torch.tensor([0]), 3), "eos": [3]}
        yield {"response": response.index_fill(1, torch.tensor([r - 1]), 3), "eos": [3]}
        yield {"response": response, "eos": []}
    yield {"response": torch.full((2, 6), 4), "eos": [4]}
    yield {"response": torch.full((1, 600), 5), "eos": [5]}


def ended(response, eos):
    """How many ends stood up to and with each token."""
    return torch.isin(response, torch.tensor([*eos], dtype=response.dtype)).long().cumsum(1)


@response_mask.misconception(
    "The end itself belongs to the response: without it a model never learns to stop."
)
def leaves_the_end_out(response, eos):
    return ended(response, eos) == 0


@response_mask.misconception("After the end there is padding: the first end is the last token.")
def includes_the_token_after_the_end(response, eos):
    mask = decoding.response_mask(response, eos)
    return torch.cat([torch.ones_like(mask[:, :1]), mask[:, :-1]], 1) | mask


@response_mask.misconception(
    "Every end was masked, the first too: where padding is the end's id, look at places, not ids."
)
def masks_what_looks_like_padding(response, eos):
    return ~torch.isin(response, torch.tensor([*eos], dtype=response.dtype))


@response_mask.misconception("It is the first end that counts, not the last one.")
def goes_up_to_the_last_end(response, eos):
    ends = ended(response, eos)
    after = ends[:, -1:] - ends
    before = torch.cat([torch.ones_like(after[:, :1]), after[:, :-1]], 1)
    return (after > 0) | (before > 0) | (ends[:, -1:] == 0)


@response_mask.misconception("Any of the ends ends it: eos is a list, look at all of it.")
def knows_the_first_id_only(response, eos):
    return decoding.response_mask(response, eos[:1])


@response_mask.misconception("True means that a token counts: it is turned round.")
def marks_the_padding_instead(response, eos):
    return ~decoding.response_mask(response, eos)


@response_mask.misconception(
    "A response without an end was cut off by the limit: all its tokens were drawn, and count."
)
def drops_responses_without_an_end(response, eos):
    return decoding.response_mask(response, eos) & (ended(response, eos)[:, -1:] > 0)


@response_mask.misconception("Each row ends for itself: the running sum goes along axis 1.")
def ends_all_rows_at_once(response, eos):
    return decoding.response_mask(response, eos).all(0, keepdim=True).expand(response.shape)


@response_mask.control
def one_token_at_a_time(response, eos):
    out = torch.zeros_like(response, dtype=torch.bool)
    for b, row in enumerate(response.tolist()):
        for t, token in enumerate(row):
            out[b, t] = True
            if token in eos:
                break
    return out


# ------------------------------------------------------------------------------- beam step

beam_step = exercise(
    beam.beam_step,
    nudge="All K V continuations compete in one list. From its place in the flat list, which beam "
    "and which token is it?",
    worked={
        "scores": torch.tensor([[0.0, -1.0]], dtype=torch.float64),
        "log_probs": torch.tensor([[[-1.0, -3.0, -0.5], [-0.5, 0.0, -9.0]]], dtype=torch.float64),
        "n": 3,
    },
)


def beams(rng, b, k, v, n, size=1.0):
    log_probs = torch.log_softmax(normal(rng, b, k, v, size=2), -1)
    return {"scores": normal(rng, b, k, size=size), "log_probs": log_probs, "n": n}


@beam_step.check(points=2)
def test_a_step_ranks_all_continuations_of_all_beams(rng):
    """a step ranks all continuations of all beams by the sum of both log-probabilities"""
    for b, k, v, n in ((1, 2, 5, 4), (2, 3, 7, 6), (3, 4, 6, 5), (2, 5, 3, 9)):
        yield beams(rng, b, k, v, n)
    yield beams(rng, 2, 1, 6, 3)
    yield beams(rng, 2, 4, 3, 12)


@beam_step.check(points=1)
def test_a_good_beam_may_have_all_the_descendants(rng):
    """one beam may have all the descendants, and others none: even with scores of -inf"""
    yield beams(rng, 2, 3, 8, 4, size=40)
    case = beams(rng, 3, 4, 7, 12)
    best = tensor(rng.permuted(np.arange(12).reshape(3, 4) % 4 == 0, axis=1))
    yield case | {"scores": torch.where(best, 0.0, HIDDEN).double()}
    yield case | {"scores": case["scores"] - FAR}


@beam_step.check(points=1)
def test_equal_continuations_come_in_the_order_of_beams_and_tokens(rng):
    yield {
        "scores": torch.zeros(2, 3, dtype=torch.float64),
        "log_probs": torch.full((2, 3, 5), -1.0, dtype=torch.float64),
        "n": 7,
    }
    scores = tensor(rng.integers(-2, 1, size=(3, 2))).double()
    yield {
        "scores": scores,
        "log_probs": tensor(rng.integers(-2, 1, size=(3, 2, 6))).double(),
        "n": 9,
    }
    yield {
        "scores": scores[:2].repeat(1, 2),
        "log_probs": tensor(rng.integers(-1, 1, size=(2, 4, 20))).double(),
        "n": 30,
    }


def ranked(total, n, size):
    """The best n of (B, K V)."""
    best = total.sort(dim=1, descending=True, stable=True)
    flat = best.indices[:, :n]
    return BeamStep(best.values[:, :n], flat // size, flat % size)


@beam_step.misconception("The score of the beginning counts too: add it to each continuation.")
def forgets_what_came_before(scores, log_probs, n):
    return beam.beam_step(torch.zeros_like(scores), log_probs, n)


@beam_step.misconception(
    "All beams compete in one list: to take the best of each beam keeps the bad ones alive."
)
def keeps_every_beam_alive(scores, log_probs, n):
    total = scores[..., None] + log_probs
    best = total.max(-1)
    order = best.values.sort(dim=1, descending=True, stable=True)
    picked = order.indices[:, :n]
    return BeamStep(order.values[:, :n], picked, best.indices.gather(1, picked))


@beam_step.misconception(
    "Quotient and remainder are exchanged: the beam is the quotient by V, the token the remainder."
)
def exchanges_beam_and_token(scores, log_probs, n):
    step = beam.beam_step(scores, log_probs, n)
    return BeamStep(step.score, step.token, step.parent)


@beam_step.misconception("A flat list of K rows of V is divided by V, not by K.")
def divides_by_the_number_of_beams(scores, log_probs, n):
    return ranked((scores[..., None] + log_probs).flatten(1), n, scores.shape[1])


@beam_step.misconception("The best come first, so sort in descending order.")
def takes_the_worst(scores, log_probs, n):
    total = (scores[..., None] + log_probs).flatten(1)
    best = total.sort(dim=1, stable=True)
    flat, v = best.indices[:, :n], log_probs.shape[-1]
    return BeamStep(best.values[:, :n], flat // v, flat % v)


@beam_step.misconception("Each text of the batch has beams of its own: only K V compete in a row.")
def lets_the_batch_compete(scores, log_probs, n):
    total = (scores[..., None] + log_probs).reshape(1, -1)
    step = ranked(total, n, log_probs.shape[-1])
    rows = len(scores)
    return BeamStep(*(x.expand(rows, -1) for x in step))


@beam_step.misconception(
    "The score goes on adding up: the total is what the next step begins with."
)
def returns_the_last_log_probability(scores, log_probs, n):
    step = beam.beam_step(scores, log_probs, n)
    return step._replace(score=step.score - scores.gather(1, step.parent))


@beam_step.misconception("Log-probabilities add up: it is their exponentials that are multiplied.")
def multiplies_log_probabilities(scores, log_probs, n):
    return ranked((scores[..., None] * log_probs).flatten(1), n, log_probs.shape[-1])


@beam_step.control
def with_a_sorted_list(scores, log_probs, n):
    rows = []
    for s, row in zip(scores.tolist(), log_probs.tolist(), strict=True):
        every = [(-(a + x), k, v) for k, a in enumerate(s) for v, x in enumerate(row[k])]
        rows.append(sorted(every)[:n])
    score = torch.tensor([[-x[0] for x in row] for row in rows], dtype=scores.dtype)
    return BeamStep(score, *(torch.tensor([[x[i] for x in row] for row in rows]) for i in (1, 2)))
