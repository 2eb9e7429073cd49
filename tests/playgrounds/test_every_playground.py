"""What holds for every playground: its data, its table, its one small script.

A new playground joins by being exported in `rlcourse.playgrounds`.
"""

import json
import os
import subprocess
import sys

import pytest

import rlcourse.playgrounds as package
from rlcourse.playgrounds import Playground, _base, bundle

EVERY = [name for name in package.__all__ if name not in ("Playground", "bundle")]


@pytest.fixture(params=EVERY)
def figure(request):
    return getattr(package, request.param)()


def test_the_mime_bundle_has_the_page_its_host_alone(figure):
    mimes = figure._repr_mimebundle_()
    own = mimes[_base.MIME]
    assert own == {"name": figure.name, "html": figure.host()}
    assert f'data-rlc-playground="{figure.name}"' in own["html"]
    assert 1000 < len(own["html"].encode()) < 16_000
    assert bundle(figure.name) not in own["html"]
    assert bundle(figure.name) in mimes["text/html"]
    assert mimes["text/plain"] == repr(figure)
    assert type(figure).__name__ in repr(figure)


def test_the_table_says_what_is_shown_and_that_javascript_shows_more(figure):
    table = figure.fallback()
    assert table.startswith("<table><caption>")
    assert table.endswith("</table>")
    assert "With JavaScript this is a playground." in table


def test_three_questions_are_asked_and_answered(figure):
    prompts = figure.data()["prompts"]
    assert len(prompts) == 3
    assert all(prompt.keys() == {"ask", "set", "answer"} for prompt in prompts)
    assert all(prompt["ask"].endswith("?") for prompt in prompts)
    assert all(len(prompt["answer"]) <= 320 for prompt in prompts)


def test_the_bundle_is_one_small_script_of_our_own(figure):
    text = bundle(figure.name)
    assert len(text.encode()) <= 40_000
    assert not any(line.startswith(("import ", "export ")) for line in text.splitlines())
    assert "</script" not in text
    assert text.replace("http://www.w3.org/2000/svg", "").count("://") == 0
    scripts = _base.needed(figure.name)
    assert (scripts[0], scripts[-1]) == ("kit", figure.name)
    assert all(len(_base.source(name).splitlines()) <= 450 for name in scripts)


def test_the_html_is_the_same_in_every_process():
    code = (
        "import hashlib, rlcourse.playgrounds as p\n"
        f"for name in {EVERY}:\n"
        "    html = str(getattr(p, name)()._repr_mimebundle_())\n"
        "    print(hashlib.sha256(html.encode()).hexdigest())"
    )
    run = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
        )
        for seed in "12"
    ]
    assert run[0].stdout == run[1].stdout, run[0].stderr
    assert len(set(run[0].stdout.split())) == len(EVERY), run[0].stderr


class _Rude(Playground):
    name = "gridworld"

    def data(self):
        return {"title": "</script><b>&"}

    def fallback(self):
        return ""


def test_data_cannot_end_the_script():
    host = _Rude().host()
    assert host.count("</script>") == 1
    assert json.loads(host.split('json">')[1].split("</script>")[0]) == _Rude().data()


def test_a_script_is_joined_once_and_after_all_that_it_imports():
    for name in (getattr(package, each).name for each in EVERY):
        scripts = _base.needed(name)
        assert len(set(scripts)) == len(scripts)
        for i, script in enumerate(scripts):
            assert set(_base.needed(script)) <= set(scripts[: i + 1])


@pytest.mark.parametrize("name", ["nothing", "../gridworld", ""])
def test_a_figure_that_is_not_there_is_refused(name):
    with pytest.raises(ValueError, match="name must be that of a script"):
        bundle(name)
