"""The playground of decoding computes what the package computes."""

import subprocess
import sys

import numpy as np
import pytest

from rlcourse import results
from rlcourse.figures.language.next_tokens import NAMED, NODES, ROOTS, recorded_next_tokens
from rlcourse.playgrounds import DecodingPlayground
from rlcourse.playgrounds.decoding import (
    PROMPTS,
    ROWS,
    Settings,
    choices,
    described,
    logits,
    named,
    other,
    recorded,
    seen,
    solve,
    text,
)

NAME = "decoding"
SOLVE = """([context, w]) => {
  const now = solve(context, w);
  const some = (xs) => xs.map((x, i) => i * x).filter((_, i) => i % 41 === 0);
  const told = (xs) => [...xs.slice(0, 50), ...some(xs)];
  return { z: told(now.z), own: told(now.own), p: told(now.p), count: now.count,
           kept: now.kept.map(Number).join(""), otherwise: now.otherwise, token: now.token,
           choices: choices(now.p), parts: told(now.before.map((x, i) => now.kept[i] ? x : 0)),
           held: now.before.reduce((sum, x, i) => now.kept[i] ? sum + x : sum, 0) };
}"""


def random_settings(rng):
    def sometimes(value, none):
        return value if rng.random() < 0.6 else none

    places = rng.choice(ROWS, size=rng.integers(4), replace=False)
    return Settings(
        context=int(rng.integers(len(recorded()["contexts"]))),
        temperature=sometimes(float(rng.integers(1, 50)) / 20, float(rng.integers(3) / 2)),
        top_k=sometimes(int(rng.integers(1, 41)), 0),
        top_p=sometimes(float(rng.integers(5, 100)) / 100, 1.0),
        min_p=sometimes(float(rng.integers(1, 51)) / 100, 0.0),
        penalty=sometimes(float(rng.integers(21, 41)) / 20, 1.0),
        first=str(rng.choice(["temperature", "cuts"])),
        moved=tuple((int(i), float(rng.integers(-60, 90)) / 10) for i in sorted(places)),
        u=float(rng.integers(1000)) / 1000,
    )


@pytest.fixture(scope="module")
def cases():
    rng = np.random.default_rng(0)
    asked = [Settings()._replace(**prompt.set) for prompt in PROMPTS]
    ends = [Settings(u=0.0), Settings(u=0.999, top_p=1.0), Settings(temperature=0.0)]
    tied = [
        Settings(top_k=2, top_p=1.0, moved=((1, 3.0), (4, 9.0), (6, 9.0), (8, 9.0))),
        Settings(top_p=0.5, moved=((1, 20.0), (4, 20.0), (6, 20.0), (8, 20.0))),
        Settings(min_p=0.5, moved=((1, 9.0), (4, 9.0))),
        Settings(temperature=0.0, moved=((3, 12.0), (5, 12.0))),
    ]
    alone = [
        Settings(context=c, first=first, **{"top_p": 1.0} | cut)
        for c in range(len(recorded()["contexts"]))
        for first in ("temperature", "cuts")
        for cut in ({"top_k": 5}, {"top_p": 0.7}, {"min_p": 0.1}, {"penalty": 1.6, "top_p": 0.8})
    ]
    return [Settings(), *asked, *ends, *tied, *alone, *(random_settings(rng) for _ in range(300))]


@pytest.fixture(scope="module")
def some(cases):
    """Of each kind a few, for the mutants."""
    return [*cases[:11], *cases[11:171:7], *cases[171:271]]


def disagreements(evaluate, cases, **options):
    """The settings for which the script's answers are not the package's."""
    contexts = recorded()["contexts"]
    given = [(contexts[w.context], w._asdict()) for w in cases]
    answers = evaluate(NAME, SOLVE, given, **options)
    return [w for w, got in zip(cases, answers, strict=True) if not agrees(w, got)]


def agrees(w, got):
    want = solve(w)
    numbers = [
        (got["z"], told(logits(w.context))),
        (got["own"], told(want.own)),
        (got["p"], told(want.p)),
        (got["choices"], choices(want.p)),
        (got["parts"], told(want.p) * got["held"]),  # the quotient that the page prints
    ]
    return (
        got["kept"] == "".join(str(int(kept)) for kept in want.kept)
        and got["count"] == want.kept.sum()
        and got["otherwise"] == solve(other(w)).kept.sum()
        and got["token"] == want.token
        and all(np.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in numbers)
    )


def told(x):
    """The first numbers, and some of the others with their places, as the script sends them."""
    return np.concatenate([x[:50], (np.arange(len(x)) * x)[::41]])


def test_every_number_is_the_packages(evaluate, cases):
    found = [solve(w) for w in cases]
    assert {int(now.kept.sum()) for now in found} >= {1, 2, len(found[0].p)}
    assert any(now.token == 0 for now in found)
    assert any(now.token > NAMED for now in found)
    assert any(
        solve(other(w)).kept.sum() != now.kept.sum() for w, now in zip(cases, found, strict=True)
    )
    assert disagreements(evaluate, cases) == []


MUTANTS = {
    "levels rise": ("(level -= step)", "(level += step)"),
    "others of whole units": ("fill((start - i) / 10)", "fill(start - i)"),
    "temperature multiplies": ("z.map((x) => x / T)", "z.map((x) => x * T)"),
    "the penalty divides all": ("z[i] > 0 ? z[i] / c : z[i] * c", "z[i] / c"),
    "the penalty subtracts": ("z[i] > 0 ? z[i] / c : z[i] * c", "z[i] - c"),
    "the penalty is no more": ("w.penalty > 1 ? penalise(z, seen, w.penalty)", "false ? z"),
    "k and one more": ("[Math.min(k, z.length) - 1]", "[Math.min(k, z.length - 1)]"),
    "ties with the k-th are cut": ("keep(z, (x) => x >= least)", "keep(z, (x) => x > least)"),
    "top-p drops the token that crosses": ("if (sum - share[i] < p)", "if (sum < p)"),
    "top-p in the order of places": (
        "(z[a] === z[b] ? a - b : z[b] - z[a])", "a - b",
    ),
    "of equals the last": ("? a - b : z[b]", "? b - a : z[b]"),
    "min-p of 1": ("const least = p * share.reduce((a, b) => Math.max(a, b))", "const least = p"),
    "min-p of logits": ("keep(z, (_, i) => share[i] >= least)", "keep(z, (x) => x >= least)"),
    "no temperature before": ('if (first === "temperature") heat();', ""),
    "temperature twice": ('if (first === "cuts") heat();', "heat();"),
    "top-k after top-p": (
        "if (w.top_k) out = keepTopK(out, w.top_k);\n"
        "if (w.top_p < 1) out = keepTopP(out, w.top_p);",
        "if (w.top_p < 1) out = keepTopP(out, w.top_p);\n"
        "if (w.top_k) out = keepTopK(out, w.top_k);",
    ),
    "greedy draws from all": ("T > 0 ? softmax(z)", "true ? softmax(z)"),
    "greedy takes the first place": ("Number(i === best)", "Number(i === 0)"),
    "draws the token before": ("((x) => x / sum > u)", "((x) => x / sum > u) - 1"),
    "draws without scaling": ("((x) => x / sum > u)", "((x) => x > 2 * u)"),
    "moves nothing": ("for (const [i, x] of pairs) out[i] = x;", ""),
    "the same order": ('w.first === "cuts" ? "temperature" : "cuts"', "w.first"),
    "own after moving": ("own: softmax(z)", "own: softmax(free)"),
    "entropy": ("Math.exp(-p.reduce", "(-p.reduce"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_script_is_caught(evaluate, some, name):
    assert disagreements(evaluate, some, mutant=MUTANTS[name])


# ------------------------------------------------------------------------------- the record


def test_the_record_is_what_the_model_says():
    """Rounded to a hundredth and a tenth, on this machine as on the recording one."""
    fresh, old = recorded_next_tokens(), results.load("language/next_tokens")["data"]["next_tokens"]
    assert {k: fresh[k] for k in ("model", "roots", "vocabulary")} == {
        k: old[k] for k in ("model", "roots", "vocabulary")
    }
    for a, b in zip(fresh["contexts"], old["contexts"], strict=True):
        assert abs(np.cumsum(a["top"]) - np.cumsum(b["top"])).max() < 2 * NAMED
        assert abs(a["top"][0] - b["top"][0]) <= 1
        assert (a["parent"], a["chosen"], a["names"][:3]) == (
            b["parent"],
            b["chosen"],
            b["names"][:3],
        )


def test_all_of_the_vocabulary_is_there():
    for c in range(len(recorded()["contexts"])):
        z = logits(c)
        assert len(z) == recorded()["vocabulary"]
        assert (np.diff(z[:NAMED]) <= 0).all()
        assert (np.diff(z[NAMED:]) <= 0).all()
        assert abs(z[NAMED] - z[NAMED - 1]) < 0.2
        assert len(recorded()["contexts"][c]["names"]) == NAMED


def test_the_logits_are_the_models_but_for_rounding():
    import torch

    from rlcourse.figures.language.psalmist import psalmist

    model, tokenizer = psalmist()
    for c in range(len(recorded()["contexts"])):
        tokens = torch.tensor([[tokenizer.eos, *tokenizer.encode(text(c))]])
        z = model(tokens)[0, -1].double().sort(descending=True)
        got = logits(c)
        np.testing.assert_allclose(got[:NAMED], z.values[:NAMED], atol=0.0051)
        np.testing.assert_allclose(got[NAMED:], z.values[NAMED:], atol=0.051)
        rank = {int(token): i for i, token in enumerate(z.indices)}
        want = sorted(rank[token] for token in set(tokens[0].tolist()))
        assert np.abs(seen(c) - want).max() <= 1  # near equals may change places


def test_no_token_holds_the_mark_between_the_names():
    names = DecodingPlayground().data()["names"].split("|")
    assert set(names) == {name for c in recorded()["contexts"] for name in c["names"]}


def test_each_texts_continuations_hang_together():
    contexts = recorded()["contexts"]
    assert len(contexts) == NODES * len(ROOTS)
    for i, c in enumerate(contexts):
        if c["parent"] is None:
            assert text(i) in ROOTS.values()
        else:
            parent = contexts[c["parent"]]
            assert c["parent"] < i
            assert text(i) == text(c["parent"]) + parent["names"][c["chosen"]]
            assert parent["names"][c["chosen"]] != "<end>"


def test_it_comes_without_torch():
    code = "import sys, rlcourse.playgrounds; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_copied_code_prints_the_same_numbers(evaluate, cases, capsys):
    some = [*cases[:11], *cases[-20:]]
    for w, code in zip(some, evaluate(NAME, "python", [w._asdict() for w in some]), strict=True):
        exec(code, {})
        want = solve(w)
        name, log_p = named(w.context, want.token), np.log(want.p[want.token])
        assert capsys.readouterr().out.splitlines() == [
            f"{want.kept.sum()} of {len(want.p)} tokens are kept",
            f"token {want.token}, {name!r}, is drawn: log-probability {log_p:.4f}",
        ]


# ------------------------------------------------------------------------------- prompts


def asked(number):
    return Settings()._replace(**PROMPTS[number].set), PROMPTS[number].answer


def kept(**settings):
    return int(solve(Settings(**settings)).kept.sum())


def test_by_default_the_order_decides_how_many_tokens_are_left():
    assert (kept(), kept(first="cuts")) == (413, 22)
    now = solve(Settings())
    assert recorded()["contexts"][0]["names"][now.token] == " God"
    assert now.own[ROWS:].sum() < 0.12
    assert now.p[ROWS:].sum() > 0.47


def test_the_order_does_not_matter_to_top_k():
    w, answer = asked(0)
    here, there = solve(w), solve(other(w))
    assert here.kept.sum() == there.kept.sum() == w.top_k == 8
    np.testing.assert_allclose(here.p, there.p, rtol=1e-12)
    min_p = [kept(min_p=0.1, top_p=1.0, first=first) for first in ("temperature", "cuts")]
    assert min_p == [6, 4]
    assert w.temperature == 1.5
    for words in ("No: ", "same 8 tokens", "T = 1.5", "413", "and 22 before", "keeps 6 and 4"):
        assert words in answer


def test_top_p_keeps_one_token_where_the_model_is_sure():
    w, answer = asked(1)
    assert recorded()["contexts"][w.context]["names"][0] == "<end>"
    assert kept(**w._asdict()) == 1
    assert (w.temperature, w.top_p, f"{solve(w).own[0]:.3f}") == (1.0, 0.9, "0.901")
    assert text(5) == "Woe unto you,"
    assert kept(context=5, temperature=1.0) == 246
    for words in ("One: ", "0.901", "“Woe unto you,”", "keeps 246"):
        assert words in answer


def test_a_repetition_penalty_keeps_a_verse_from_ending():
    w, answer = asked(2)
    assert (w.penalty, w.top_p, w.temperature) == (1.3, 1.0, 1.0)
    now = solve(w)
    assert (f"{now.own[0]:.3f}", f"{now.p[0]:.3f}") == ("0.901", "0.438")
    assert 0 in seen(w.context)  # the end token of the verse before
    z = logits(w.context)[0]
    assert (f"{z:.2f}", f"{z / 1.3:.2f}") == ("10.68", "8.22")
    again = solve(w._replace(context=10))
    assert text(10).endswith("for ever and")
    assert recorded()["contexts"][10]["names"][0] == " ever"
    assert (f"{again.own[0]:.3f}", f"{again.p[0]:.3f}") == ("0.732", "0.287")
    for words in ("No: with 0.438", "0.901", "10.68", "8.22", "from 0.732 to 0.287"):
        assert words in answer


# ------------------------------------------------------------------------------- the object


def test_the_table_shows_the_likeliest_tokens_and_the_others():
    table, now = DecodingPlayground().fallback(), solve(Settings())
    z, names = logits(Settings().context), recorded()["contexts"][Settings().context]["names"]
    assert table.count("<tr>") == 1 + ROWS + 1
    assert f"<tr><td>“{names[0]}”<td>{z[0]:.2f}<td>{now.own[0]:.3f}<td>{now.p[0]:.3f}" in table
    assert f"<tr><td>1012 others<td><td>{now.own[ROWS:].sum():.3f}" in table
    assert f"which keep {now.kept.sum()}" in table


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "temperature 1.5, top-p 0.9"),
        ({"first": "cuts", "penalty": 1.2}, "penalty 1.2, top-p 0.9, temperature 1.5"),
        (
            {"top_k": 3, "min_p": 0.1, "top_p": 1.0, "temperature": 0.0},
            "temperature 0, top-k 3, min-p 0.1",
        ),
    ],
)
def test_the_table_names_what_acts_in_its_order(settings, words):
    assert described(Settings(temperature=1.5, top_p=0.9)._replace(**settings)) == words


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"context": 20}, "context must be an integer from 0 to 19, got 20"),
        ({"temperature": -0.1}, r"temperature must lie in \[0, 2.5\], got -0.1"),
        ({"temperature": float("nan")}, r"temperature must lie in \[0, 2.5\]"),
        ({"top_k": 41}, "top_k must be an integer from 0 to 40, got 41"),
        ({"top_k": 1.5}, "top_k must be an integer from 0 to 40, got 1.5"),
        ({"top_p": 0.0}, r"top_p must lie in \[0.05, 1\], got 0.0"),
        ({"min_p": 0.6}, r"min_p must lie in \[0, 0.5\], got 0.6"),
        ({"penalty": 0.9}, r"penalty must lie in \[1, 2\], got 0.9"),
        ({"u": 1.0}, r"u must lie in \[0, 0.999\], got 1.0"),
        ({"first": "top_k"}, r"first must be one of \('temperature', 'cuts'\), got 'top_k'"),
        ({"moved": [(12, 0.0)]}, "moved must name places from 0 to 11, got 12"),
        ({"moved": [(1, 30.0)]}, r"moved must lie in \[-20, 20\], got 30.0"),
        ({"beams": 4}, r"settings must be among .* got \['beams'\]"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        DecodingPlayground(**settings)


def test_only_the_default_asks_its_questions():
    assert DecodingPlayground(context=3).data()["prompts"] == []


def test_the_data_of_a_figure_with_moved_logits_can_be_drawn():
    figure = DecodingPlayground(moved=[(2, 4.5)], u=0.25)
    assert figure.data()["settings"]["moved"] == ((2, 4.5),)
    assert "moved=((2, 4.5),)" in repr(figure)
