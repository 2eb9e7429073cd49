"""What the captions on activations claim."""

from rlcourse.figures.systems import zero_activations as f
from rlcourse.systems.decoder_activations import layer_bytes
from rlcourse.systems.zero import layer_activations


def test_the_ledger_of_a_gpt_layer_gives_the_formulas_of_the_paper():
    none, selective, full = str(f.table_of_formulas()).split("\n")[2:]
    assert none == "none  10BCN + 24BCN/t + 5BHN²/t  34BCN/t + 5BHN²/t"
    assert selective == "selective  10BCN + 24BCN/t  34BCN/t"
    assert full == "full  2BCN  2BCN/t"


def test_the_parts_of_a_layer_add_up_to_it():
    data, config = f.data_policies(), f.config_of()
    for way, (policy, attention) in f.WAYS.items():
        whole = layer_bytes(config, 1, f.TOKENS, f.ELEMENT, policy, attention)
        assert sum(data.parts[way].values()) == whole
        assert data.layers[way] == 32 * whole


def test_most_of_what_fused_attention_leaves_is_of_swiglu_and_little_is_left_to_select():
    data = f.data_policies()
    everything = sum(data.parts["all"].values())
    assert sum(data.parts["all, explicit scores"].values()) > 3 * everything
    assert data.parts["all"]["SwiGLU"] > everything / 2
    assert 0.99 < data.layers["selective"] / data.layers["all"] < 1


def test_with_layers_recomputed_the_ends_are_the_larger_part():
    data = f.data_policies()
    assert data.ends > 2 * data.layers["full"]
    assert 4 * f.TOKENS * 128_256 < data.ends < 1.1 * 4 * f.TOKENS * 128_256  # float32
    assert data.layers["full"] == 32 * layer_activations(1, f.TOKENS, 4096, 32, recompute="full")


def test_the_ledger_is_what_the_hooks_see_to_the_byte():
    rows = f.table_of_saved(batch=1, tokens=9).tables[0][1:]
    assert len(rows) == 6
    assert all(measured == ledger and off == "0" for _, _, ledger, measured, off in rows)


def test_the_table_of_the_ledger_adds_up_to_the_layer():
    (table,) = f.table_of_ledger().tables
    megabytes = sum(float(row[3]) for row in table[1:] if row[3] != "–")
    whole = layer_bytes(f.config_of(), 1, f.TOKENS, f.ELEMENT) / 1e6
    assert abs(megabytes - whole) < 0.05 * len(table)


def test_the_picture_of_the_policies_is_drawn():
    picture = f.draw_policies(f.data_policies())
    assert len(picture.panels) == 2
    assert "28.5 GB" in picture.alt
