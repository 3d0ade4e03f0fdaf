"""Beam's harness of a worker, with its instructions from a gRPC server."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any

import pytest
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc
from apache_beam.runners.worker.sdk_worker import SdkHarness

from jobs.workers import control_channel

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc

    from tests.unit.jobs.conftest import Serve  # type: ignore[import-not-found]

WAIT_S = 30


class Engine(beam_fn_api_pb2_grpc.BeamFnControlServicer):
    """Gives instructions, keeps responses; None ends the stream."""

    def __init__(self) -> None:
        self.instructions: queue.Queue[Any] = queue.Queue()
        self.responses: queue.Queue[Any] = queue.Queue()

    def Control(self, responses: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802 - its name
        assert dict(context.invocation_metadata())["worker_id"] == "worker-1"
        threading.Thread(target=lambda: [self.responses.put(one) for one in responses], daemon=True).start()
        while (instruction := self.instructions.get()) is not None:
            yield instruction


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def harness(engine: Engine, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Thread]:
    """A harness at work."""
    monkeypatch.setattr(SdkHarness, "__init__", control_channel._init)
    monkeypatch.setattr(SdkHarness, "run", control_channel._run)
    address = serve(beam_fn_api_pb2_grpc.add_BeamFnControlServicer_to_server, engine)
    thread = threading.Thread(target=SdkHarness(address, worker_id="worker-1").run, daemon=True)
    thread.start()
    yield thread
    engine.instructions.put(None)
    thread.join(WAIT_S)


def test_each_instruction_is_answered_by_its_name_and_a_bundle_that_fails_says_why(
    harness: threading.Thread, engine: Engine
) -> None:
    register = beam_fn_api_pb2.RegisterRequest()
    engine.instructions.put(beam_fn_api_pb2.InstructionRequest(instruction_id="1", register=register))
    assert engine.responses.get(timeout=WAIT_S) == beam_fn_api_pb2.InstructionResponse(
        instruction_id="1", register=beam_fn_api_pb2.RegisterResponse()
    )
    bundle = beam_fn_api_pb2.ProcessBundleRequest(process_bundle_descriptor_id="a plan that nobody knows")
    engine.instructions.put(beam_fn_api_pb2.InstructionRequest(instruction_id="2", process_bundle=bundle))
    response = engine.responses.get(timeout=WAIT_S)
    assert response.instruction_id == "2"
    assert "Method not implemented" in response.error
    assert harness.is_alive()


def test_a_worker_ends_with_its_engines_stream(harness: threading.Thread, engine: Engine) -> None:
    engine.instructions.put(None)
    harness.join(WAIT_S)
    assert not harness.is_alive()
