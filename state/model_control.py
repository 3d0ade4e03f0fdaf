"""Which model versions score: decided by commands from the control topic, each checked before it comes into force."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from state.records import model_refused_record

if TYPE_CHECKING:
    from collections.abc import Callable

    Check = Callable[[str], None]

ACTIONS = ("promote", "shadow", "unshadow")


class CommandRefusedError(Exception):
    """A command that must not be obeyed; the text is a sentence that says why."""


class ModelControl:
    """The versions in force.

    Args:
        active: The version that scores at first.
        check: Raises :class:`CommandRefusedError` for a version that must not score.
    """

    def __init__(self, active: str, check: Check) -> None:
        self._active = active
        self._shadow = ""
        self._check = check
        self._issued: dict[str, int] = {}

    @property
    def versions(self) -> tuple[str, ...]:
        """Names of the active version and of the shadow, if there is one."""
        return (self._active, self._shadow) if self._shadow else (self._active,)

    def decide(self, text: str, now: int) -> tuple[bool, dict[str, object] | None]:
        """Obeys a command or refuses it.

        Args:
            text: Its JSON: `action`, `version`, `issued_at` (ms).
            now: The machine's clock, ms.

        Returns:
            Whether the versions have changed, and the alert of a refusal. An older command than the last one of its
            kind, which a replay brings again, does nothing.
        """
        try:
            action, version, issued_at = _parse(text)
            if issued_at <= self._issued.get(action, 0):
                return False, None
            self._issued[action] = issued_at
            if action != "unshadow":
                self._check(version)
        except CommandRefusedError as error:
            return False, model_refused_record(text, str(error), now)
        before = self.versions
        if action == "promote":
            self._active = version
            if self._shadow == version:
                self._shadow = ""
        else:
            self._shadow = version if action == "shadow" and version != self._active else ""
        return self.versions != before, None

    def dump(self) -> bytes:
        """All it remembers."""
        return orjson.dumps([self._active, self._shadow, self._issued])

    def load(self, data: bytes) -> None:
        """Takes up what :meth:`dump` gave."""
        self._active, self._shadow, self._issued = orjson.loads(data)


def _parse(text: str) -> tuple[str, str, int]:
    try:
        command = orjson.loads(text)
        action, version, issued_at = command["action"], command.get("version") or "", command["issued_at"]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise CommandRefusedError("the command is no JSON object with action, version and issued_at") from None
    if action not in ACTIONS or not isinstance(version, str) or not isinstance(issued_at, int):
        raise CommandRefusedError(f"the action is none of {', '.join(ACTIONS)}, or a field is of another type")
    return action, version, issued_at
