"""The playground of FlashAttention counts what the package counts."""

import numpy as np
import pytest

from rlcourse.playgrounds import FlashAttentionPlayground
from rlcourse.playgrounds.flash_attention import (
    CARDS,
    HELD,
    PROMPTS,
    SENT,
    STEP,
    Settings,
    kib,
    mib,
    tallest,
    traffic,
    visited,
)
from rlcourse.systems.attention_tiles import (
    attention_flops,
    forward_tiles,
    forward_traffic,
    intensity,
    standard_traffic,
    visible_tiles,
)
from rlcourse.systems.flash_attention import flash_forward
from rlcourse.systems.slow_memory import count_traffic

NAME = "flash_attention"
SOLVE = """(w) => {
  const rows = [...Array(rowsOf(w)).keys()].map((row) => visible(w, row)), steps = visited(w);
  return { full: rows.map((row) => row.full), seen: rows.map((row) => row.seen), steps,
           masked: masked(w), standard: standard(w), flash: flash(w), held: held(w),
           tallest: tallest(w, w.kib), intensity: intensity(w, flash(w)),
           soFar: [...Array(steps + 1).keys()].map((step) => soFar(w, step)),
           places: [...Array(steps).keys()].map((i) => place(w, i + 1)) };
}"""


@pytest.fixture(scope="module")
def cases():
    """Any sizes, also such as the controls cannot set."""
    rng = np.random.default_rng(0)
    found = [Settings(n=512)._asdict() | {"kib": 227}]
    for _ in range(250):
        n = int(rng.integers(1, 700))
        block_q, block_k = (int(x) for x in rng.integers(max(1, n // 20), n + 20, 2))
        w = Settings(n, int(rng.integers(1, 300)), block_q, block_k, bool(rng.random() < 0.6))
        found.append(w._asdict() | {"kib": int(rng.choice([1, 8, 99, 163, 227]))})
    return found


def disagreements(evaluate, cases, **options):
    """The settings for which the script's counts are not the package's."""
    answers = evaluate(NAME, SOLVE, cases, **options)
    return [w for w, got in zip(cases, answers, strict=True) if not agrees(w, got)]


def agrees(case, got):
    w = Settings(**{name: x for name, x in case.items() if name != "kib"})
    full, seen = visible_tiles(w.n, w.n, w.block_q, w.block_k, w.causal)
    moved, places = walk(w, seen)
    held = forward_tiles(w.block_q, w.block_k, w.d)
    room = case["kib"] * 1024 // HELD
    fits = [q for q in (got["tallest"], got["tallest"] + 1) if q and holds(q, w, room)]
    flops = attention_flops(w.n, w.n, w.d, causal=w.causal)
    return (
        got["full"] == full.tolist()
        and got["seen"] == seen.tolist()
        and got["steps"] == visited(w)
        and got["masked"] == (seen - full).sum()
        and got["standard"] == sum(standard_traffic(w.n, w.n, w.d))
        and got["flash"] == sum(traffic(w))
        and sum(got["held"].values()) == sum(held.values())
        and [got["held"][name] for name in "qkvso"] == [held[name] for name in "qkvso"]
        and fits == [got["tallest"]] * (got["tallest"] > 0)
        and got["intensity"] == pytest.approx(intensity(flops, traffic(w), SENT), rel=1e-12)
        and got["soFar"] == moved
        and got["places"] == places
    )


def holds(queries, w, room):
    return sum(forward_tiles(queries, w.block_k, w.d).values()) <= room


def walk(w, seen):
    """What has moved after each tile, and where the tiles lie: the loops of `flash_forward`."""
    total, moved, places = 0, [0], []
    for i in range(len(seen)):
        rows = min((i + 1) * w.block_q, w.n) - i * w.block_q
        total += rows * w.d
        for j in range(seen[i]):
            total += 2 * w.d * (min((j + 1) * w.block_k, w.n) - j * w.block_k)
            done = rows * (w.d + 1) if j == seen[i] - 1 else 0
            moved.append(total + done)
            places.append([i, j])
        total += rows * (w.d + 1)
    return moved, places


def test_tiles_and_traffic_are_the_packages(evaluate, cases):
    assert {w["causal"] for w in cases} == {True, False}
    assert disagreements(evaluate, cases) == []


def test_the_traffic_is_what_the_algorithm_moves(evaluate):
    rng = np.random.default_rng(1)
    for n, d, block_q, block_k, causal in [
        (24, 3, 8, 4, False), (24, 3, 8, 4, True), (17, 2, 5, 7, True), (10, 4, 16, 3, False),
    ]:  # fmt: skip
        q, k, v = rng.normal(size=(3, n, d))
        measured = count_traffic(flash_forward, q, k, v, block_q, block_k, causal)[1]
        w = Settings(n, d, block_q, block_k, causal)
        assert sum(traffic(w)) == measured.reads + measured.writes
        assert evaluate(NAME, "flash", [w._asdict()]) == [measured.reads + measured.writes]


MUTANTS = {
    "mask from the first query": ("const last = Math.min((row + 1) * block_q, n)",
                                  "const last = row * block_q + 1"),
    "beyond the end": ("const last = Math.min((row + 1) * block_q, n)",
                       "const last = (row + 1) * block_q"),
    "off by one": ("const first = row * block_q + 1", "const first = row * block_q"),
    "floor for ceil": ("seen: Math.ceil(last / block_k)", "seen: Math.floor(last / block_k)"),
    "the last tile never full": ("first >= n ? all : Math.floor", "first > n ? all : Math.floor"),
    "causal ignored": ("if (!causal) return {", "return {"),
    "hidden keys of a ragged tile": ("Math.min(seen * w.block_k, w.n)", "seen * w.block_k"),
    "K alone": ("2 * w.d * keysOf(w) + 2 * w.n", "w.d * keysOf(w) + 2 * w.n"),
    "no log-sum-exp": ("2 * w.n * w.d + w.n;", "2 * w.n * w.d;"),
    "P is not read": ("4 * n * n + 4 * n * d", "3 * n * n + 4 * n * d"),
    "one stage of keys": ("v: block_k * d,", "v: 0,"),
    "keys as tall as queries": ("k: block_k * d", "k: block_q * d"),
    "no sums": ('"m, l": 2 * block_q', '"m, l": 0'),
    "causal is as much work": ("causal ? 0.5 : 1", "causal ? 1 : 1"),
    "bits": ("[HELD, SENT] = [4, 2]", "[HELD, SENT] = [4, 4]"),
    "half floats in fast memory": ("[HELD, SENT] = [4, 2]", "[HELD, SENT] = [2, 2]"),
    "outputs too early": ("? queries : row * w.block_q", "? queries : queries"),
    "room for one more": ("+ block_k + 2)))", "+ block_k)))"),
    "columns before rows": ("return [row, left]", "return [left, row]"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_script_is_caught(evaluate, cases, name):
    assert disagreements(evaluate, cases[:100], mutant=MUTANTS[name])


def test_copied_code_prints_the_same_numbers(evaluate, capsys):
    rng = np.random.default_rng(2)
    some = [Settings()] + [
        Settings(
            int(2 ** rng.integers(10, 14)), int(rng.choice([64, 128])),
            int(STEP * rng.integers(1, 33)), int(STEP * rng.integers(1, 33)),
            bool(rng.random() < 0.5), str(rng.choice(list(CARDS))),
        )
        for _ in range(20)
    ]  # fmt: skip
    code = evaluate(NAME, f"(w) => python(w, {{ kib: {{ {kibs()} }}[w.card] }})",
                    [w._asdict() for w in some])  # fmt: skip
    for w, text in zip(some, code, strict=True):
        exec(text, {})
        held = sum(forward_tiles(w.block_q, w.block_k, w.d).values())
        room = CARDS[w.card].kib * 256
        assert capsys.readouterr().out == (
            f"traffic: {saved(w):.1f} times less\ntiles: {held} elements, room for {room}\n"
        )


def kibs():
    return ", ".join(f'"{name}": {card.kib}' for name, card in CARDS.items())


def saved(w):
    return sum(standard_traffic(w.n, w.n, w.d)) / sum(traffic(w))


# ------------------------------------------------------------------------------- prompts


def asked(number):
    return Settings()._replace(**PROMPTS[number].set), PROMPTS[number].answer


def test_by_default_four_times_as_little_is_moved_and_the_tiles_fit():
    w = Settings()
    assert f"{saved(w):.1f}" == "4.0"
    assert kib(w) == 193 < CARDS[w.card].kib
    assert 0 < w.step < visited(w) == 4096


def test_larger_tiles_save_twice_as_much_and_do_not_fit():
    w, answer = asked(0)
    assert (w.block_q, w.block_k) == (256, 256)
    assert f"{saved(w):.1f}" == "7.8"
    assert kib(w) == 514 > CARDS[w.card].kib == 227
    for words in ("7.8 times less instead of 4.0", "514 KiB", "has 227"):
        assert words in answer


def test_thin_key_tiles_fit_and_save_as_much():
    w, answer = asked(1)
    assert saved(w) == saved(w._replace(block_k=256))
    assert kib(w) == 178 <= CARDS[w.card].kib
    assert tallest(w) >= w.block_q
    assert len({forward_traffic(w.n, w.n, w.d, 256, b) for b in (16, 64, 512)}) == 1
    for words in ("178 KiB", "still 7.8 times", "once for each tile of queries"):
        assert words in answer


def test_length_does_not_change_what_is_saved():
    w, answer = asked(2)
    assert w.n == 4 * Settings().n == 32768
    assert f"{saved(w):.1f}" == f"{saved(Settings()):.1f}" == "4.0"
    limit = 4 * w.n**2 / (2 * w.n**2 * w.d / w.block_q)
    assert saved(w) == pytest.approx(limit, rel=0.003)
    assert sum(traffic(w)) == pytest.approx(16 * sum(traffic(Settings())), rel=0.02)
    assert SENT * w.n**2 == 2 * 2**30
    for words in ("4.0 times", "2 GiB in bf16"):
        assert words in answer


def test_only_the_default_asks_its_questions():
    assert FlashAttentionPlayground(d=128).data()["prompts"] == []


# ------------------------------------------------------------------------------- the object


def test_the_table_tells_what_is_saved_and_what_fits():
    table = FlashAttentionPlayground().fallback()
    assert table.count("<tr>") == 5
    assert "moves 516 MiB" in table
    assert f"{mib(standard_traffic(8192, 8192, 64)):.0f}" == "516"
    assert "<tr><td>128 × 128<td>130<td>4.0<td>193<td>yes" in table
    assert "<tr><td>256 × 256<td>66<td>7.8<td>514<td>no" in table
    other = FlashAttentionPlayground(block_k=64, causal=True, card="A100").fallback()
    assert other.startswith("<table><caption>Causal attention")
    assert other.count("<tr>") == 6
    assert "<tr><td>128 × 64<td>67<td>7.7<td>129<td>yes" in other


def test_no_room_for_one_query_is_no_error():
    assert tallest(Settings(d=256, block_k=512)) == 0
    assert FlashAttentionPlayground(d=256, block_k=512).data()["golden"]["tallest"] == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n": 1000}, r"n must be one of \(1024, .*\), got 1000"),
        ({"d": 32}, r"d must be one of \(64, 128, 256\), got 32"),
        ({"block_q": 100}, "block_q must be a multiple of 16 up to 512, got 100"),
        ({"block_k": 528}, "block_k must be a multiple of 16 up to 512, got 528"),
        ({"block_q": 0}, "block_q must be an integer of at least 1, got 0"),
        ({"causal": None}, r"causal must be one of \(True, False\), got None"),
        ({"card": "V100"}, "card must be one of"),
        ({"step": 4097}, r"step must lie in \[0, 4096\], got 4097"),
        ({"speed": 1}, r"settings must be among .* got \['speed'\]"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        FlashAttentionPlayground(**settings)
