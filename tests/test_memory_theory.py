"""Static memory, activations and shapes against published counts, hand arithmetic and tensors laid end to end."""

import pytest

from tutorlib.errors import Refused
from tutorlib.theory.activations import layer_activations, loss_terms
from tutorlib.theory.memory import PRECISIONS, STATES, Static, static_bytes
from tutorlib.theory.shapes import SHAPES, GPT2Shape, LlamaShape

GB = 1e9


@pytest.mark.parametrize(
    ("name", "published"),
    [  # the sizes of the weights as they are published
        ("gpt2", 124_439_808),
        ("gpt2-medium", 354_823_168),
        ("gpt2-large", 774_030_080),
        ("gpt2-xl", 1_557_611_200),
        ("llama-3-8b", 8_030_261_248),
    ],
)
def test_a_shape_has_as_many_parameters_as_its_published_weights(name, published):
    assert SHAPES[name].parameters == published


def test_a_tiny_shape_is_counted_by_hand():
    # embedding 5·2, positions 3·2; norms 2·4; qkv 2·6+6, out 2·2+2, up 2·8+8, down 8·2+2; last norm 4
    assert GPT2Shape(2, 1, 1, 5, 3).parameters == 10 + 6 + 8 + 18 + 6 + 24 + 18 + 4
    # embedding and output 2·5·4; norms 2·4; q and out 2·16, k and v 2·4·2; gate, up, down 3·4·6; last norm 4
    assert LlamaShape(4, 2, 1, 1, 6, 5, 3).parameters == 40 + 8 + 32 + 16 + 72 + 4


@pytest.mark.parametrize(
    ("precision", "optimizer", "each"),
    [
        ("fp32", "AdamW", 16),
        ("fp32", "SGD", 8),
        ("fp32", "momentum", 12),
        ("fp32", "Lion", 12),
        ("autocast", "AdamW", 16),
        ("bf16", "AdamW", 8),
        ("bf16", "SGD", 4),
        ("bf16", "momentum", 6),
        ("bf16, fp32 state", "AdamW", 12),
        ("mixed", "AdamW", 16),
        ("mixed", "SGD", 8),
        ("mixed, fp32 gradients", "AdamW", 18),
        ("bf16", "8-bit AdamW", 6 + 2 * 4 / 256),
    ],
)
def test_a_recipe_costs_so_many_bytes_a_parameter(precision, optimizer, each):
    assert static_bytes(1000, precision, optimizer).total == 1000 * each


def test_gpt2_in_fp32_takes_half_a_gigabyte_twice_and_one_once():
    static = static_bytes(SHAPES["gpt2"].parameters)
    assert (static.parameters, static.gradients, static.optimizer_state) == (497_759_232, 497_759_232, 995_518_464)


def test_the_four_totals_of_an_8b_model_are_64_96_128_and_144_gigabytes():
    recipes = ("bf16", "bf16, fp32 state", "mixed", "mixed, fp32 gradients")
    totals = [static_bytes(SHAPES["llama-3-8b"].parameters, recipe).total / GB for recipe in recipes]
    assert totals == pytest.approx([64, 96, 128, 144], rel=0.004)


def test_zero_divides_what_its_first_figure_says():
    # Rajbhandari et al. 2020, figure 1: 7.5 billion parameters, 64 ranks, mixed precision with Adam
    static = static_bytes(7_500_000_000, "mixed")
    assert [static.sharded(stage, 64).total / GB for stage in range(4)] == pytest.approx(
        [120, 31.4, 16.6, 1.88], abs=0.06
    )


def test_one_rank_keeps_everything_and_all_ranks_together_keep_it_once():
    static = static_bytes(1000, "mixed")
    for stage in range(4):
        assert static.sharded(stage, 1) == static
    assert static.sharded(3, 8).total * 8 == static.total
    assert static.sharded(1, 4) == Static(2000, 2000, 2000, 1000)
    assert static.sharded(2, 4) == Static(2000, 500, 2000, 1000)


def test_frozen_parameters_have_neither_gradient_nor_state():
    adapters = static_bytes(1_000_000, "mixed", trainable=10_000)
    assert adapters == Static(2_000_000, 20_000, 80_000, 40_000)
    assert static_bytes(1000, trainable=0).total == 4000


SIZES = [(1, 1024, 768, 12), (4, 1024, 768, 12), (3, 128, 64, 4), (2, 4096, 4096, 32)]


@pytest.mark.parametrize(("b", "s", "h", "a"), SIZES)
def test_the_terms_of_a_layer_sum_to_the_published_formula(b, s, h, a):
    assert sum(layer_activations(b, s, h, a).values()) == s * b * h * 34 + 5 * a * s * s * b
    assert sum(layer_activations(b, s, h, a, "fused").values()) == s * b * h * 34 + 4 * a * s * b
    assert sum(layer_activations(b, s, h, a, checkpointing=True).values()) == 2 * s * b * h
    assert sum(layer_activations(b, s, h, a, dropout=False).values()) == s * b * h * 32 + 2 * a * s * s * b


def test_attention_takes_11_and_the_perceptron_19_and_the_norms_4_bytes():
    terms = layer_activations(1, 1, 1, 0)  # without heads only the linear terms are left
    norms = terms["inputs of the two norms"]
    perceptron = terms["input of the perceptron"] + terms["input of the GELU"] + terms["output of the GELU"] + 1
    assert (norms, perceptron, sum(terms.values()) - norms - perceptron) == (4, 19, 11)


def test_the_square_terms_weigh_as_much_as_the_others_at_6_8_head_widths():
    b, s, h, a = 1, 3480, 1024 * 5, 10  # heads of width 512 → 3,481.6
    terms = layer_activations(b, s, h, a)
    square = sum(value for name, value in terms.items() if "softmax" in name or "attention's" in name)
    assert square == pytest.approx(sum(terms.values()) - square, rel=1e-3)


def test_a_loss_in_fp32_holds_three_copies_of_its_scores_and_in_half_precision_3_and_a_half():
    assert sum(loss_terms(2, 3, 5).values()) == 2 * 3 * 5 * 12
    assert sum(loss_terms(2, 3, 5, logit_bytes=2).values()) == 2 * 3 * 5 * 14


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: static_bytes(10, "fp8"), "precision is 'fp8'; allowed: 'fp32', 'autocast'"),
        (lambda: static_bytes(10, optimizer="Adafactor"), "optimizer is 'Adafactor'; allowed: 'SGD'"),
        (lambda: static_bytes(0), "parameters is 0"),
        (lambda: static_bytes(10, trainable=11), "trainable is 11; allowed: from 0 to the 10 parameters"),
        (lambda: static_bytes(10).sharded(4, 2), "stage is 4; allowed: 0"),
        (lambda: static_bytes(10).sharded(1, 0), "ranks is 0"),
        (lambda: layer_activations(1, 1, 1, 1, "flash"), "attention is 'flash'; allowed: math, fused"),
    ],
)
def test_bad_input_is_a_sentence(call, said):
    with pytest.raises(Refused, match=said.replace("(", r"\(")):
        call()


def test_every_recipe_and_every_optimizer_has_a_total():
    for precision in PRECISIONS:
        totals = [static_bytes(1000, precision, optimizer).total for optimizer in STATES]
        assert totals[0] < totals[1] == totals[2] < totals[3]
