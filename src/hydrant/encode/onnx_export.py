"""A model of torch, written as an ONNX file that gives the same numbers, in float32 or with 8-bit weights.

The graph comes from torch's own exporter (`torch.onnx.export(dynamo=True)`). For "int8" the matrices of the linear layers
become signed 8-bit integers with one scale a column, and the activations are quantized as they come, one scale a matrix
(onnxruntime's dynamic quantization); embeddings, normalisation and softmax stay in float32. What that costs in quality and
gains in speed stands in benchmarks/README.md ("Encoders").
"""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from hydrant.errors import EncodingError, MissingDependency

if TYPE_CHECKING:
    import numpy.typing as npt

    from hydrant.encode.onnx_network import Head, Network

Precision: TypeAlias = Literal["fp32", "int8"]

MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
OUTPUT = "output"
# The lowest cosine of an exported model's output with torch's, over each of the check texts. Quantization moves a
# vector by a few hundredths; anything below is a graph that computes something else.
LEAST_COSINE: Mapping[Precision, float] = {"fp32": 0.9999, "int8": 0.95}
# Texts of different length and kind, so that padding, truncation and rare tokens are all in what is compared.
CHECK_TEXTS = (
    "how do I rotate the signing keys?",
    "vitamin D and the risk of cardiovascular disease",
    "The boundary layer of a supersonic flow past a flat plate separates where the pressure rises.",
    "key",
    "¿Dónde está la biblioteca? Die Straße ist naß. ключ 東京 42",
    "def main(arguments: list[str]) -> int: return len(arguments)  # a line of code, {not} prose!",
    "A long paragraph repeats itself, so that it fills more than a hundred tokens of the model's window. "
    * 8,
    "Two sentences. The second one says what the first left out, in twelve words.",
)
_OPSET = 18


def check_inputs(head: Head) -> list[Any]:
    """What the check is made with: the texts, or for a cross-encoder pairs of them."""
    if head == "scores":
        return [[CHECK_TEXTS[0], text] for text in CHECK_TEXTS]
    return list(CHECK_TEXTS)


def write_graph(network: Network, folder: Path) -> None:
    """Export a network into a folder, as `model.onnx` in float32 and `tokenizer.json`.

    Raises:
        MissingDependency: The exporter is not installed.
    """
    require_exporter()
    _export(network, folder / MODEL_FILE)
    tokenizer = type(network.tokenizer.backend_tokenizer).from_str(
        network.tokenizer.backend_tokenizer.to_str()
    )
    tokenizer.no_truncation()
    tokenizer.no_padding()
    (folder / TOKENIZER_FILE).write_text(tokenizer.to_str(), encoding="utf-8")


def quantize(source: Path, target: Path, *, saturates: bool) -> None:
    """Write an exported model once more, with 8-bit weights.

    Args:
        source: The folder of the model in float32.
        target: The folder that gets `model.onnx` and `tokenizer.json`; it may be the same.
        saturates: Whether sums of signed 8-bit products may overflow on this machine. The weights are unsigned then,
            which takes longer and loses nothing.

    Raises:
        MissingDependency: The exporter is not installed.
    """
    require_exporter()
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(str(source / MODEL_FILE))
    # What onnxruntime's own preparation would leave as a mark; it would only run the optimizer once more.
    model.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    with _quiet():
        quantize_dynamic(
            model,
            str(target / MODEL_FILE),
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            weight_type=QuantType.QUInt8 if saturates else QuantType.QInt8,
            # Names that the shape inference knows nothing of hold float32, as all of them do here.
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )
    if target != source:
        shutil.copyfile(source / TOKENIZER_FILE, target / TOKENIZER_FILE)


def weights_in(file: Path) -> int:
    """How many numbers the matrices of an exported model have that every token is multiplied with."""
    import onnx

    graph = onnx.load(str(file)).graph
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in graph.initializer}
    products = (node for node in graph.node if node.op_type in {"MatMul", "Gemm", "MatMulInteger"})
    return sum(sizes.get(node.input[1], 0) for node in products)


def agreement(ours: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The cosine of each row with what torch made of it; of single numbers, the one cosine of the whole column.

    Raises:
        EncodingError: The shapes differ.
    """
    if ours.shape != expected.shape:
        msg = f"an exported model must return an array of shape {expected.shape}; got {ours.shape}"
        raise EncodingError(msg)
    if ours.shape[1] == 1:
        ours, expected = ours.T, expected.T
    one, other = ours.astype(np.float64), expected.astype(np.float64)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    cosines: npt.NDArray[np.float64] = (one * other).sum(axis=1) / np.maximum(lengths, 1e-12)
    # A text of which a sparse model keeps no term, here and there.
    cosines[~(one.any(axis=1) | other.any(axis=1))] = 1.0
    return cosines


def require_exporter() -> None:
    """Say which extra is missing, if one is.

    Raises:
        MissingDependency: One of the packages that an export needs is not installed.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript
    except ImportError as error:
        msg = (
            f"backend='onnx' needs onnxruntime, onnx and onnxscript ({error}): install them with "
            "pip install hydrant-rag[onnx]"
        )
        raise MissingDependency(msg) from error
    del onnx, onnxruntime, onnxscript


def _export(network: Network, file: Path) -> None:
    import torch

    # Two texts of different length: a dimension of 1, or a mask without zeros, would be taken for a constant.
    example = network.tokenizer([CHECK_TEXTS[1], CHECK_TEXTS[3]], padding=True, return_tensors="pt")
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            network.module,
            tuple(example[name] for name in network.inputs),
            dynamo=True,
            opset_version=_OPSET,
            input_names=list(network.inputs),
            output_names=[OUTPUT],
            dynamic_shapes={name: {0: "batch", 1: "tokens"} for name in network.inputs},
            verbose=False,
        )
        if program is None:
            msg = "torch's exporter returned no program"
            raise EncodingError(msg)
        program.save(str(file), external_data=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of its own workings: missing torchvision, renamed axes, every node it dropped.

    The quantizer logs through the root logger, which would make itself a handler if it had none.
    """
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir", "onnxscript")]
    levels = [logger.level for logger in loggers]
    silent = logging.NullHandler()
    root = logging.getLogger()
    root.addHandler(silent)
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.removeHandler(silent)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
