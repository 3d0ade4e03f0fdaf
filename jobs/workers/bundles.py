"""A keyed process function's last word in each bundle: PyFlink has none, so results can only be handed on one by one.

What a function gives out element by element crosses to the JVM element by element. A function that keeps its results
until its bundle ends hands them on as one, and can ask a model about all of them at once. :func:`install` puts
operations in the place of PyFlink's that ask a function for them (`state.keyed_states.at_bundle_end`), before its state
is settled. Tried with PyFlink 2.2.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apache_beam.utils import windowed_value
from pyflink.fn_execution.beam import beam_operations_fast
from pyflink.fn_execution.datastream.process import operations
from pyflink.fn_execution.datastream.process.input_handler import _emit_results

if TYPE_CHECKING:
    from collections.abc import Iterable

_END = object()
_Operation = beam_operations_fast.StatefulFunctionOperation
_Function = operations.StatefulOperation


class _FunctionWithLastWord(_Function):  # type: ignore[misc, valid-type]
    """The side of the user's function."""

    def __init__(self, serialized_fn: Any, *backends: Any) -> None:
        super().__init__(serialized_fn, *backends)
        self._has_side_output = serialized_fn.has_side_output
        # Without the two generators that PyFlink makes for every element: most give nothing before the bundle's end.
        self._take = self.process_element_func.__self__._process_element_func  # noqa: SLF001

    def process_element(self, value: Any) -> Iterable[Any]:
        """An element, or the end of the bundle."""
        if value is _END:
            timestamp = watermark = self.internal_timer_service.current_watermark()
            results = self.keyed_state_backend.last_word()
        else:
            timestamp, watermark, data = value
            self.internal_timer_service.advance_watermark(watermark)
            results = self._take(data, timestamp)
        return _emit_results(timestamp, watermark, results, self._has_side_output) if results else ()


class _OperationWithLastWord(_Operation):  # type: ignore[misc, valid-type]
    """The side of Beam: it decides when a bundle ends and where results go."""

    def __init__(self, *arguments: Any) -> None:
        *rest, function, keyed_state_backend, operator_state_backend = arguments
        keyed_state_backend.last_word = None
        self._backend = keyed_state_backend
        self._end = windowed_value.create([_END], -1, ())  # type: ignore[no-untyped-call]
        if function is _Function:
            function = _FunctionWithLastWord
        super().__init__(*rest, function, keyed_state_backend, operator_state_backend)

    def finish(self) -> None:
        """Called when all of a bundle's elements and timers have been processed."""
        if self._backend.last_word is not None:
            self.process(self._end)
        super().finish()


def install() -> None:
    """Makes operations that this process creates from now on ask for last words."""
    beam_operations_fast.StatefulFunctionOperation = _OperationWithLastWord
