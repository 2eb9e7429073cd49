"""The line at which a function was stopped."""

from types import SimpleNamespace

from rlcourse.grading import clock


def test_a_frame_caught_between_two_lines_is_named_by_its_functions_first(monkeypatch, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def loop():\n    while True:\n        pass\n")
    code = SimpleNamespace(co_filename=str(file), co_name="loop", co_firstlineno=1)
    frame = SimpleNamespace(f_code=code, f_lineno=None, f_back=None)
    monkeypatch.setattr(clock.sys, "_current_frames", lambda: {7: frame})
    assert clock._line(7) == "line 1, in loop:  def loop():"
