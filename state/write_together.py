"""One wait for all of a bundle's state writes instead of one for each key.

At a bundle's end the engine writes back the state of every key that has changed, and waits for each answer before it
sends the next write: a round trip between two processes for each symbol that a bundle touches. Here all writes are
sent, then all answers are waited for: the bundle still ends only when everything is written.
"""

# ruff: noqa: SLF001 - PyFlink has no public way to this
from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyflink.datastream import RuntimeContext

_ANSWER_S = 60.0


class StateWriteError(RuntimeError):
    """The engine did not take a state write; it restarts the job from its last checkpoint."""


def write_together(runtime_context: RuntimeContext) -> None:
    """Makes the keyed state of this operator be written in one go at the end of each bundle.

    It reaches into PyFlink 2.2, whose version is fixed; only states that are lists of bytes, as ours are, change their
    way.

    Args:
        runtime_context: The operator's, in `open`.
    """
    backend = getattr(runtime_context, "_keyed_state_backend", None)
    if backend is not None:
        backend.commit = lambda: _commit(backend)


def _commit(backend: Any) -> None:
    states = list(backend._internal_state_cache)
    states += [
        state._internal_state
        for name, state in backend._all_states.items()
        if (name, backend._encoded_current_key, backend._encode_namespace(state.namespace))
        not in backend._internal_state_cache
    ]
    answers = []
    for state in states:
        if state is None:
            continue
        if not hasattr(state, "_added_elements"):
            backend.commit_internal_state(state)
            continue
        handler, key = state._state_handler, state._state_key
        if state._cleared:
            answers.append(handler.clear(key))
        if state._added_elements:
            answers.append(handler.extend(key, state._value_coder.get_impl(), state._added_elements))
        state._cleared, state._added_elements = False, []
    for answer in answers:
        if not answer.wait(_ANSWER_S):
            raise StateWriteError(f"a state write had no answer for {_ANSWER_S:.0f} s")
        if error := answer.get().error:
            raise StateWriteError(f"a state write was refused: {error}")
