"""A model of 8 bits is exported with weights of 8 bits, and ONNX Runtime computes it with integers."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from tests.schemas import schema
from trainctl.components.clean.base import Cleaner
from trainctl.components.scale.base import Affine
from trainctl.data.rows import Fitted
from trainctl.finished import int8_file, int8_layers, onnx_file, portable, torch_file


class Range(nn.Module):
    """A range as a run of 8 bits has it."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high

    @property
    def known(self) -> Tensor:
        return torch.tensor(self.high > self.low)

    def steps(self) -> tuple[Tensor, Tensor, Tensor]:
        scale = torch.tensor((self.high - self.low) / 255)
        below = (self.low / scale).round()
        return scale, below * scale, (below + 255) * scale

    def forward(self, values: Tensor) -> Tensor:
        scale, low, high = self.steps()
        return (values.clamp(low, high) / scale).round() * scale


class Int8Linear(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(self.input_range(input))


class Int8Conv2d(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        return self.output_range(super().forward(self.input_range(input)))


def rounded(layer: nn.Module, **ranges: Range) -> nn.Module:
    """Round the weights of a layer to 8 bits, and give it its ranges."""
    with torch.no_grad():
        scales = (layer.weight.abs().flatten(1).amax(1) / 127).bfloat16().float()
        scales = scales.view(-1, *[1] * (layer.weight.ndim - 1))
        layer.weight.copy_((layer.weight / scales).round().clamp(-127, 127) * scales)
    for name, one in ranges.items():
        setattr(layer, name, one)
    return layer


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        rounded(Int8Conv2d(1, 8, 3, padding=1), input_range=Range(-2, 2), output_range=Range(-2.5, 2.5)),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        rounded(Int8Linear(8 * 16, 256), input_range=Range(0, 2.5)),
        nn.ReLU(),
        rounded(Int8Linear(256, 3), input_range=Range(0, 2)),
    ).eval()


def floats() -> bytes:
    layers = [
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 256),
        nn.Linear(256, 3),
    ]
    return files(nn.Sequential(*layers).eval())[0]


def files(model: nn.Module) -> list[bytes]:
    one = Affine(torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1))
    trained = schema(input_shape=(1, 8, 8), class_names=("a", "b", "c"))
    given = (model, "classification", Fitted(Cleaner(), one, None), trained, torch.float32, 1)
    stages = portable.stages(*given, integers=True)
    return [int8_file.with_integers(onnx_file.with_metadata(onnx_file.traced(stage, 18), {}, 18)) for stage in stages]


def test_integers_compute_what_the_model_computes_and_are_small(tmp_path: Path) -> None:
    model, rows = network(), torch.randn(64, 1, 8, 8)
    with torch.no_grad():
        wanted = model(rows).softmax(1).numpy()
    (content,) = files(model)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 4  # that such a file is for this machine
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"rows": rows.numpy()})
    assert np.abs(found - wanted).max() < 5e-3
    kernels = Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)
    assert (kernels["QLinearConv"], kernels["QGemm"], kernels["Gemm"], kernels["Conv"]) == (1, 2, 0, 0)
    stored = {tensor.name: tensor for tensor in onnx.load_model_from_string(content).graph.initializer}
    weights = [
        tensor for tensor in stored.values() if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) > 1
    ]
    assert sorted(tuple(tensor.dims) for tensor in weights) == [(3, 256), (8, 1, 3, 3), (256, 128)]
    assert not [name for name, tensor in stored.items() if tensor.data_type == 1 and len(tensor.dims) > 1]
    assert len(content) < 0.4 * len(floats())


def test_a_layer_without_a_known_range_or_with_other_weights_stays_as_it_is() -> None:
    plain, unknown = nn.Linear(2, 2), rounded(Int8Linear(2, 2), input_range=Range(0, 0))
    other = Int8Linear(2, 2)
    other.input_range = Range(0, 1)
    for layer in (plain, unknown, other):
        assert int8_layers.rounded_layer(layer) is layer
    assert isinstance(
        int8_layers.rounded_layer(rounded(Int8Linear(2, 2), input_range=Range(0, 1))), int8_layers.RoundedLayer
    )


def test_a_bias_that_is_too_large_for_integers_stays_a_number() -> None:
    model = network()
    with torch.no_grad():
        model[-1].bias[0] = 1e8
    (content,) = files(model)
    graph = onnx.load_model_from_string(content).graph
    assert [tensor.name for tensor in graph.initializer if tensor.data_type == 1 and list(tensor.dims) == [3]]


def test_a_program_computes_with_rounded_numbers() -> None:
    one = Affine(torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1))
    trained = schema(input_shape=(1, 8, 8), class_names=("a", "b", "c"))
    (stage,) = portable.stages(network(), "classification", Fitted(Cleaner(), one, None), trained, torch.float32, 1)
    rows = torch.randn(7, 1, 8, 8)
    with torch.no_grad():
        wanted = network()(rows).softmax(1)
    answers = torch_file.Programs([torch_file.program(stage)], stage.outputs)(rows.numpy())
    torch.testing.assert_close(torch.from_numpy(answers["probabilities"]), wanted)


@pytest.mark.parametrize("count", [1, 3])
def test_a_model_in_floating_point_is_unchanged(count: int) -> None:
    model = nn.Sequential(*[nn.Linear(4, 4) for _ in range(count)]).eval()
    one = Fitted(Cleaner(), Affine(torch.ones(1, 4), torch.zeros(1, 4)), None)
    trained = schema(input_shape=(4,), class_names=tuple("abcd"))
    (stage,) = portable.stages(model, "classification", one, trained, torch.float32, 1)
    content = onnx_file.with_metadata(onnx_file.traced(stage, 18), {}, 18)
    before, after = (onnx.load_model_from_string(each).graph for each in (content, int8_file.with_integers(content)))
    assert [node.op_type for node in before.node] == [node.op_type for node in after.node]
