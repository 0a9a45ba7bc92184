"""Operations of TensorFlow that a picture classifier needs. A SavedModel is a program: all others are refused.

The list is of what may run and not of what may not: TensorFlow has 1,900 operations, and reading, writing, starting
code, and debugging into files are spread among them, more with every version.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

ALLOWED = frozenset(
    """
    Abs Acos Acosh Add AddN AddV2 AdjustContrastv2 AdjustHue AdjustSaturation All Any ApproximateEqual _Arg ArgMax
    ArgMin Asin Asinh Assert Assign AssignVariableOp Atan Atan2 Atanh AvgPool AvgPool3D BatchMatMul BatchMatMulV2
    BatchMatMulV3 BatchToSpace BatchToSpaceND BiasAdd BiasAddV1 Bitcast BitwiseAnd BitwiseOr BitwiseXor
    BroadcastArgs BroadcastTo Bucketize Case Cast Ceil CheckNumerics ClipByValue CombinedNonMaxSuppression Complex
    ComplexAbs Concat ConcatOffset ConcatV2 Conj Const ControlTrigger Conv Conv2D Conv2DBackpropInput Conv3D Cos
    Cosh CropAndResize Cross Cumprod Cumsum CumulativeLogsumexp DepthToSpace DepthwiseConv2dNative Dequantize Diag
    DiagPart Dilation2D Div DivNoNan DynamicPartition DynamicStitch Einsum Elu EmptyTensorList EnsureShape Enter
    Equal Erf Erfc Erfinv EuclideanNorm Exit Exp ExpandDims Expm1 ExtractImagePatches FakeQuantWithMinMaxArgs
    FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel Fill Floor FloorDiv FloorMod FusedBatchNorm
    FusedBatchNormV2 FusedBatchNormV3 Gather GatherNd GatherV2 Greater GreaterEqual HSVToRGB Identity IdentityN If
    Imag ImageProjectiveTransformV2 ImageProjectiveTransformV3 Inv Invert InvertPermutation IsFinite IsInf IsNan
    IsVariableInitialized L2Loss LeakyRelu LeftShift Less LessEqual Lgamma LinSpace Log Log1p LogicalAnd LogicalNot
    LogicalOr LogSoftmax LoopCond LRN MatMul MatrixBandPart MatrixDiag MatrixDiagPart MatrixDiagPartV2
    MatrixDiagPartV3 MatrixDiagV2 MatrixDiagV3 MatrixSetDiag MatrixSetDiagV2 MatrixSetDiagV3 Max Maximum MaxPool
    MaxPool3D MaxPoolV2 MaxPoolWithArgmax Mean Merge Min Minimum MirrorPad Mod Mul MulNoNan Multinomial Neg
    NextIteration NonMaxSuppression NonMaxSuppressionV2 NonMaxSuppressionV3 NonMaxSuppressionV4 NonMaxSuppressionV5
    NonMaxSuppressionWithOverlaps NoOp NotEqual OneHot OnesLike Pack Pad PadV2 ParallelConcat ParallelDynamicStitch
    PartitionedCall Placeholder PlaceholderV2 PlaceholderWithDefault Pow PreventGradient Prod QuantizeAndDequantize
    QuantizeAndDequantizeV2 QuantizeAndDequantizeV3 QuantizeAndDequantizeV4 QuantizeV2 RandomShuffle
    RandomStandardNormal RandomUniform RandomUniformInt Range Rank ReadVariableOp Real RealDiv Reciprocal Relu Relu6
    Reshape ResizeArea ResizeBicubic ResizeBilinear ResizeNearestNeighbor ResourceGather _Retval Reverse
    ReverseSequence ReverseV2 RGBToHSV RightShift Rint Roll Round Rsqrt ScaleAndTranslate ScatterNd Select SelectV2
    Selu Shape ShapeN Sigmoid Sign Sin Sinh Size Slice Snapshot Softmax Softplus Softsign SpaceToBatch
    SpaceToBatchND SpaceToDepth Split SplitV Sqrt Square SquaredDifference Squeeze StatefulPartitionedCall
    StatelessCase StatelessIf StatelessMultinomial StatelessRandomGetKeyCounter StatelessRandomGetKeyCounterAlg
    StatelessRandomNormal StatelessRandomNormalV2 StatelessRandomUniform StatelessRandomUniformFullInt
    StatelessRandomUniformFullIntV2 StatelessRandomUniformInt StatelessRandomUniformIntV2 StatelessRandomUniformV2
    StatelessTruncatedNormal StatelessTruncatedNormalV2 StatelessWhile StopGradient StridedSlice Sub Sum Switch
    SymbolicGradient Tan Tanh TensorListConcatV2 TensorListElementShape TensorListFromTensor TensorListGather
    TensorListGetItem TensorListLength TensorListReserve TensorListSetItem TensorListStack TensorScatterAdd
    TensorScatterUpdate TensorStridedSliceUpdate Tile TopK TopKV2 Transpose TruncateDiv TruncatedNormal TruncateMod
    Unique UniqueV2 Unpack VarHandleOp Variable VariableShape VariableV2 VarIsInitializedOp Where While Xdivy
    Xlog1py Xlogy ZerosLike
    """.split()  # noqa: SIM905 (a list of 300 lines is no clearer)
)
"""Operations on numbers, pictures, variables and control flow. None has a name of a file, a device or a program."""
RESTORING = ALLOWED | frozenset(("RestoreV2", "Restore", "AssignVariableOp", "Assign", "ReadVariableOp"))
"""What a graph of TensorFlow 1 runs to read its own variables."""
SAVER = ("__inference__traced_save", "__inference__traced_restore")
"""Functions that every SavedModel carries for its own variables; TensorFlow reads variables without them."""


def refused(graph: Any) -> str:
    """Return the name of an operation that loading or running a meta graph could run and that is not allowed, or ""."""
    functions = {function.signature.name: function.node_def for function in graph.graph_def.library.function}
    return next(_refused(graph, functions), "")


def _refused(graph: Any, functions: Mapping[str, Any]) -> Iterator[str]:
    objects = graph.object_graph_def
    # A saver is tolerated as long as nothing but TensorFlow's own saving could call it.
    roots = [name for name in functions if not name.startswith(SAVER)]
    roots += [name for name in objects.concrete_functions if name.startswith(SAVER)]
    for name in roots:
        yield from _below(functions.get(name, ()), functions)
    if objects.nodes:
        return
    # TensorFlow 1: no functions, but parts of one graph, which TensorFlow runs by the names of nodes.
    nodes = {node.name: node for node in graph.graph_def.node}
    yield from _below(_behind(_targets(graph), nodes), functions)
    restore = graph.saver_def.restore_op_name if hasattr(graph, "saver_def") else ""
    yield from _below(_behind([restore], nodes), functions, RESTORING)


def _below(nodes: Iterable[Any], functions: Mapping[str, Any], allowed: frozenset[str] = ALLOWED) -> Iterator[str]:
    """Yield what is not allowed among ``nodes`` and in all functions that they call."""
    waiting, seen = list(nodes), set[str]()
    while waiting:
        node = waiting.pop()
        called = [node.op] if node.op in functions else []
        if not called and node.op not in allowed:
            yield node.op
        for value in node.attr.values():
            called += [f.name for f in (value.func, *value.list.func) if f.name]
        for name in set(called) & functions.keys() - seen:
            seen.add(name)
            waiting.extend(functions[name])


def _targets(graph: Any) -> Iterator[str]:
    """Yield the names of tensors and operations that TensorFlow runs: of signatures and of initialisation."""
    for signature in graph.signature_def.values():
        yield from (info.name for info in (*signature.inputs.values(), *signature.outputs.values()))
    for collection in graph.collection_def.values():
        yield from collection.node_list.value
    # Assets are names of files that are written into the graph.
    yield from (asset.tensor_info.name for asset in graph.asset_file_def)


def _behind(names: Iterable[str], nodes: Mapping[str, Any]) -> list[Any]:
    """Return the nodes of ``names`` and all that they take, control inputs included."""
    waiting, found = list(names), dict[str, Any]()
    while waiting:
        name = waiting.pop().lstrip("^").partition(":")[0]
        if name in nodes and name not in found:
            found[name] = nodes[name]
            waiting.extend(nodes[name].input)
    return list(found.values())
