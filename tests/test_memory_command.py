"""`rlcourse memory`: what it prints is what its parts compute, and its advice holds."""

import json
import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from rlcourse.cli import main
from rlcourse.systems.model_configs import MODELS

QWEN = 7_615_616_512


@pytest.fixture
def says(capsys):
    """A command's status, output and errors; JSON is read."""

    def run(*arguments):
        status = main(["memory", *arguments])
        out, err = capsys.readouterr()
        return status, json.loads(out) if "--json" in arguments else out, err

    return run


def test_states_are_cut_and_the_rest_is_counted(says):
    status, found, err = says("Qwen2.5-7B", "--ranks", "8", "--stage", "3", "--json")
    assert (status, err) == (0, "")
    assert found["parameters"] == {"total": QWEN, "active": QWEN}
    states = dict(weights=2, gradients=2, master=4, moments=8, total=16)
    assert found["state_bytes"] == {name: n * QWEN // 8 for name, n in states.items()}
    assert found["kv_cache_bytes_per_token"] == 56 * 1024
    sent = 3 * 2 * QWEN * 7 // 8
    assert found["communication"] == {"payload_elements": 3 * QWEN, "sent_bytes": sent,
                                      "link": "NVLink 4", "seconds": sent / 450e9}  # fmt: skip


def test_gradients_of_32_bits_take_twice_the_time_of_weights(says):
    recipe = ("--recipe", "bf16-adam-fp32-gradients", "--link", "pcie-5", "--json")
    _, found, _ = says("Qwen2.5-7B", "--ranks", "4", "--stage", "1", *recipe)
    assert found["communication"]["sent_bytes"] == (4 + 2) * QWEN * 3 // 4
    assert found["communication"]["seconds"] == pytest.approx(6 * QWEN * 0.75 / 64e9)


def test_the_owners_of_the_peak_add_up_to_it(says):
    for stage in "0123":
        _, found, _ = says("Qwen3-0.6B", "--ranks", "4", "--stage", stage, "--json")
        peak = found["peak"]
        assert sum(peak["bytes_by_owner"].values()) == peak["bytes"]
        assert peak["bytes"] > found["activation_bytes"]
        fits = peak["bytes"] + found["card"]["reserved_bytes"] <= found["card"]["bytes"]
        assert found["card"]["fits"] is fits


def test_the_table_says_what_the_json_says(says):
    for asked in (("Llama-3.1-8B", "--ranks", "16", "--stage", "2"), ("gpt2", "--ranks", "2")):
        _, found, _ = says(*asked, "--json")
        _, table, _ = says(*asked)
        cells = re.findall(r"^(.{24}) +([\d.]+) +([\d.]+)", table, re.M)
        rows = {name.strip(): (float(gb), float(gib)) for name, gb, gib in cells}
        expected = {"weights": "weights", "gradients": "gradients", "master weights": "master",
                    "moments": "moments", "all states": "total"}  # fmt: skip
        sizes = {name: found["state_bytes"][key] for name, key in expected.items()}
        if found["peak"]:
            sizes["activations, at most"] = found["activation_bytes"]
            sizes["peak"] = found["peak"]["bytes"]
            owners = found["peak"]["bytes_by_owner"]
            sizes["master and moments"] = owners["optimizer"]
            assert found["peak"]["moment"] in table
        else:
            assert "peak" not in rows
        for name, n in sizes.items():
            if name not in ("weights", "gradients"):  # these stand twice: all, and at the peak
                assert rows[name] == (round(n / 10**9, 3), round(n / 2**30, 3))
        assert f"{found['kv_cache_bytes_per_token'] / 1024:g} KiB a token" in table
        assert f"{found['communication']['sent_bytes'] / 10**9:.3f} GB" in table


def test_checkpointing_keeps_a_fraction_of_the_activations(says):
    asked = ("Llama-3.1-8B", "--tokens", "8192", "--json")
    plain, lean = (says(*asked, *more)[1] for more in ((), ("--checkpointing",)))
    assert lean["activation_bytes"] < plain["activation_bytes"] / 5
    assert lean["peak"]["bytes"] < plain["peak"]["bytes"]
    assert lean["state_bytes"] == plain["state_bytes"]


@pytest.mark.parametrize(
    "asked",
    [
        ("Qwen2.5-7B", "--ranks", "2", "--stage", "1", "--batch", "4", "--card", "A100 80"),
        ("Llama-3.1-70B", "--batch", "64", "--tokens", "16384"),
    ],
)
def test_advice_that_is_followed_makes_it_fit(says, asked):
    status, found, _ = says(*asked, "--json")
    assert status == 1
    assert found["card"]["fits"] is False
    assert found["card"]["advice"]
    for advice in found["card"]["advice"]:
        change = advice["change"]
        more = re.findall(r"(stage|ranks|batch|tokens) (\d+)", change)
        options = [x for name, n in more for x in (f"--{name}", n)]
        if recipe := re.search(r"recipe (.+)", change):
            options += ["--recipe", recipe[1]]
        options += ["--checkpointing"] * ("checkpoint" in change)
        status, then, _ = says(*asked, *options, "--json")
        assert status == 0, change
        assert then["peak"]["bytes"] == advice["peak_bytes"]


def test_a_large_model_is_told_how_many_gpus_it_takes(says):
    status, table, _ = says("Llama-3.1-70B")
    assert status == 1
    assert "does not fit" in table
    ranks = int(re.search(r"stage 3, ranks (\d+), checkpointing", table)[1])
    status, *_ = says("Llama-3.1-70B", "--stage", "3", "--checkpointing", "--ranks", str(ranks))
    assert status == 0
    half = str(ranks // 2)
    status, *_ = says("Llama-3.1-70B", "--stage", "3", "--checkpointing", "--ranks", half)
    assert status == 1


def test_of_experts_the_states_alone_are_known(says):
    asked = ("Qwen3-30B-A3B", "--stage", "3")
    status, found, _ = says(*asked, "--ranks", "64", "--json")
    assert status == 0
    assert found["card"]["fits"] is found["peak"] is found["activation_bytes"] is None
    assert found["parameters"]["active"] < found["parameters"]["total"] / 8
    status, table, _ = says(*asked)
    assert status == 1
    assert "does not fit" in table
    assert "known of llama, qwen2 and qwen3 alone" in table


def test_a_config_is_read_from_its_file_or_folder(says, tmp_path):
    file = tmp_path / "config.json"
    file.write_text(json.dumps(MODELS["Qwen3-8B"] | {"architectures": ["Qwen3ForCausalLM"]}))
    _, named, _ = says("qwen3 8b", "--json")
    for given in (file, tmp_path):
        _, found, _ = says(str(given), "--json")
        assert found.pop("model") == str(file)
        assert found == {key: value for key, value in named.items() if key != "model"}


def test_the_drawing_shows_every_owner_and_the_card(says, tmp_path):
    drawn = []
    for name in ("one.svg", "two.svg"):
        status, *_ = says("Qwen2.5-0.5B", "--plot", str(tmp_path / name))
        assert status == 0
        drawn.append((tmp_path / name).read_text("utf-8"))
    assert drawn[0] == drawn[1]
    words = "".join(ElementTree.fromstring(drawn[0]).itertext())
    for word in ("H100 80 GB", "activations", "working", "master and moments", "Qwen2.5-0.5B"):
        assert word in words


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["Qwen4-1B"], "MODEL must be"),
        (["gpt2", "--ranks", "0"], "ranks must be an integer of at least 1"),
        (["gpt2", "--batch", "-1"], "batch must be an integer of at least 1"),
        (["Qwen3-8B", "--tokens", "1"], "tokens must be at least 2"),
        (["Qwen3-8B", "--stage", "4"], "stage must be"),
        (["gpt2", "--stage", "4"], "stage must be"),
        (["Qwen3-8B", "--card", "A100"], "card must be one of"),
        (["Qwen3-8B", "--recipe", "bf16"], "recipe must be one of"),
        (["Qwen3-8B", "--recipe", "fp8"], "recipe must be one of"),
        (["Qwen3-8B", "--link", "string"], "link must be one of"),
        (["gpt2", "--plot", "x.svg"], "needs a timeline"),
        (["Qwen3-8B", "--plot", "x.png"], ".svg"),
    ],
)
def test_what_is_not_known_is_refused_by_name(says, arguments, expected):
    status, out, err = says(*arguments)
    assert (status, out) == (2, "")
    assert expected in err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "must hold JSON"),
        ("[]", "config must be an object"),
        ('{"model_type": "mamba"}', "model_type must be one of"),
        (json.dumps({**MODELS["Qwen3-8B"], "hidden_size": None}), "lacks hidden_size"),
        (json.dumps({**MODELS["Qwen3-8B"], "num_hidden_layers": 0}), "num_hidden_layers"),
        (json.dumps({**MODELS["Qwen3-8B"], "num_key_value_heads": 5}), "multiple of"),
    ],
)
def test_a_config_that_lacks_something_is_refused(says, tmp_path, text, expected):
    (tmp_path / "config.json").write_text(text)
    status, out, err = says(str(tmp_path))
    assert (status, out) == (2, "")
    assert expected in err


def test_the_command_needs_no_torch_and_its_arguments_load_nothing():
    code = (
        "import sys; sys.modules['torch'] = None; import rlcourse.cli as c;"
        "print([m for m in sys.modules if 'systems' in m or 'matplotlib' in m]);"
        "print(c.main(['memory', 'Qwen2.5-7B', '--ranks', '64', '--stage', '3']))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stderr == ""
    first, *_, last = run.stdout.splitlines()
    assert (first, last) == ("[]", "0")
