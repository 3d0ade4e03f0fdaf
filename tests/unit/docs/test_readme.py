"""README.md against the project: what it tells the reader to type, set and open must be there."""

from __future__ import annotations

import importlib
import re
import shlex
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import typer
from typer.core import TyperGroup

from console.main import VERBS
from console.reference import setting_variables
from jobs.settings import PROJECT_ROOT, KafkaSettings, Settings
from jobs.topics import Topic, topic_name
from state.features import FEATURE_COUNT, MARKET_COUNT, OWN_COUNT
from state.rules import load_rules
from state.tick import TickParser
from udfs.manifest import CLASSES

if TYPE_CHECKING:
    from pathlib import Path

README = (PROJECT_ROOT / "README.md").read_text("utf-8")
PAGES = [PROJECT_ROOT / "README.md", *sorted((PROJECT_ROOT / "docs").rglob("*.md"))]
VARIABLES = sorted({name for page in PAGES for name in re.findall(r"TICKCAST_[A-Z_]+", page.read_text("utf-8"))})


def typed_commands() -> list[str]:
    """What follows `tickcast` in the examples and in the text."""
    examples = "".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))
    spoken = re.findall(r"`(tickcast [a-z][^`]*)`", README)
    lines = [*examples.splitlines(), *(" ".join(command.split()) for command in spoken)]
    calls = (re.search(r"(?:^| )(?:\.venv/bin/)?tickcast ([a-z].*)", line) for line in lines if "kubectl" not in line)
    return sorted({call[1].partition(" #")[0].strip() for call in calls if call})


def command_behind(verb: str) -> Any:
    target = getattr(importlib.import_module(VERBS[verb].module), VERBS[verb].attribute)
    if not isinstance(target, typer.Typer):
        app = typer.Typer(add_completion=False)
        app.command()(target)
        target = app
    return typer.main.get_command(target)


@pytest.mark.parametrize("call", typed_commands())
def test_a_command_of_the_readme_is_one_that_tickcast_takes(call: str) -> None:
    verb, *arguments = shlex.split(call)
    assert verb in VERBS, f"`tickcast {call}` is in the README, the verb is not in tickcast"
    command = command_behind(verb)
    if isinstance(command, TyperGroup):
        part, *arguments = arguments
        command = command.commands[part]
    if command.params and not arguments and any(parameter.required for parameter in command.params):
        return  # named in the text, without what it works on
    command.make_context(verb, arguments)


def test_the_readme_shows_how_to_run_the_stack_the_job_and_a_feed() -> None:
    verbs = {call.split()[0] for call in typed_commands()}
    assert {"up", "submit", "feed", "tail", "verify", "stop", "down", "train", "evaluate"} <= verbs


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_variable_of_the_pages_is_a_setting(variable: str) -> None:
    assert variable in dict(setting_variables())


def test_every_make_target_of_the_readme_is_there() -> None:
    named = set(re.findall(r"\bmake ([a-z]+)", "\n".join(re.findall(r"`[^`]*`|```sh.*?```", README, re.DOTALL))))
    assert {"demo", "test", "down"} <= named
    assert named <= set(re.findall(r"^([a-z]+):", (PROJECT_ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_links_to_is_there(page: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8")) if "://" not in link]
    assert links
    for link in links:
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), link
        if anchor:
            assert re.search(rf"^#+ {anchor}$", target.read_text("utf-8"), re.MULTILINE | re.IGNORECASE), link


def test_the_topology_of_the_readme_is_the_jobs() -> None:
    excerpt = README.partition("```python\n")[2].partition("```")[0]
    assert excerpt.strip()
    assert excerpt in (PROJECT_ROOT / "jobs" / "pipeline.py").read_text("utf-8")


def test_the_readme_lists_every_topic_and_no_other() -> None:
    table = README.partition("\n## Topics\n")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE)
    assert sorted(listed) == sorted(topic_name(topic, KafkaSettings()) for topic in Topic)


def test_the_readme_counts_the_features_rightly() -> None:
    counts = f"[{FEATURE_COUNT} features](docs/features.md): {OWN_COUNT} of the symbol, {MARKET_COUNT} of the market"
    assert counts in " ".join(README.split())


def test_the_example_is_a_valid_tick_and_what_could_become_of_it() -> None:
    tick, prediction = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
    rules = load_rules(Settings().market.rules_file)
    parser = TickParser(rules.symbols.pattern, rules.limits.max_price, rules.limits.max_volume)
    given, answered = parser.parse(tick.encode(), record_time=0), orjson.loads(prediction)

    assert [answered[name] for name in ("symbol", "event_time", "trade_id", "price")] == [
        given.symbol, given.event_time, given.trade_id, given.price,
    ]  # fmt: skip
    probabilities = {name: answered[f"p_{name}"] for name in CLASSES}
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-6)
    assert answered["direction"] == max(probabilities, key=probabilities.__getitem__)
    assert answered["market_time"] == (given.event_time // 1000 - Settings().market.lag_s) * 1000
