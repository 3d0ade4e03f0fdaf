"""The engine's keyed states, with less ado at every change of the key and one wait at the end of a bundle.

PyFlink compares keys as rows, encodes them anew and moves every state in and out of a cache whenever the key changes,
which is at nearly every tick. Here a key that has been seen once is found by its one field, with all that belongs to
it. At a bundle's end the engine writes back the state of every key that it has ever kept open, and waits for each
answer before it sends the next write: a round trip between two processes for each symbol that a bundle touches. Here
the states of the bundle's keys are sent as they are (`jobs.workers.state_channel`) before the function's last word, and
after it all answers are waited for: the bundle still ends only when everything is written. Nor is what they hold kept a
second time for the next read: who uses this reads a state once.
"""

# ruff: noqa: SLF001 - PyFlink has no public way to this
from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyflink.datastream import RuntimeContext


def hasten(runtime_context: RuntimeContext) -> None:
    """Makes the keyed states of this operator quicker to change between and to write.

    It reaches into PyFlink 2.2, whose version is fixed. Only for an operator whose key is one field and whose keyed
    states are lists of bytes, in a worker that has its own way of the state.

    Args:
        runtime_context: The operator's, in `open`.
    """
    backend = getattr(runtime_context, "_keyed_state_backend", None)
    if backend is not None:
        states = _KeyedStates(backend)
        backend.set_current_key = states.change_to
        backend.commit = states.commit
        backend.write = states.write


def at_bundle_end(runtime_context: RuntimeContext, last_word: Callable[[], list[Any]]) -> bool:
    """Has a function called at the end of each bundle, for results like those of `process_element`.

    Args:
        runtime_context: The operator's, in `open`.
        last_word: What is called.

    Returns:
        Whether it will be; not in a process whose operations are PyFlink's own (`jobs.workers.bundles`).
    """
    backend: Any = getattr(runtime_context, "_keyed_state_backend", None)
    if not hasattr(backend, "last_word"):
        return False
    write = getattr(backend, "write", None)

    def write_and_tell() -> list[Any]:
        """The engine takes the states while the last word is computed."""
        if write is not None:
            write()
        return last_word()

    backend.last_word = write_and_tell
    return True


class _Key:
    """A key as the engine writes it, its open states by their names, and where each of them is written."""

    __slots__ = ("encoded", "places", "states")

    def __init__(self, encoded: bytes) -> None:
        self.encoded = encoded
        self.states: dict[str, Any] = {}
        self.places: dict[str, bytes] = {}


class _KeyedStates:
    """Stands between PyFlink's backend and its states; keeps as many keys as the operator itself remembers."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._keys: dict[Any, _Key] = {}
        self._touched: dict[Any, _Key] = {}
        self._field: Any = None
        self._coders: dict[str, Any] = {}

    def change_to(self, row: Any) -> None:
        """Makes a key, a row of one field, the current one."""
        field = row[0]
        if field == self._field:
            return
        self._put_away()
        backend = self._backend
        key = self._keys.get(field)
        if key is None:
            key = self._keys[field] = _Key(backend._key_coder_impl.encode(row))
        backend._current_key, backend._encoded_current_key = row, key.encoded
        for name, state in backend._all_states.items():
            state.namespace = None
            state._internal_state = key.states.get(name)
        self._touched[field] = key
        self._field = field

    def commit(self) -> None:
        """Writes what has changed in this bundle."""
        self.write()
        self._backend._state_handler._underlying.settle()

    def write(self) -> None:
        """Sends what has changed so far."""
        self._put_away()
        if not self._touched:
            return
        channel = self._backend._state_handler._underlying
        for key in self._touched.values():
            for name, state in key.states.items():
                added, cleared = state._added_elements, state._cleared
                if added or cleared:
                    place = key.places.get(name)
                    if place is None:
                        place = key.places[name] = channel.place_of(state._state_key)
                    channel.write(place, self._encode(name, state, added), anew=cleared)
                    state._cleared, state._added_elements = False, []
        self._touched = {}
        channel.send()

    def _encode(self, name: str, state: Any, elements: list[bytes]) -> bytes:
        coder = self._coders.get(name)
        if coder is None:
            coder = self._coders[name] = state._value_coder.get_impl()
        return b"".join(map(coder.encode_nested, elements))

    def _put_away(self) -> None:
        """Keeps the current key's states, which its use may have opened; from here on there is no current key."""
        if self._field is None:
            return
        states = self._keys[self._field].states
        for name, state in self._backend._all_states.items():
            if state._internal_state is not None:
                states[name] = state._internal_state
        self._field = None
