"""The way of a worker's state to Flink and back, in the thread that computes.

Beam sends each read and write of state through four threads and gRPC's own, one message at a time: at a bundle's end,
with a write for every symbol that it touched, the worker passes most of its time in handing over. Here the computing
thread writes all of a bundle's messages to the socket itself, then reads until all answers are there. No message that
is sent, and none of its answers, is other than Beam's (`beam_fn_api.proto`, service BeamFnState). Tried with
apache-beam 2.61, which PyFlink 2.2.1 comes with.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from typing import TYPE_CHECKING, Any

from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.worker import sdk_worker
from apache_beam.runners.worker.statecache import StateCache
from apache_beam.runners.worker.worker_id_interceptor import WorkerIdInterceptor

from jobs.workers.grpc_stream import MESSAGE_HEAD_BYTES, GrpcStream, number_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ANSWER_S = 60.0
"""So long the engine may be silent before the bundle fails; the job then starts again from its last checkpoint."""

_METHOD = "org.apache.beam.model.fn_execution.v1.BeamFnState/State"
_SMALLEST_ANSWER = MESSAGE_HEAD_BYTES + 5
"""An empty answer but for the digits of its number."""

_ID, _INSTRUCTION, _STATE_KEY, _DATA_OF_APPEND = b"\x0a", b"\x12", b"\x1a", b"\x0a"
_APPEND, _CLEAR = b"\xca\x3e", b"\xd2\x3e\x00"
"""Marks of a request's fields (1, 2, 3, and 1 in 1001; 1001 and 1002, the latter empty), each of a length to follow."""


class StateWriteError(RuntimeError):
    """The engine did not take a state write; it restarts the job from its last checkpoint."""


class _Answer(sdk_worker._Future):  # type: ignore[type-arg]  # noqa: SLF001 - Beam asks for its own futures
    """An answer that is fetched when it is asked for."""

    def __init__(self, fetch: Callable[[], None]) -> None:
        self._fetch = fetch
        self.response: Any = None

    def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002 - the channel has a bound of its own
        """Sends what has not been sent yet, and waits for its answers."""
        if self.response is None:
            self._fetch()
        return True

    def get(self, timeout: float | None = None) -> Any:
        """The engine's answer; its `error` tells what was refused."""
        self.wait(timeout)
        return self.response


class _Awaited:
    """Answers that one thread waits for.

    Attributes:
        answers: By the number of their request; None for a write of :meth:`StateChannel.write`.
        refused: Why the engine did not take such a write.
    """

    __slots__ = ("answers", "refused")

    def __init__(self) -> None:
        self.answers: dict[str, _Answer | None] = {}
        self.refused = ""


class _Bundle(threading.local):
    """What one thread is at.

    Attributes:
        instruction: The engine's name of the bundle; None outside of one.
        head: The instruction's field of its requests.
        unsent: Messages that have not been sent yet.
        awaited: Answers that have not come yet.
    """

    instruction: str | None = None
    head = b""

    def __init__(self) -> None:
        self.unsent: list[bytes] = []
        self.awaited = _Awaited()


class StateChannel(sdk_worker.StateHandler):
    """Reads and writes the engine's state; what Beam's own handler does, and by its names.

    Writes are sent by :meth:`send`, when one of their answers is asked for, when state is read, or as the bundle ends.

    Args:
        url: Where the engine listens, `host:port`.
        worker: The worker's name.
    """

    def __init__(self, url: str, worker: str | None) -> None:
        self._stream = GrpcStream(url, worker, _METHOD, self._take, _ANSWER_S)
        self._numbers = itertools.count(1)
        self._bundle = _Bundle()
        self._who_awaits: dict[str, _Awaited] = {}

    @contextlib.contextmanager
    def process_instruction_id(self, bundle_id: str) -> Iterator[None]:
        """State is read and written in the name of this bundle."""
        bundle = self._bundle
        if bundle.instruction is not None:
            raise RuntimeError(f"already bound to {bundle.instruction!r}")
        bundle.instruction = bundle_id
        bundle.head = _field(_INSTRUCTION, bundle_id.encode())
        try:
            yield
            self.settle()
        finally:
            bundle.instruction = None
            for number in list(bundle.awaited.answers):
                self._who_awaits.pop(number, None)
            bundle.unsent, bundle.awaited = [], _Awaited()

    def get_raw(self, state_key: Any, continuation_token: bytes | None = None) -> tuple[bytes, bytes | None]:
        """What a state holds, or the next part of it.

        Raises:
            RuntimeError: If the engine refuses.
        """
        get = beam_fn_api_pb2.StateGetRequest(continuation_token=continuation_token)
        response = self._request(beam_fn_api_pb2.StateRequest(state_key=state_key, get=get)).get()
        if response.error:
            raise RuntimeError(response.error)
        return response.get.data, response.get.continuation_token

    def append_raw(self, state_key: Any, data: bytes) -> _Answer:
        """Adds to what a state holds."""
        append = beam_fn_api_pb2.StateAppendRequest(data=data)
        return self._request(beam_fn_api_pb2.StateRequest(state_key=state_key, append=append))

    def clear(self, state_key: Any) -> _Answer:
        """Empties a state."""
        return self._request(
            beam_fn_api_pb2.StateRequest(state_key=state_key, clear=beam_fn_api_pb2.StateClearRequest())
        )

    @staticmethod
    def place_of(state_key: Any) -> bytes:
        """A state's key as a part of each request that writes to it."""
        return _field(_STATE_KEY, state_key.SerializeToString())

    def write(self, place: bytes, data: bytes, *, anew: bool) -> None:
        """Adds to what a state holds, without the objects that a request of Beam's is made of: a bundle has hundreds.

        Args:
            place: What :meth:`place_of` gave for it.
            data: What is added.
            anew: Whether the state is emptied before.
        """
        if anew:
            self._write(place, _CLEAR)
        if data:
            self._write(place, _field(_APPEND, _field(_DATA_OF_APPEND, data)))

    def _write(self, place: bytes, change: bytes) -> None:
        number = str(next(self._numbers))
        self._queue(number, b"".join((_field(_ID, number.encode()), self._bundle.head, place, change)), None)

    def send(self) -> None:
        """Sends what this bundle has written so far; the engine takes it while the bundle goes on.

        Raises:
            StreamEndedError: If there is nobody to take it.
        """
        bundle = self._bundle
        sent, bundle.unsent = bundle.unsent, []
        if sent:
            self._stream.send(*sent)

    def settle(self) -> None:
        """Waits until everything that this bundle has written is taken.

        Raises:
            StateWriteError: If a write of :meth:`write` is refused.
            StreamEndedError: If the engine does not answer.
        """
        self._exchange()
        awaited = self._bundle.awaited
        if refused := awaited.refused:
            awaited.refused = ""
            raise StateWriteError(f"a state write was refused: {refused}")

    def done(self) -> None:
        """Ends the connection."""
        self._stream.close()

    def _request(self, request: Any) -> _Answer:
        request.id = str(next(self._numbers))
        request.instruction_id = self._bundle.instruction
        answer = _Answer(self._exchange)
        self._queue(request.id, request.SerializeToString(), answer)
        return answer

    def _queue(self, number: str, message: bytes, answer: _Answer | None) -> None:
        bundle = self._bundle
        bundle.unsent.append(message)
        bundle.awaited.answers[number] = answer
        self._who_awaits[number] = bundle.awaited

    def _exchange(self) -> None:
        """Sends what this thread has not sent yet, and reads until all of its answers are there."""
        self.send()
        answers = self._bundle.awaited.answers
        numbers = list(answers)  # as a whole: another thread may take answers in meanwhile
        if numbers:
            # Numbers grow: no answer is shorter than the first one's.
            smallest = _SMALLEST_ANSWER + len(numbers[0])
            self._stream.wait(lambda: not answers, lambda: smallest * len(answers))

    def _take(self, message: bytes) -> None:
        """Gives an answer to who waits for it; of a write that nobody waits for it keeps why it was refused."""
        response = beam_fn_api_pb2.StateResponse.FromString(message)
        awaited = self._who_awaits.pop(response.id, None)
        if awaited is None:  # its bundle has failed
            return
        answer = awaited.answers.pop(response.id)
        if answer is not None:
            answer.response = response
        elif response.error:
            awaited.refused = response.error


def install() -> None:
    """Has this process speak about state through its own channel from now on."""
    sdk_worker.GrpcStateHandlerFactory.create_state_handler = _create_state_handler  # type: ignore[assignment, method-assign]


_beams_own = sdk_worker.GrpcStateHandlerFactory.create_state_handler


def _create_state_handler(self: Any, descriptor: Any) -> Any:
    if not descriptor or self._credentials is not None:
        return _beams_own(self, descriptor)
    with self._lock:
        handler = self._state_handler_cache.get(descriptor.url)
        if handler is None:
            channel = StateChannel(descriptor.url, WorkerIdInterceptor()._worker_id)  # noqa: SLF001
            # Nothing is kept for the next read: the functions here read a state once and hold what they have read.
            handler = sdk_worker.GlobalCachingStateHandler(StateCache(0), channel)
            self._state_handler_cache[descriptor.url] = handler
    return handler


def _field(mark: bytes, body: bytes) -> bytes:
    """A field of a message of protobuf: its mark, its length, itself."""
    return mark + number_bytes(len(body)) + body
