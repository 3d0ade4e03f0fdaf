"""The way of a worker's state, with a gRPC server at its other end."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

from jobs.workers.grpc_stream import StreamEndedError
from jobs.workers.state_channel import StateChannel, StateWriteError
from tests.unit.jobs.conftest import MESSAGE, Server, message

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc

    from tests.unit.jobs.conftest import Serve


class Engine(beam_fn_api_pb2_grpc.BeamFnStateServicer):
    """Keeps states by their keys; refuses to be written to in the name of the bundle "closed", ends at "gone"."""

    def __init__(self) -> None:
        self.states: dict[bytes, bytes] = {}
        self.workers: set[str] = set()
        self.took = threading.Event()
        """Set when something was added to a state."""

    def State(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802 - its name
        self.workers.add(dict(context.invocation_metadata())["worker_id"])
        for request in requests:
            key = request.state_key.bag_user_state.key
            response = beam_fn_api_pb2.StateResponse(id=request.id)
            if request.instruction_id == "gone":
                return
            if request.instruction_id == "closed":
                response.error = "the bundle is closed"
            elif request.HasField("append"):
                self.states[key] = self.states.get(key, b"") + request.append.data
                response.append.SetInParent()
                self.took.set()
            elif request.HasField("clear"):
                self.states.pop(key, None)
                response.clear.SetInParent()
            else:
                response.get.data = self.states.get(key, b"")
            yield response


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def channel(engine: Engine, serve: Serve) -> Iterator[StateChannel]:
    channel = StateChannel(serve(beam_fn_api_pb2_grpc.add_BeamFnStateServicer_to_server, engine), "worker-1")
    yield channel
    channel.done()


def key(name: str) -> Any:
    state = beam_fn_api_pb2.StateKey()
    state.bag_user_state.key = name.encode()
    return state


def test_what_a_bundle_writes_is_there_in_the_order_of_the_writes(channel: StateChannel, engine: Engine) -> None:
    with channel.process_instruction_id("1"):
        channel.append_raw(key("a"), b"gone")
        channel.clear(key("a"))
        answers = [channel.append_raw(key(name), b"x" * number) for number in range(300) for name in "ab"]
        assert [answer.get().error for answer in answers] == [""] * 600
    assert engine.states == {b"a": b"x" * sum(range(300)), b"b": b"x" * sum(range(300))}
    assert engine.workers == {"worker-1"}


def test_writes_without_beams_objects_are_the_same_writes(channel: StateChannel, engine: Engine) -> None:
    place, long = channel.place_of(key("a")), bytes(range(256)) * 300
    with channel.process_instruction_id("a name of more than one hundred and twenty-seven bytes " * 3):
        channel.write(place, b"gone", anew=False)
        channel.write(place, b"1", anew=True)
        answer = channel.append_raw(key("a"), b"2")
        channel.write(place, long, anew=False)
        channel.write(channel.place_of(key("b")), b"", anew=True)
        channel.settle()
        assert not answer.get().error
        assert engine.states == {b"a": b"12" + long}
        channel.write(place, b"3", anew=False)
    assert engine.states == {b"a": b"12" + long + b"3"}


def test_a_refused_write_without_beams_objects_fails_the_bundle_once(channel: StateChannel, engine: Engine) -> None:
    place = channel.place_of(key("a"))
    with channel.process_instruction_id("closed"):
        channel.write(place, b"1", anew=False)
        with pytest.raises(StateWriteError, match="refused: the bundle is closed"):
            channel.settle()
    with pytest.raises(StateWriteError), channel.process_instruction_id("closed"):
        channel.write(place, b"1", anew=False)
    with channel.process_instruction_id("2"):
        channel.write(place, b"2", anew=False)
    assert engine.states == {b"a": b"2"}


def test_what_is_sent_ahead_is_taken_while_the_bundle_goes_on(channel: StateChannel, engine: Engine) -> None:
    with channel.process_instruction_id("1"):
        channel.write(channel.place_of(key("a")), b"1", anew=False)
        channel.send()
        assert engine.took.wait(timeout=30)
        assert engine.states == {b"a": b"1"}
        channel.write(channel.place_of(key("a")), b"2", anew=False)
        channel.settle()
        assert engine.states == {b"a": b"12"}


def test_a_refusal_of_what_was_sent_ahead_fails_its_own_bundle_and_no_other(
    channel: StateChannel, engine: Engine
) -> None:
    def send_ahead(bundle: str, error: Exception | None = None) -> None:
        with channel.process_instruction_id(bundle):
            channel.write(channel.place_of(key("a")), bundle.encode(), anew=False)
            channel.send()
            if error is not None:
                raise error

    with pytest.raises(ValueError, match="of its own"):
        send_ahead("closed", ValueError("of its own"))
    send_ahead("2")
    with pytest.raises(StateWriteError):
        send_ahead("closed")
    assert engine.states == {b"a": b"2"}


@pytest.mark.timeout(30)
def test_a_refusal_that_another_thread_has_read_before_fails_the_bundle_all_the_same(channel: StateChannel) -> None:
    def read_by_another() -> None:
        with channel.process_instruction_id("closed"):
            channel.write(channel.place_of(key("a")), b"1", anew=False)
            channel.send()
            while channel._bundle.awaited.answers:
                channel._stream.look()

    with pytest.raises(StateWriteError):
        read_by_another()


def test_writes_that_nobody_asks_after_are_there_when_the_bundle_ends(channel: StateChannel, engine: Engine) -> None:
    with channel.process_instruction_id("1"):
        channel.append_raw(key("a"), b"1")
    assert engine.states == {b"a": b"1"}


def test_a_read_sees_the_writes_before_it(channel: StateChannel) -> None:
    with channel.process_instruction_id("1"):
        channel.append_raw(key("a"), b"1")
        assert channel.get_raw(key("a"))[0] == b"1"
        channel.append_raw(key("a"), b"2")
    with channel.process_instruction_id("2"):
        assert channel.get_raw(key("a"))[0] == b"12"


def test_states_larger_than_all_windows_go_there_and_come_back(channel: StateChannel) -> None:
    large = bytes(range(256)) * 50_000
    with channel.process_instruction_id("1"):
        for _ in range(3):
            assert channel.append_raw(key("a"), large).get().error == ""
        assert channel.get_raw(key("a"))[0] == large * 3


def test_a_large_write_goes_there_after_many_small_ones(channel: StateChannel, engine: Engine) -> None:
    place, large = channel.place_of(key("a")), bytes(1_000_000)
    with channel.process_instruction_id("1"):
        for _ in range(1000):
            channel.write(place, b"1", anew=True)
        channel.settle()
        channel.write(place, large, anew=True)
        channel.settle()
    assert engine.states == {b"a": large}


def test_threads_get_their_own_answers(channel: StateChannel) -> None:
    def write_and_read(name: str) -> bytes:
        with channel.process_instruction_id(name):
            for number in range(200):
                channel.append_raw(key(name), f"{name}{number} ".encode())
            return channel.get_raw(key(name))[0]

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(write_and_read, "abcd"))
    assert found == ["".join(f"{name}{number} " for number in range(200)).encode() for name in "abcd"]


def test_a_refused_read_fails_and_a_refused_write_says_so(channel: StateChannel) -> None:
    with channel.process_instruction_id("closed"):
        assert channel.append_raw(key("a"), b"1").get().error == "the bundle is closed"
        with pytest.raises(RuntimeError, match="the bundle is closed"):
            channel.get_raw(key("a"))


def test_an_engine_that_ends_the_stream_fails_this_bundle_and_the_next(channel: StateChannel) -> None:
    for bundle in ("gone", "2"):
        with pytest.raises(StreamEndedError, match="the engine has ended"), channel.process_instruction_id(bundle):
            channel.append_raw(key("a"), b"1")


@pytest.mark.timeout(30)
def test_answers_that_come_in_one_frame_are_not_waited_for_in_vain(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.workers.grpc_stream._LOOK_AGAIN_S", 60)
    channel = StateChannel(server.url, "worker-1")
    server.accept()
    with ThreadPoolExecutor(1) as pool, channel.process_instruction_id("1"):
        for _ in range(100):
            channel.write(channel.place_of(key("a")), b"1", anew=False)
        settled = pool.submit(_answer_together, server, 100)
        channel.settle()
        settled.result()
    channel.done()


def _answer_together(server: Server, count: int) -> None:
    """Reads so many requests, then sends all answers as one frame."""
    data, numbers = b"", []
    while len(numbers) < count:
        data += server.read(MESSAGE)
        while len(data) >= 5 and len(data) >= (end := 5 + int.from_bytes(data[1:5])):
            numbers.append(beam_fn_api_pb2.StateRequest.FromString(data[5:end]).id)
            data = data[end:]
    taken = beam_fn_api_pb2.StateAppendResponse()
    answers = [beam_fn_api_pb2.StateResponse(id=number, append=taken) for number in numbers]
    server.send(MESSAGE, b"".join(message(answer.SerializeToString()) for answer in answers))
