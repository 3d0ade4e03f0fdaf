"""The way of Flink's instructions, and of what became of each, without threads of its own (`jobs.workers.grpc_stream`).

No message is other than Beam's (`beam_fn_api.proto`, service BeamFnControl). Tried with apache-beam 2.61, which PyFlink
2.2.1 comes with.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc
from apache_beam.runners.worker import sdk_worker
from apache_beam.runners.worker.worker_id_interceptor import WorkerIdInterceptor

from jobs.workers.grpc_stream import GrpcStream, StreamEndedError

if TYPE_CHECKING:
    from collections.abc import Iterator

_METHOD = "org.apache.beam.model.fn_execution.v1.BeamFnControl/Control"


class ControlChannel:
    """Instructions in, responses out.

    Args:
        url: Where the engine listens, `host:port`.
        worker: The worker's name.
    """

    def __init__(self, url: str, worker: str | None) -> None:
        self._instructions: deque[Any] = deque()
        self._stream = GrpcStream(url, worker, _METHOD, self._take)

    def instructions(self) -> Iterator[Any]:
        """The instructions as they come, until the engine ends."""
        while True:
            try:
                self._stream.wait(lambda: self._instructions)
            except StreamEndedError:
                return
            yield self._instructions.popleft()

    def put(self, response: Any) -> None:
        """Sends a response, from whichever thread has it; Beam's harness calls its queue's method of this name."""
        self._stream.send(response.SerializeToString())

    def close(self) -> None:
        """Ends the connection."""
        self._stream.close()

    def _take(self, message: bytes) -> None:
        self._instructions.append(beam_fn_api_pb2.InstructionRequest.FromString(message))


def install() -> None:
    """Has this process take its instructions through its own channel from now on."""
    sdk_worker.SdkHarness.__init__ = _init  # type: ignore[method-assign]
    sdk_worker.SdkHarness.run = _run  # type: ignore[method-assign]


_beams_init, _beams_run = sdk_worker.SdkHarness.__init__, sdk_worker.SdkHarness.run


def _init(self: Any, control_address: str, credentials: Any = None, *arguments: Any, **options: Any) -> None:
    _beams_init(self, control_address, credentials, *arguments, **options)
    self._control_address = None if credentials is not None else control_address


def _run(self: Any) -> None:
    """`SdkHarness.run`, as it is there, around the other channel."""
    if self._control_address is None:
        _beams_run(self)
        return
    self._control_stub = beam_fn_api_pb2_grpc.BeamFnControlStub(self._control_channel)  # type: ignore[no-untyped-call]
    worker = WorkerIdInterceptor(self._worker_id)._worker_id  # noqa: SLF001
    self._responses = channel = ControlChannel(self._control_address, worker)
    self._alive = True
    try:
        for instruction in channel.instructions():
            getattr(self, f"{self.REQUEST_METHOD_PREFIX}{instruction.WhichOneof('request')}")(instruction)
    finally:
        self._alive = False
        if self.data_sampler:
            self.data_sampler.stop()
    self._worker_thread_pool.shutdown()
    channel.close()
    self._data_channel_factory.close()
    self._state_handler_factory.close()
    self._bundle_processor_cache.shutdown()
    if self._status_handler:
        self._status_handler.close()
