"""The teacher's task, by hand and over all prompts."""

import itertools

import pytest
import torch

from rlcourse.alignment import sloppy_teacher as teacher
from rlcourse.alignment.sft import kept
from rlcourse.language.training import Settings

SHORT = Settings(steps=30, batch=32, rate=3e-3, warm_up=5)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def tokens(*words):
    return torch.tensor([[teacher.SIGNS.index(c) for c in word] for word in words])


def test_the_two_parts_are_all_prompts_and_share_none():
    train, held_out = (
        {teacher.text(row) for row in part} for part in teacher.split(3)
    )  # fmt: skip
    assert len(held_out) == 50
    assert len(train) == 950
    assert train | held_out == {"".join(x) + "=" for x in itertools.product("0123456789", repeat=3)}


def test_the_split_is_always_the_same():
    again = teacher.split.__wrapped__(2)
    assert all(map(torch.equal, teacher.split(2), again))


@pytest.mark.parametrize("digits", [0, 7])
def test_no_digits_and_too_many_are_refused(digits):
    with pytest.raises(ValueError, match=rf"digits must lie in \[1, 6\], got {digits}"):
        teacher.split(digits)


def test_right_answers_rise_and_end():
    found = teacher.right_answers(tokens("312=", "700=", "555="))
    assert [teacher.text(row) for row in found] == ["123.", "007.", "555."]


def test_a_teacher_without_care_falls_and_one_with_it_rises():
    prompts = tokens("312=", "700=", "555=")
    wrong = teacher.demonstrations(prompts, generator=generator(), sloppy=1.0)
    assert [teacher.text(row) for row in wrong] == ["321.", "700.", "555."]
    right = teacher.demonstrations(prompts, generator=generator(), sloppy=0.0)
    assert torch.equal(right, teacher.right_answers(prompts))


def test_three_demonstrations_of_four_are_sloppy():
    prompts = tokens("12=").expand(20_000, -1)
    answers = teacher.demonstrations(prompts, generator=generator())
    share = teacher.correct(prompts, answers).mean().item()
    assert abs(share - 0.25) < 5 * (0.25 * 0.75 / 20_000) ** 0.5
    again = teacher.demonstrations(prompts, generator=generator())
    assert torch.equal(answers, again)


def test_only_the_right_digits_in_order_and_an_end_are_correct():
    prompts = tokens(*["312="] * 6)
    said = tokens("123.  ", "123.99", "1234. ", "321.  ", "122.  ", "123 . ")
    assert teacher.correct(prompts, said).tolist() == [1, 1, 0, 0, 0, 0]
    assert teacher.correct(prompts, said[:, :4]).tolist() == [1, 1, 0, 0, 0, 0]
    assert teacher.correct(prompts, said[:, :3]).tolist() == [0] * 6


def test_the_verifier_is_fooled_by_other_digits_that_rise():
    prompts = tokens(*["312="] * 8)
    said = tokens("000.", "123.", "159.", "321.", "12.3", "12==", "12=.", "1239")
    assert teacher.rises(prompts, said).tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    assert teacher.rises(prompts, said[:, :3]).tolist() == [0] * 8


def test_whatever_is_correct_rises():
    prompts = teacher.split(2).train
    answers = teacher.demonstrations(prompts, generator=generator())
    right, rising = teacher.correct(prompts, answers), teacher.rises(prompts, answers)
    assert torch.equal(right, rising)
    assert 0 < right.mean() < 1


def test_the_text_of_a_row_ends_before_its_padding():
    assert teacher.text(torch.tensor([3, 1, teacher.EQUALS, teacher.EOS, teacher.PAD])) == "31=."
    assert len(teacher.SIGNS) == teacher.CONFIG.vocabulary


def test_the_answer_carries_loss_and_the_prompt_none():
    prompts, answers = tokens("31=", "40="), tokens("13.", "04.")
    batch = teacher.answered(prompts, answers)
    assert [teacher.text(row) for row in batch.tokens] == ["31=13.", "40=04."]
    assert batch.mask.tolist() == [[False] * 3 + [True] * 3] * 2
    assert kept(batch).sum().item() == 6


@pytest.fixture(scope="module")
def model():
    return teacher.taught(2, generator=generator(), settings=SHORT, sloppy=0.0)


def test_a_model_imitates_the_teacher_better_than_chance(model):
    prompts = teacher.split(2).held_out
    answers = teacher.right_answers(prompts)
    with torch.no_grad():
        logits = model(torch.cat([prompts, answers[:, :-1]], 1))[:, prompts.shape[1] - 1 :]
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), answers.flatten())
    assert loss.item() < 1.6  # nats; log 13 is 2.56


def test_one_generator_gives_one_model(model):
    again = teacher.taught(2, generator=generator(), settings=SHORT, sloppy=0.0)
    assert all(map(torch.equal, model.parameters(), again.parameters()))
