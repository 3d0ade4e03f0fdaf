"""The topology as Flink's web UI and its savepoints see it, without running it."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyflink.datastream import StreamExecutionEnvironment

    from jobs.settings import Settings

pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]


class Operator(NamedTuple):
    name: str
    uid: str | None


@pytest.fixture(scope="module")
def operators(
    make_environment: Callable[[Settings], StreamExecutionEnvironment], make_deployment: Callable[..., Settings]
) -> list[Operator]:
    from jobs.pipeline import build_pipeline  # noqa: PLC0415 - imports PyFlink

    settings = make_deployment()
    env = make_environment(settings)
    build_pipeline(env, settings)
    graph = env._j_stream_execution_environment.getStreamGraph(False)
    nodes = sorted(graph.getStreamNodes().toArray(), key=lambda node: node.getId())
    return [Operator(node.getOperatorName(), node.getTransformationUID()) for node in nodes]


def test_every_operator_has_a_uid_of_its_own_that_no_planner_has_numbered(operators: list[Operator]) -> None:
    uids = Counter(operator.uid for operator in operators)
    assert None not in uids
    assert set(uids.values()) == {1}
    assert not [uid for uid in uids if re.search(r"^\d|\d$|\[", str(uid))]


def test_every_operator_has_a_name_that_reads_well(operators: list[Operator]) -> None:
    names = [operator.name for operator in operators]
    assert not [name for name in names if re.search(r"\[|\d|Calc|Join|Conversion|Aggregate|^Map$|^Process$", name)]
    assert not [name for name, count in Counter(names).items() if count > 1]


def test_the_names_follow_the_way_of_a_tick(operators: list[Operator]) -> None:
    names = [operator.name for operator in operators]
    way = [
        "market snapshots",
        "Source: ticks",
        "symbol memory and features",
        "live scores and drift",
        "symbol_results: Writer",
        "market_results: Writer",
    ]
    assert [name for name in names if name in way] == way


def test_no_element_takes_a_detour_through_a_python_worker(operators: list[Operator]) -> None:
    """Helpers of PyFlink's own that do: a map behind every side output, one before every key."""
    assert not [operator for operator in operators if re.search(r"Map|key_by|KEY_BY|_stream_key", operator.name)]
