"""The way of a bundle's elements from Flink and back, in the thread that computes (`jobs.workers.grpc_stream`).

No message is other than Beam's (`beam_fn_api.proto`, service BeamFnData); but all that a bundle gives goes as one,
where Beam's threads send what each output and each family of timers gave for itself. Tried with apache-beam 2.61, which
PyFlink 2.2.1 comes with.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING, Any

from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.worker import data_plane
from apache_beam.runners.worker.worker_id_interceptor import WorkerIdInterceptor

from jobs.workers.grpc_stream import GrpcStream

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

_METHOD = "org.apache.beam.model.fn_execution.v1.BeamFnData/Data"


class _Outputs:
    """What a bundle has given and has not been sent yet.

    Attributes:
        open: So many of its streams are still written to.
        elements: The message.
    """

    def __init__(self) -> None:
        self.open = 0
        self.elements = beam_fn_api_pb2.Elements()


class DataChannel(data_plane.DataChannel):
    """Elements and timers of bundles; what Beam's own channel does, and by its names.

    Args:
        url: Where the engine listens, `host:port`.
        worker: The worker's name.
        flush_every_ms: A bundle's output is sent so often before it ends; 0: when there are megabytes of it.
    """

    def __init__(self, url: str, worker: str | None, flush_every_ms: int) -> None:
        self._flush_every_ms = flush_every_ms
        self._received: defaultdict[str, deque[Any]] = defaultdict(deque)
        self._failed: set[str] = set()
        self._outputs: dict[str, _Outputs] = {}
        self._stream = GrpcStream(url, worker, _METHOD, self._take)

    def input_elements(
        self,
        instruction_id: str,
        expected_inputs: Collection[Any],
        abort_callback: Callable[[], bool] | None = None,  # noqa: ARG002 - Beam asks it once a second; PyFlink has none
    ) -> Iterator[Any]:
        """What comes for a bundle, up to the end of each of its inputs.

        Raises:
            StreamEndedError: If the engine goes away before.
        """
        received = self._received[instruction_id]
        ended: set[Any] = set()
        is_whole = False
        try:
            while len(ended) < len(expected_inputs):
                self._stream.wait(lambda: received)
                element = received.popleft()
                if not element.is_last:
                    yield element
                elif isinstance(element, beam_fn_api_pb2.Elements.Timers):
                    ended.add((element.transform_id, element.timer_family_id))
                else:
                    ended.add(element.transform_id)
            is_whole = True
        finally:
            if not is_whole:  # what still comes for it is nobody's
                self._failed.add(instruction_id)
            del self._received[instruction_id]

    def output_stream(self, instruction_id: str, transform_id: str) -> data_plane.ClosableOutputStream:
        """Where an output of a bundle is written to."""

        def add(elements: Any, data: bytes, *, is_last: bool) -> None:
            elements.data.add(instruction_id=instruction_id, transform_id=transform_id, data=data, is_last=is_last)

        return self._stream_of(instruction_id, add)

    def output_timer_stream(
        self, instruction_id: str, transform_id: str, timer_family_id: str
    ) -> data_plane.ClosableOutputStream:
        """Where the timers of a bundle are written to."""

        def add(elements: Any, timers: bytes, *, is_last: bool) -> None:
            elements.timers.add(
                instruction_id=instruction_id,
                transform_id=transform_id,
                timer_family_id=timer_family_id,
                timers=timers,
                is_last=is_last,
            )

        return self._stream_of(instruction_id, add)

    def close(self) -> None:
        """Ends the connection."""
        self._stream.close()

    def _stream_of(self, instruction_id: str, add: Callable[..., None]) -> data_plane.ClosableOutputStream:
        outputs = self._outputs.setdefault(instruction_id, _Outputs())
        outputs.open += 1

        def flush(content: bytes) -> None:
            if content:
                add(outputs.elements, content, is_last=False)
                self._send(outputs)

        def close(content: bytes) -> None:
            if content:
                add(outputs.elements, content, is_last=False)
            add(outputs.elements, b"", is_last=True)
            outputs.open -= 1
            if not outputs.open:
                del self._outputs[instruction_id]
                self._send(outputs)

        return data_plane.ClosableOutputStream.create(close, flush, self._flush_every_ms)

    def _send(self, outputs: _Outputs) -> None:
        message = outputs.elements.SerializeToString()
        outputs.elements = beam_fn_api_pb2.Elements()
        self._stream.send(message)

    def _take(self, message: bytes) -> None:
        elements = beam_fn_api_pb2.Elements.FromString(message)
        for one in (*elements.timers, *elements.data):
            if one.instruction_id not in self._failed:
                self._received[one.instruction_id].append(one)


def install() -> None:
    """Has this process receive and send elements through its own channel from now on."""
    data_plane.GrpcClientDataChannelFactory.create_data_channel_from_url = _create_data_channel  # type: ignore[method-assign]


_beams_own = data_plane.GrpcClientDataChannelFactory.create_data_channel_from_url


def _create_data_channel(self: Any, url: str) -> Any:
    if not url or self._credentials is not None:
        return _beams_own(self, url)
    with self._lock:
        channel = self._data_channel_cache.get(url)
        if channel is None:
            worker = WorkerIdInterceptor(self._worker_id)._worker_id  # noqa: SLF001
            channel = DataChannel(url, worker, self._data_buffer_time_limit_ms)
            self._data_channel_cache[url] = channel
    return channel
