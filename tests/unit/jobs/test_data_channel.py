"""The way of a bundle's elements, with a gRPC server at its other end."""

from __future__ import annotations

import queue
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

from jobs.workers.data_channel import DataChannel
from jobs.workers.grpc_stream import StreamEndedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc

    from tests.unit.jobs.conftest import Serve  # type: ignore[import-not-found]

INPUTS = ["source", ("function", "timers")]
WAIT_S = 30


class Engine(beam_fn_api_pb2_grpc.BeamFnDataServicer):
    """Sends what it is given, keeps what it gets; None ends the stream."""

    def __init__(self) -> None:
        self.to_send: queue.Queue[Any] = queue.Queue()
        self.got: queue.Queue[Any] = queue.Queue()
        self.threads = ThreadPoolExecutor(1)

    def Data(self, messages: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802 - its name
        assert dict(context.invocation_metadata())["worker_id"] == "worker-1"
        self.threads.submit(lambda: [self.got.put(message) for message in messages])
        while (message := self.to_send.get()) is not None:
            yield message

    def send(self, bundle: str, *elements: bytes, ends: bool = True) -> None:
        """Sends a bundle's elements, and that these are all."""
        message = beam_fn_api_pb2.Elements()
        for data in elements:
            message.data.add(instruction_id=bundle, transform_id="source", data=data)
        if ends:
            message.data.add(instruction_id=bundle, transform_id="source", is_last=True)
            message.timers.add(instruction_id=bundle, transform_id="function", timer_family_id="timers", is_last=True)
        self.to_send.put(message)


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.to_send.put(None)


@pytest.fixture
def channel(engine: Engine, serve: Serve) -> Iterator[DataChannel]:
    channel = DataChannel(serve(beam_fn_api_pb2_grpc.add_BeamFnDataServicer_to_server, engine), "worker-1", 0)
    yield channel
    channel.close()


def elements_of(channel: DataChannel, bundle: str) -> list[bytes]:
    return [one.data for one in channel.input_elements(bundle, INPUTS)]


def test_a_bundle_gets_its_elements_in_order_up_to_the_end_of_every_input(channel: DataChannel, engine: Engine) -> None:
    engine.send("1", b"a", b"b", ends=False)
    engine.send("1", b"c")
    assert elements_of(channel, "1") == [b"a", b"b", b"c"]


def test_bundles_at_the_same_time_get_their_own_elements_whoever_reads(channel: DataChannel, engine: Engine) -> None:
    names = [str(number) for number in range(6)]
    with ThreadPoolExecutor(len(names)) as threads:
        found = [threads.submit(elements_of, channel, name) for name in names]
        for round_ in range(50):
            for name in names:
                engine.send(name, f"{name} {round_}".encode(), ends=round_ == 49)
        answers = [one.result(WAIT_S) for one in found]
    assert answers == [[f"{name} {round_}".encode() for round_ in range(50)] for name in names]


def test_all_that_a_bundle_gives_goes_as_one_message_with_the_end_of_each_stream(
    channel: DataChannel, engine: Engine
) -> None:
    data = channel.output_stream("7", "sink")
    timers = channel.output_timer_stream("7", "function", "timers")
    data.write(b"result")
    data.close()
    timers.write(b"timer")
    timers.close()
    message = engine.got.get(timeout=WAIT_S)
    assert [(one.instruction_id, one.transform_id, one.data, one.is_last) for one in message.data] == [
        ("7", "sink", b"result", False),
        ("7", "sink", b"", True),
    ]
    assert [(one.timer_family_id, one.timers, one.is_last) for one in message.timers] == [
        ("timers", b"timer", False),
        ("timers", b"", True),
    ]
    assert engine.got.empty()


def test_outputs_larger_than_all_windows_arrive_whole(channel: DataChannel, engine: Engine) -> None:
    large = bytes(range(256)) * 120_000
    data = channel.output_stream("7", "sink")
    data.write(large)
    data.close()
    message = engine.got.get(timeout=WAIT_S)
    assert message.data[0].data == large


def test_many_megabytes_go_before_the_bundle_ends(channel: DataChannel, engine: Engine) -> None:
    data = channel.output_stream("7", "sink")
    data.write(bytes(11 << 20))
    data.maybe_flush()
    assert len(engine.got.get(timeout=WAIT_S).data[0].data) == 11 << 20
    data.close()
    assert [one.is_last for one in engine.got.get(timeout=WAIT_S).data] == [True]


def test_what_still_comes_for_a_bundle_that_failed_is_not_kept(channel: DataChannel, engine: Engine) -> None:
    engine.send("1", b"a", ends=False)
    elements = channel.input_elements("1", INPUTS)
    next(elements)
    elements.close()
    engine.send("1", b"b")
    engine.send("2", b"c")
    assert elements_of(channel, "2") == [b"c"]
    assert not channel._received


def test_a_bundle_fails_when_the_engine_ends_the_stream(channel: DataChannel, engine: Engine) -> None:
    engine.send("1", b"a", ends=False)
    engine.to_send.put(None)
    with pytest.raises(StreamEndedError, match="the engine has ended the stream of BeamFnData"):
        elements_of(channel, "1")
