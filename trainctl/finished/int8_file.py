"""Store the weights of an ONNX file of a model of 8 bits with 8 bits, so that ONNX Runtime computes with integers."""

from typing import Any

import numpy as np

LARGEST = 2**31 - 1  # of a bias


def with_integers(content: bytes) -> bytes:
    """Return a file in which weights that are only used rounded are integers, and biases those that the sums have.

    ``QuantizeLinear`` of constant weights is computed here, which leaves integers and their ``DequantizeLinear``. The bias
    of a layer whose inputs and weights are rounded to the scales :math:`s` and :math:`s_c` is rounded to multiples of
    :math:`s s_c` in 32 bits, in which the sums of the products are; ONNX Runtime then takes its integer kernels.

    Source: B. Jacob et al., Quantization and training of neural networks for efficient integer-arithmetic-only inference,
    CVPR 2018, section 2.4.
    """
    import onnx

    model = onnx.load_model_from_string(content)
    graph = Graph(model)
    for node in [node for node in graph.nodes if node.op_type == "QuantizeLinear"]:
        _store_rounded(graph, node)
    for node in [node for node in graph.nodes if node.op_type in ("Gemm", "Conv")]:
        _store_bias(graph, node)
    graph.drop_unused()
    written: bytes = model.SerializeToString(deterministic=True)
    return written


class Graph:
    """The nodes and constants of a model.

    Args:
        model: The model, which is changed.
    """

    def __init__(self, model: Any) -> None:
        self.graph = model.graph
        self.stored = {tensor.name: tensor for tensor in self.graph.initializer}
        self.makers = {output: node for node in self.graph.node for output in node.output}

    @property
    def nodes(self) -> Any:
        """The nodes."""
        return self.graph.node

    def value(self, name: str) -> np.ndarray | None:
        """Return a constant; None if it is computed from inputs."""
        from onnx import numpy_helper

        if name in self.stored:
            return np.asarray(numpy_helper.to_array(self.stored[name]))
        maker = self.makers.get(name)
        if maker is not None and maker.op_type == "Identity":
            return self.value(maker.input[0])
        if maker is not None and maker.op_type == "Constant" and maker.attribute[0].name == "value":
            return np.asarray(numpy_helper.to_array(maker.attribute[0].t))
        return None

    def store(self, name: str, value: np.ndarray) -> None:
        """Add a constant."""
        from onnx import numpy_helper

        tensor = numpy_helper.from_array(value, name)
        self.graph.initializer.append(tensor)
        self.stored[name] = tensor

    def drop_unused(self) -> None:
        """Remove constants that nothing uses."""
        used = {name for node in self.nodes for name in node.input} | {output.name for output in self.graph.output}
        for node in [node for node in self.nodes if node.op_type == "Constant" and not used & set(node.output)]:
            self.nodes.remove(node)
        for tensor in [tensor for tensor in self.graph.initializer if tensor.name not in used]:
            self.graph.initializer.remove(tensor)


def _axis(node: Any) -> int:
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == "axis"), 1)


def _store_rounded(graph: Graph, node: Any) -> None:
    """Replace the rounding of a constant by the integers."""
    value, scale, zero = (graph.value(name) for name in node.input)
    if value is None or scale is None or zero is None or zero.dtype != np.int8:
        return
    shape = [1] * value.ndim
    if scale.ndim:
        shape[_axis(node)] = len(scale)
    limits = np.iinfo(np.int8)
    whole = np.rint(value / scale.reshape(shape)) + zero.reshape(shape)
    graph.store(node.output[0], whole.clip(limits.min, limits.max).astype(np.int8))
    graph.nodes.remove(node)


def _store_bias(graph: Graph, node: Any) -> None:
    """Round the bias of a layer of integers."""
    from onnx import helper

    makers = [graph.makers.get(name) for name in node.input]
    if len(makers) < 3 or any(maker is None or maker.op_type != "DequantizeLinear" for maker in makers[:2]):
        return
    scales = [graph.value(maker.input[1]) for maker in makers[:2] if maker is not None]
    bias = graph.value(node.input[2])
    if bias is None or scales[0] is None or scales[1] is None or scales[0].ndim:
        return
    scale = np.broadcast_to((scales[0] * scales[1]).astype(np.float32), bias.shape)
    whole = np.rint(bias.astype(np.float64) / scale)
    if np.abs(whole).max() > LARGEST:
        return
    name = f"{node.output[0]}_bias"
    graph.store(f"{name}_whole", whole.astype(np.int32))
    graph.store(f"{name}_scale", np.ascontiguousarray(scale))
    graph.store(f"{name}_zero", np.zeros(bias.shape, np.int32))
    at = list(graph.nodes).index(node)
    inputs = [f"{name}_whole", f"{name}_scale", f"{name}_zero"]
    graph.nodes.insert(at, helper.make_node("DequantizeLinear", inputs, [name], axis=0))
    node.input[2] = name
