"""What the captions on the timeline, on fitting and on RLHF's budget claim."""

from rlcourse.figures.systems import zero_rlhf, zero_timeline
from rlcourse.systems.memory_timeline import peak
from rlcourse.systems.training_memory import Plan, timeline_of


def test_recomputing_layers_moves_the_peak_from_the_loss_to_the_end_of_the_backward():
    kept, again, cut = (peak(moments) for moments in zero_timeline.data_timelines().values())
    assert kept.name == cut.name == "backward loss"
    assert again.name == "backward embedding"
    assert again.total < kept.total
    assert again.gradients > kept.gradients == 0


def test_under_stage_3_the_logits_decide():
    *_, moments = zero_timeline.data_timelines().values()
    others = max(m.total for m in moments if "loss" not in m.name)
    assert peak(moments).total > 1.1 * others
    logits = 4 * zero_timeline.LARGE.tokens * 128_256  # one copy, in float32
    assert peak(moments).working + peak(moments).activations > 2 * logits


def test_a_run_that_survives_its_first_step_can_fail_at_the_second():
    plan = zero_timeline.SMALL
    assert peak(timeline_of(plan, first=True)).total < 0.9 * peak(timeline_of(plan)).total


def test_what_is_counted_of_real_steps_is_what_the_timeline_says():
    (table,) = zero_timeline.table_of_peaks().tables
    assert len(table) == 1 + 2 * 2 * 2
    assert {row[-1] for row in table[1:]} == {"0"}


def test_advice_makes_a_plan_fit():
    plan = Plan("Llama-3.1-8B", batch=1, tokens=8192, ranks=8, stage=1)
    (table,) = zero_timeline.table_of_advice(plan, "H100 80 GB").tables
    assert [row[-1] for row in table[1:]] == ["no"] + ["yes"] * (len(table) - 2)
    assert "checkpoint each block" in [row[0] for row in table]


def test_ppo_fits_only_where_the_idle_leave_and_grpo_fits_anyway():
    data = zero_rlhf.data_rlhf()
    stay, leave, grpo = (zero_rlhf.most(data, name) for name in data.plans)
    assert leave < grpo < zero_rlhf.CARD < stay
    assert zero_rlhf.CACHED == 524_288


def test_the_pictures_are_drawn():
    timelines = zero_timeline.draw_timelines(zero_timeline.data_timelines())
    assert len(timelines.panels) == 3
    assert "backward embedding" in timelines.alt
    assert len(zero_rlhf.draw_rlhf(zero_rlhf.data_rlhf()).panels) == 3
