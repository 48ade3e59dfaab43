"""Buffers that stay on a device: a run copies its numbers into them, and no memory is asked for.

Knows: onnxruntime's values and bindings. Does not know: what the numbers mean. Not for several threads at once.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

SHAPES_KEPT = 256
DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class BoundSession:
    """Runs a session on one set of buffers for each shape of its inputs; the set that was used longest ago goes."""

    def __init__(self, session: ort.InferenceSession, device: str, number: int) -> None:
        self._session, self._device = session, (device, number)
        self._dtypes = {output.name: DTYPES[output.type] for output in session.get_outputs()}
        self._sets: OrderedDict[Any, tuple[Any, dict[str, Any], list[Any]]] = OrderedDict()

    def run(
        self, feed: Mapping[str, NDArray[np.int64]], outputs: Mapping[str, Sequence[int]]
    ) -> list[NDArray[np.float32]]:
        """The outputs, copied to the CPU as fp32; `outputs` gives the shape of each."""
        shapes = tuple((name, array.shape) for name, array in feed.items())
        if shapes not in self._sets:
            self._sets[shapes] = self._bind(feed, outputs)
            if len(self._sets) > SHAPES_KEPT:
                self._sets.popitem(last=False)
        self._sets.move_to_end(shapes)
        binding, inputs, results = self._sets[shapes]
        for name, array in feed.items():
            inputs[name].update_inplace(array)
        self._session.run_with_iobinding(binding)
        return [result.numpy().astype(np.float32) for result in results]

    def _bind(
        self, feed: Mapping[str, NDArray[np.int64]], outputs: Mapping[str, Sequence[int]]
    ) -> tuple[Any, dict[str, Any], list[Any]]:
        binding = self._session.io_binding()
        inputs = {name: ort.OrtValue.ortvalue_from_numpy(array, *self._device) for name, array in feed.items()}
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        results = [
            ort.OrtValue.ortvalue_from_shape_and_type(list(shape), self._dtypes[name], *self._device)
            for name, shape in outputs.items()
        ]
        for name, value in zip(outputs, results, strict=True):
            binding.bind_ortvalue_output(name, value)
        return binding, inputs, results
