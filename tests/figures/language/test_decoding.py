"""What the chapter on decoding says of its figures."""

import numpy as np
import pytest
import torch

from rlcourse.figures.language import decoding as figures
from rlcourse.figures.language import endings
from rlcourse.figures.language.psalmist import psalmist
from rlcourse.language.sampling import ORDER, Sampling
from rlcourse.results import load


@pytest.fixture(scope="module")
def record():
    return load("language/decoding")["data"]


def test_people_and_samples_surprise_and_the_likeliest_texts_do_not():
    verse, beam, greedy, drawn = (x.mean() for x in figures.data_surprise().bits.values())
    assert min(verse, drawn) > 1.5 * max(beam, greedy)
    assert abs(verse - drawn) < 1
    assert beam < greedy


def test_the_surprise_is_that_of_the_texts_shown():
    data = figures.data_surprise()
    tokenizer = psalmist().tokenizer
    start = [tokenizer.eos, *tokenizer.encode(data.prompt)]
    for who, text in data.texts.items():
        new = tokenizer.encode(data.prompt + text)[len(start) - 1 :]
        bits = -figures.token_log_p([*start, *new], len(new)) / np.log(2)
        assert np.allclose(bits, data.bits[who][: len(bits)], atol=1e-4), who


def test_the_order_matters_to_top_p_and_min_p_and_not_to_top_k():
    data = figures.data_kept(contexts=64)
    assert (data.first["top-k 20"] == data.after["top-k 20"]).all()
    for name in ("top-p 0.9", "min-p 0.1"):
        assert (np.diff(data.first[name]) > 0).all()
        assert np.ptp(data.after[name]) == 0
        one = data.temperatures.tolist().index(1.0)
        assert data.first[name][one] == data.after[name][one]
    assert data.first["top-p 0.9"][-1] > 5 * data.after["top-p 0.9"][-1]
    assert sorted(figures.LATE) == sorted(ORDER)


def test_bolder_settings_are_more_varied_and_less_real(record):
    table = record["strategies"]
    for name in figures.STRATEGIES:
        x = np.array(table[name])
        assert x[0, 1] == x[:, 1].max()
        assert x[-1, 1] == x[:, 1].min()
        assert x[-1, 2] > x[0, 2]
    verse = table["verses"][0]
    near = [row for name in figures.STRATEGIES for row in table[name] if row[2] >= verse[2] - 0.05]
    assert verse[1] == 1
    assert max(row[1] for row in near) < 0.6  # nothing closes the gap
    assert table["min-p 0.1, temperature"][3][0] == 2.0
    assert table["min-p 0.1, temperature"][3][1] < 0.25
    assert [table["min-p"][2][0], table["temperature"][0][0], table["temperature"][4][0]] == [
        0.25, 0.3, 1.0,
    ]  # fmt: skip


def test_min_p_is_a_little_above_the_others_in_the_middle(record):
    _, real, distinct, *_ = record["strategies"]["min-p"][2]
    for name in ("temperature", "top-k", "top-p"):
        x = np.array(sorted(record["strategies"][name], key=lambda row: row[2]))
        assert np.interp(distinct, x[:, 2], x[:, 1]) < real


def test_the_record_is_what_the_code_does(record):
    rows = figures.prompts(96)
    found = figures.written(Sampling(top_k=1), rows)
    tokens = float(found.mask.sum(1).float().mean())
    assert record["strategies"]["top-k"][0][4] == pytest.approx(tokens, abs=1.5)


def test_more_beams_find_likelier_texts_that_are_shorter_without_a_length_penalty(record):
    x = np.array(record["beams"])
    free, divided = x[x[:, 1] == 0], x[x[:, 1] == 1]
    assert (np.diff(free[:, 2]) > 0).all()
    assert free[-1, 3] < 0.6 * free[0, 3]
    assert divided[-1, 3] > 1.5 * free[-1, 3]
    assert divided[-1, 4] < 0.7  # distinct triples: they repeat themselves
    assert x[4].tolist()[:2] == [16, 0]
    assert x[9].tolist()[:2] == [16, 1]


def test_left_padding_changes_nothing_and_right_padding_does():
    texts = figures.data_sides()
    assert texts["alone"] == texts["padded on the left"]
    assert texts["alone"] != texts["padded on the right"]
    assert texts["alone"].startswith("And God")


def test_a_model_stops_only_where_it_saw_an_end():
    found = endings.data_endings()
    asked = list(range(1, endings.MOST + 1))
    good = "padding of its own", "padding is the end, masked by place"
    for name, ending in found.items():
        assert ending.stopped == float(name in good)
        assert ending.ticks.tolist() == (asked if name in good else [endings.LIMIT] * 8)


def test_who_waits_for_another_end_waits_for_ever():
    model = endings.trained(endings.lessons()["padding of its own"], 0)
    assert endings.counted(model).stopped == 1
    assert endings.counted(model, eos=(endings.PAD,)).stopped == 0


def test_a_penalty_from_a_file_makes_rollouts_off_policy():
    ratios = figures.data_off_policy().ratios
    assert abs(ratios[1.0]).max() < 1e-3
    assert 0.1 < ratios[1.05].std() < ratios[1.2].std()


def test_the_hunts_bug_is_found_and_its_cure_works():
    def plain(logits, processed, tokens):
        return logits.log_softmax(-1).gather(1, tokens[:, None])[:, 0]

    bug = figures.data_hunt(plain)
    cure = figures.data_hunt(lambda logits, processed, tokens: plain(processed, processed, tokens))
    assert bug.error > 0.5
    assert cure.error < 1e-4
    assert cure.mean > bug.mean


def test_figures_say_what_they_show(record):
    pictures = (
        figures.draw_surprise(figures.data_surprise()),
        figures.draw_kept(figures.data_kept(contexts=64)),
        figures.draw_strategies(record["strategies"]),
        figures.draw_beams(record["beams"]),
        endings.draw_endings(endings.data_endings()),
        figures.draw_off_policy(figures.data_off_policy()),
    )
    assert all(len(picture.alt) > 60 for picture in pictures)
    assert "·" in figures.draw_live(0.8, 0.9, 0.05, 3)


def test_benchmarks_report_what_the_page_says():
    rows = load("benchmarks/language")["rows"]
    assert {(x["what"], x["method"]) for x in rows} == {
        ("decode", "ours"), ("decode", "transformers"), ("decode", "uncached"),
        ("train", "ours"), ("train", "transformers"),
    }  # fmt: skip
    chunked = load("benchmarks/log_probs")["rows"]
    fused = {x["tokens"]: x for x in chunked if x["method"] == "fused"}
    plain = {x["tokens"]: x for x in chunked if x["method"] == "plain"}
    assert fused[2048]["bytes"] < plain[2048]["bytes"] / 4
    assert fused[2048]["times_plain"]["median"] < 1.35
    assert torch.tensor([x["bytes"] for x in chunked]).min() > 0
