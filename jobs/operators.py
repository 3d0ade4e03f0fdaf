"""Uids and names of the operators that the SQL planner makes.

The planner numbers its operators and takes the number into their uids: with one more query, every operator would look
for its state in a savepoint under the number of another. Here each gets a uid out of what it does and for whom, and a
name for the reader of the web UI. PyFlink's public API reaches none of these operators. Tried with PyFlink 2.2.1;
`tests/pipeline` fails where another version changes it.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from pyflink.util.java_utils import get_field_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pyflink.datastream import StreamExecutionEnvironment

_PLANNERS_NUMBER = re.compile(r"\[\d+\]$")
_CONNECTIONS = {"PartitionTransformation", "SideOutputTransformation", "UnionTransformation"}

_FINISHED = "market snapshots (input 1)"
_COMMANDS = "market snapshots (input 2)"
_TICKS = "symbol memory and features (input 1)"
_WAKE_UPS = "symbol memory and features (input 2)"
_SNAPSHOTS = "symbol memory and features (input 3)"
_TO_SCORES = "live scores and drift"
_TO_MARKET = "market_results"

_NAMES = {
    "Calc, WindowAggregate": "valid trades",
    "WindowAggregate": "each symbol's seconds",
    "Calc, LocalWindowAggregate": "summaries of symbols",
    "LocalWindowAggregate": "seconds of a subtask",
    "GlobalWindowAggregate": "the market's seconds",
    f"Calc, SinkConversion, {_FINISHED}": "finished seconds",
    f"SinkConversion, {_FINISHED}": "seconds for the market",
    f"Calc, SinkConversion, {_COMMANDS}": "commands to the models",
    f"SinkConversion, {_COMMANDS}": "commands for the market",
    f"market_stream, Calc, WatermarkAssigner, Calc, SinkConversion, {_SNAPSHOTS}": "snapshots for the symbols",
    f"Calc, WatermarkAssigner, Calc, SinkConversion, {_SNAPSHOTS}": "times of these snapshots",
    f"WatermarkAssigner, Calc, SinkConversion, {_SNAPSHOTS}": "watermark of these snapshots",
    f"Calc, SinkConversion, {_SNAPSHOTS}": "columns of these snapshots",
    f"SinkConversion, {_SNAPSHOTS}": "snapshots for every subtask",
    f"Calc, SinkConversion, {_TICKS}": "symbol of each message",
    f"SinkConversion, {_TICKS}": "messages",
    "wake_ups_stream": "wake-ups of the symbols",
    f"Calc, WatermarkAssigner, Calc, SinkConversion, {_WAKE_UPS}": "times of these wake-ups",
    f"WatermarkAssigner, Calc, SinkConversion, {_WAKE_UPS}": "watermark of these wake-ups",
    f"Calc, SinkConversion, {_WAKE_UPS}": "messages of these wake-ups",
    f"SinkConversion, {_WAKE_UPS}": "wake-ups",
    f"Calc, SinkConversion, {_TO_SCORES}": "what outcomes add",
    f"SinkConversion, {_TO_SCORES}": "sums of outcomes",
    "Correlate": "each result",
    "Calc, symbol_results": "messages of symbols",
    f"market_stream, Calc, WatermarkAssigner, Calc, {_TO_MARKET} (input 1)": "snapshots to write",
    f"Calc, WatermarkAssigner, Calc, {_TO_MARKET} (input 1)": "times of snapshots to write",
    f"WatermarkAssigner, Calc, {_TO_MARKET} (input 1)": "watermark of snapshots to write",
    f"Calc, {_TO_MARKET} (input 1)": "messages of snapshots",
    f"Calc, {_TO_MARKET} (input 2)": "messages of scores",
    f"Calc, {_TO_MARKET} (input 3)": "messages of market alerts",
    f"Calc, {_TO_MARKET} (input 4)": "messages of drift alerts",
}
"""Names of the operators whose own says little; the others keep theirs, without the planner's number."""


class _Consumer(NamedTuple):
    """Who takes an operator's output, and as which of its inputs; 0 where it has one only."""

    number: int
    port: int


def name_operators(env: StreamExecutionEnvironment) -> None:
    """Gives every operator of the environment a uid of its own that stays, and a name that reads well."""
    operators, consumers = _graph(env)
    bases = {number: _own_name(operator) for number, operator in operators.items()}
    occurrences = Counter(bases.values())

    def uid(number: int, port: int = 0) -> str:
        text = bases[number] + (f" (input {port})" if port else "")
        if occurrences[bases[number]] == 1 or number not in consumers:
            return text
        return f"{text}, {uid(*consumers[number])}"

    for number, operator in operators.items():
        given, own = operator.getUid(), uid(number)
        operator.setName(_NAMES.get(own, bases[number]))
        if given is None or given[0].isdigit():
            operator.setUid(own)


def _own_name(operator: Any) -> str:
    """An operator's name without the planner's number."""
    return _PLANNERS_NUMBER.sub("", operator.getName())


def _graph(env: StreamExecutionEnvironment) -> tuple[dict[int, Any], dict[int, _Consumer]]:
    """The environment's operators by their numbers, and the first consumer of each."""
    operators: dict[int, Any] = {}
    consumers: dict[int, _Consumer] = {}
    waiting = list(get_field_value(env._j_stream_execution_environment, "transformations"))  # noqa: SLF001
    while waiting:
        operator = waiting.pop(0)
        if operator.getId() in operators:
            continue
        operators[operator.getId()] = operator
        for producer, port in _producers(operator):
            consumers.setdefault(producer.getId(), _Consumer(operator.getId(), port))
            waiting.append(producer)
    return operators, consumers


def _producers(operator: Any) -> Iterator[tuple[Any, int]]:
    """The operators before one, across what only connects them, and as which of its inputs."""
    producers = list(_across(operator.getInputs()))
    for port, producer in enumerate(producers, start=1):
        yield producer, port if len(producers) > 1 else 0


def _across(inputs: Iterable[Any]) -> Iterator[Any]:
    """The operators that inputs come from, in order."""
    for found in inputs:
        if _connects(found):
            yield from _across(found.getInputs())
        else:
            yield found


def _connects(transformation: Any) -> bool:
    return transformation.getClass().getSimpleName() in _CONNECTIONS
