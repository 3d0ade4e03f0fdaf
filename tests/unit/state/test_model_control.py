"""Commands to the models."""

from __future__ import annotations

import orjson
import pytest

from state.model_control import CommandRefusedError, ModelControl


def check(version: str) -> None:
    if version == "broken":
        raise CommandRefusedError("the file differs; restore it")


def command(action: str, version: str = "", issued_at: int = 1) -> str:
    return orjson.dumps({"action": action, "version": version, "issued_at": issued_at}).decode()


@pytest.fixture
def control() -> ModelControl:
    return ModelControl("v1", check)


def test_a_promoted_version_scores_and_is_its_own_shadow_no_more(control: ModelControl) -> None:
    assert control.decide(command("shadow", "v2"), 0) == (True, None)
    assert control.versions == ("v1", "v2")
    assert control.decide(command("promote", "v2"), 0) == (True, None)
    assert control.versions == ("v2",)


def test_a_shadow_goes_when_it_is_told_to(control: ModelControl) -> None:
    control.decide(command("shadow", "v2"), 0)
    assert control.decide(command("unshadow"), 0) == (True, None)
    assert control.versions == ("v1",)


def test_a_version_that_does_not_fit_is_refused_with_its_reason_and_the_old_one_goes_on(control: ModelControl) -> None:
    changed, alert = control.decide(command("promote", "broken"), 5_000)
    assert not changed
    assert alert is not None
    assert (alert["rule"], alert["event_time"]) == ("model_refused", 5_000)
    assert "the file differs; restore it" in str(alert["message"])
    assert control.versions == ("v1",)


@pytest.mark.parametrize(
    "text", ["", "no json", "[]", "{}", '{"action": "promote"}', command("delete", "v2"), '{"action":1,"issued_at":2}']
)
def test_what_is_no_command_is_refused_and_does_no_harm(control: ModelControl, text: str) -> None:
    changed, alert = control.decide(text, 0)
    assert not changed
    assert alert is not None
    assert control.versions == ("v1",)


def test_an_old_command_that_a_replay_brings_again_does_nothing(control: ModelControl) -> None:
    control.decide(command("promote", "v2", 10), 0)
    control.decide(command("promote", "v3", 20), 0)
    assert control.decide(command("promote", "v2", 10), 0) == (False, None)
    assert control.versions == ("v3",)


def test_what_is_in_force_comes_back_out_of_the_state(control: ModelControl) -> None:
    control.decide(command("promote", "v2", 10), 0)
    control.decide(command("shadow", "v3", 11), 0)
    again = ModelControl("v1", check)
    again.load(control.dump())
    assert again.versions == ("v2", "v3")
    assert again.decide(command("promote", "v9", 10), 0) == (False, None)
