"""What a compiled program says is read as it is meant."""

import pytest

from keras_mixer.tpu.hlo import by_layer, operations, place

# Cut down from what libtpu writes: an LSTM of 50 steps beside a dense layer.
PROGRAM = """\
HloModule jit_step, is_scheduled=true

%fused (p: f32[8]) -> f32[8] {
  ROOT %add.1 = f32[8]{0:T(256)} add(%p, %p), metadata={op_name="jit(step)/jvp(dense)/add"}
}

%condition (p: (s32[], f32[8])) -> pred[] {
  %constant.178 = s32[]{:T(256)} constant(50)
  ROOT %lt.35 = pred[]{:T(1024)} compare(%i, %constant.178), direction=LT
}

%body.sunk (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %dot.1 = f32[8]{0:T(256)} fusion(%p), metadata={op_name="jit(step)/jvp(lstm)/while/body/\
closed_call/lstm_cell/dot_general"}, backend_config={"window_config":{"estimated_cycles":"10"}}
}

ENTRY %main_spmd (x: f32[8]) -> f32[8] {
  %f.1 = f32[8]{0:T(256)} fusion(%x), calls=%fused, metadata={op_name="jit(step)/jvp(block_0)/\
dense/dot_general"}, backend_config={"window_config":{"estimated_cycles":"300"}}
  %f.2 = f32[8]{0:T(256)} fusion(%x), calls=%fused, metadata={op_name="jit(step)/jvp(block_1)/\
dense/dot_general"}, backend_config={"window_config":{"estimated_cycles":"301"}}
  %while.53 = (s32[]{:T(256)}, f32[8]{0}) while(%t), condition=%condition, body=%body.sunk
  ROOT %copy = f32[8]{0:T(256)} copy(%x), backend_config={"estimated_cycles":"7"}
}
"""


def test_what_a_loop_repeats_counts_as_often_as_it_runs():
    cycles = [cycles for _, cycles in operations(PROGRAM)]
    assert cycles == [300, 301, 500, 7]


def test_layers_that_numbers_tell_apart_are_one_row():
    rows = by_layer(operations(PROGRAM), train=True)
    assert [(r["layer"], r["operation"], r["times"], r["cycles"]) for r in rows] == [
        ("block_*/dense", "dot_general", 2, 601),
        ("lstm/lstm_cell", "dot_general", 1, 500),
        ("", "", 1, 7),
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "jit(step)/transpose(jvp(block_3))/channel_mlp/expand/dot_general",
            ("block_3/channel_mlp/expand", "backward", "dot_general"),
        ),
        (
            "jit(step)/transpose(jvp(block_3))/checkpoint/rematted_computation/block_3/mlp/tanh",
            ("block_3/mlp", "recomputed", "tanh"),
        ),
        ("jit(step)/jvp(compile_loss)/jit(log_softmax)/exp", ("compile_loss", "forward", "exp")),
        ("jit(step)/adam_w/sub", ("adam_w", "update", "sub")),
        ("state[0][3]", ("", "update", "state[0][3]")),
    ],
)
def test_a_name_tells_layer_and_phase(name, expected):
    assert place(name, train=True) == expected


def test_a_forward_pass_has_no_update():
    assert place("jit(predict)/head/dot_general", train=False)[1] == "forward"
