"""A market's rules: hours, days, price bands, circuit breakers, thresholds of the alerts; all of it data.

Rules that changed over the years carry the day from which they hold; :meth:`MarketRules.on` picks those of a day.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Annotated, Literal, Self, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from state.drift import SLICE_MINUTES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
WEEKDAYS: tuple[Weekday, ...] = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

DAY_MS = 86_400_000


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _DatedRule(_Rule):
    from_day: Annotated[date, Field(alias="from")]


R = TypeVar("R", bound=_DatedRule)


class SymbolRules(_Rule):
    """What symbols look like, and which one is the index."""

    pattern: str
    index: str | None = None

    @field_validator("pattern")
    @classmethod
    def _pattern_is_a_regular_expression(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
        return pattern


class Limits(_Rule):
    """The highest believable price (rupees) and volume (shares) of one trade."""

    max_price: float = Field(gt=0)
    max_volume: int = Field(gt=0)


class TradeGroups(_Rule):
    """Where a trade id names the contract group, as a slice of its digits, and how many groups there are."""

    from_digit: int
    to_digit: int
    count: int


class SessionHours(_DatedRule):
    """Trading days and hours, local time."""

    days: list[Weekday]
    pre_open: time
    open: time
    close: time


class PriceBand(_DatedRule):
    """Furthest distance from the previous close, as a fraction of it."""

    limit: float = Field(gt=0)
    pre_open_limit: float = Field(gt=0)


class BreakerStep(_Rule):
    """One circuit breaker: a move of the index, as a fraction, and the halt that follows (0: rest of the day)."""

    move: float = Field(gt=0)
    before: time
    halt_minutes: int = Field(ge=0)


class IndexBreakers(_DatedRule):
    """The circuit-breaker table."""

    steps: list[BreakerStep]


class PriceGrid(_Rule):
    """Smallest price steps, in rupees."""

    coarse: float
    fine: float


class TradingHaltRule(_Rule):
    """Seconds of silence of the whole market, in session, that count as a halt."""

    silence_s: float = Field(gt=0)


class BreakoutRule(_Rule):
    """Closed minutes whose range a price must leave; seconds between two alerts of a symbol."""

    minutes: int = Field(gt=1)
    cooldown_s: float


class VolatilitySpikeRule(_Rule):
    """How many times the day's usual move the last 20 moves must be."""

    ratio: float
    min_ticks: int
    cooldown_s: float


class VolumeSpikeRule(_Rule):
    """Standard deviations above the last 20 trades' mean volume."""

    z_score: float
    min_ticks: int
    cooldown_s: float


class DriftRule(_Rule):
    """Minutes with trades that are compared with the training, and how long a shift must last; in steps of 5."""

    window_minutes: int = Field(gt=0, multiple_of=SLICE_MINUTES)
    hold_minutes: int = Field(gt=0, multiple_of=SLICE_MINUTES)


class AlertRules(_Rule):
    """Thresholds of all alerts that are not the exchange's own rules."""

    trading_halt: TradingHaltRule
    breakout: BreakoutRule
    volatility_spike: VolatilitySpikeRule
    volume_spike: VolumeSpikeRule
    drift: DriftRule


@dataclass(frozen=True, slots=True)
class TradingDay:
    """One calendar day of the market.

    Attributes:
        day: The local date.
        start, end: Its midnight and the next, epoch ms.
        pre_open, open, close: Epoch ms.
        is_trading_day: Whether the market is open on this day of the week.
        band: Price band of continuous trading, a fraction of the previous close.
        breakers: The circuit-breaker table.
    """

    day: date
    start: int
    end: int
    pre_open: int
    open: int
    close: int
    is_trading_day: bool
    band: float
    breakers: tuple[BreakerStep, ...]

    def in_session(self, moment: int) -> bool:
        """Whether the market is in continuous trading at this moment (epoch ms)."""
        return self.is_trading_day and self.open <= moment < self.close


class MarketRules(_Rule):
    """All rules of one market, as its YAML file states them."""

    name: str
    timezone: str
    symbols: SymbolRules
    limits: Limits
    trade_groups: TradeGroups
    sessions: list[SessionHours]
    price_bands: list[PriceBand]
    index_breakers: list[IndexBreakers]
    price_grid: PriceGrid
    alerts: AlertRules

    @field_validator("timezone")
    @classmethod
    def _timezone_is_known(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{timezone!r} is no time zone such as Asia/Kathmandu") from None
        return timezone

    @model_validator(mode="after")
    def _dated_rules_are_in_order(self) -> Self:
        for rules in (self.sessions, self.price_bands, self.index_breakers):
            days = [rule.from_day for rule in rules]
            if not days or days != sorted(set(days)):
                raise ValueError("rules with a `from` must be in order of their days, at least one of each kind")
        return self

    def on(self, day: date) -> TradingDay:
        """The rules in force on a local date (the earliest ones for days before all of them)."""
        hours = _in_force(self.sessions, day)
        midnight = datetime.combine(day, time(), ZoneInfo(self.timezone))

        def at(local: time) -> int:
            return int(datetime.combine(day, local, midnight.tzinfo).timestamp() * 1000)

        return TradingDay(
            day=day,
            start=int(midnight.timestamp() * 1000),
            end=int((midnight + timedelta(days=1)).timestamp() * 1000),
            pre_open=at(hours.pre_open),
            open=at(hours.open),
            close=at(hours.close),
            is_trading_day=WEEKDAYS[day.weekday()] in hours.days,
            band=_in_force(self.price_bands, day).limit,
            breakers=tuple(_in_force(self.index_breakers, day).steps),
        )


class TradingCalendar:
    """Finds a moment's trading day; remembers the last one, which nearly every call asks for."""

    def __init__(self, rules: MarketRules) -> None:
        self._rules = rules
        self._zone = ZoneInfo(rules.timezone)
        self._day: TradingDay | None = None

    def day_of(self, event_time: int) -> TradingDay:
        """The local calendar day that holds this moment (epoch ms)."""
        day = self._day
        if day is None or not day.start <= event_time < day.end:
            local = datetime.fromtimestamp(event_time / 1000, self._zone).date()
            day = self._rules.on(local)
            self._day = day
        return day


def load_rules(path: Path) -> MarketRules:
    """Reads and checks a market's file.

    Raises:
        ValueError: When the file is missing, no YAML, or states no valid rules; the text says which and where.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"the market's rules can't be read: {error}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    try:
        return MarketRules.model_validate(content)
    except ValidationError as error:
        wrong = (f"{'.'.join(map(str, one['loc'])) or 'the file'}: {one['msg']}" for one in error.errors())
        raise ValueError(f"{path} states no valid rules of a market: {'; '.join(wrong)}") from error


def _in_force(rules: Sequence[R], day: date) -> R:
    chosen = rules[0]
    for rule in rules:
        if rule.from_day <= day:
            chosen = rule
    return chosen
