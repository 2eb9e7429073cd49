"""What axe is spared does not hide what it finds: the same faults as with its own settings."""

import pytest
from harness import violations

FAULTS = {  # rule -> what breaks it
    "aria-allowed-attr": '<p role="separator" aria-checked="true">x</p>',
    "aria-allowed-role": '<h3 role="button" tabindex="0">x</h3>',
    "aria-hidden-focus": '<p aria-hidden="true"><a href="#x">x</a></p>',
    "aria-required-attr": '<p role="slider" tabindex="0" aria-label="gamma">x</p>',
    "aria-required-children": '<div role="list"><b role="tab">x</b></div>',
    "aria-roles": '<p role="nonsense">x</p>',
    "aria-valid-attr": '<p aria-nonsense="1">x</p>',
    "aria-valid-attr-value": '<button aria-expanded="perhaps">x</button>',
    "button-name": "<button></button>",
    "color-contrast": '<p style="color: #aaa; background: #fff">pale words</p>',
    "empty-heading": "<h2></h2>",
    "empty-table-header": "<table><tr><th></th><th>x</th></tr></table>",
    "heading-order": "<h1>x</h1><h4>y</h4>",
    "image-alt": '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=">',
    "label": "<input>",
    "link-name": '<a href="#x"></a>',
    "list": "<ul><p>x</p></ul>",
    "listitem": "<div><li>x</li></div>",
    "nested-interactive": '<button><a href="#x">x</a></button>',
    "region": "</main><p>outside of every landmark</p><main>",
    "role-img-alt": '<p role="img">x</p>',
    "select-name": "<select><option>x</option></select>",
    "svg-img-alt": '<svg role="img" width="9" height="9"><path d="M0 0h9v9z"></path></svg>',
    "tabindex": '<p tabindex="3">x</p>',
}
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Faults</title>
<main><h1>Faults</h1><p class="quiz">none here</p>{}</main></html>"""


@pytest.fixture
def ill(new_page):
    """A page with every fault."""
    page = new_page()
    page.set_content(PAGE.format("".join(FAULTS.values())))
    return page


def spared_nothing(page):
    """What axe finds by its own settings: "rule: element"."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page, options={"preload": False}).response["violations"]
    return [f"{rule['id']}: {node['html'][:150]}" for rule in found for node in rule["nodes"]]


def of(rules, found):
    return [v for v in found if v.partition(":")[0] in rules]


def test_every_fault_is_found_that_axe_finds_when_it_is_spared_nothing(ill):
    assert violations(ill) == spared_nothing(ill)
    assert {v.partition(":")[0] for v in violations(ill)} >= FAULTS.keys()


def test_rules_that_are_left_out_or_alone_change_nothing_about_the_others(ill):
    found = violations(ill)
    rules = list(dict.fromkeys(v.partition(":")[0] for v in found))
    for chosen in (rules[::2], rules[1::2], ["color-contrast"]):
        assert violations(ill, only=chosen) == of(chosen, found) != []
        assert violations(ill, but=chosen) == of({*rules} - {*chosen}, found)


def test_a_pale_word_counts_only_within_what_is_asked_for(ill):
    pale = ill.locator("p", has_text="pale words")
    assert violations(ill, ".quiz", only=["color-contrast"]) == []
    pale.evaluate("(e) => { e.className = 'quiz' }")
    (found,) = violations(ill, ".quiz", only=["color-contrast"])
    assert "pale words" in found
