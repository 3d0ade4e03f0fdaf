"""Each rule by itself, through the state that asks it: thresholds, rest after an alert, and what is said."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from state.symbol_alerts import Alert
    from state.symbol_state import SymbolState


class Watched:
    """A symbol, and the alerts of one rule."""

    def __init__(self, state: SymbolState, start: int, rule: str) -> None:
        self.state = state
        self.start = start
        self.rule = rule
        self.count = 0

    def trade(self, seconds: float, price: float, volume: int = 10) -> list[Alert]:
        self.state.apply(self.start + round(seconds * 1000), price, volume, None, 3, self.count)
        self.count += 1
        return [alert for alert in self.state.take_alerts() if alert.rule == self.rule]

    def trades(self, prices: Iterable[float], *, first: int = 0, every: int = 1) -> list[Alert]:
        return [alert for i, price in enumerate(prices) for alert in self.trade((first + i) * every, price)]


@pytest.fixture
def watch(new_state: Callable[[], SymbolState], opening: Callable[[date], int]) -> Callable[[str], Watched]:
    return lambda rule: Watched(new_state(), opening(date(2024, 7, 2)), rule)


@pytest.fixture
def band(watch: Callable[[str], Watched]) -> Watched:
    """A symbol that closed at 500 rupees; its band is 10 %."""
    watched = watch("price_band")
    watched.state.previous_close = 5_000_000
    return watched


def test_without_a_previous_close_there_is_no_band(watch: Callable[[str], Watched]) -> None:
    assert watch("price_band").trades([500.0, 600.0, 300.0]) == []


@pytest.mark.parametrize(("inside", "at_band", "side"), [(549.7, 549.8, 1), (450.3, 450.2, -1)])
def test_a_price_within_half_a_per_cent_of_the_band_is_at_the_band(
    band: Watched, inside: float, at_band: float, side: int
) -> None:
    assert band.trade(0, inside) == []
    (alert,) = band.trade(1, at_band)
    assert (alert.event_time, alert.partition, alert.offset) == (band.start + 1000, 3, 1)
    assert (alert.threshold, alert.value) == pytest.approx((side * 0.1, at_band / 500 - 1))
    assert alert.message.startswith(f"NABIL is at its {'upper' if side > 0 else 'lower'} price band: ")


def test_the_band_speaks_once_until_the_price_leaves_it(band: Watched) -> None:
    assert [len(band.trade(i, price)) for i, price in enumerate((550.0, 550.0, 549.9, 540.0, 550.0))] == [1, 0, 0, 0, 1]


def test_the_other_side_of_the_band_is_another_alert(band: Watched) -> None:
    assert [alert.threshold for alert in band.trades([550.0, 450.0, 550.0])] == [0.1, -0.1, 0.1]


def closed_minutes(watched: Watched, count: int) -> None:
    """So many minutes between 495 and 505 rupees, the last one still open."""
    for minute in range(count):
        for second, price in ((0, 500.0), (20, 505.0), (40, 495.0)):
            watched.trade(60 * minute + second, price)


@pytest.mark.parametrize(("price", "edge"), [(505.1, 505.0), (494.9, 495.0)])
def test_a_price_beyond_the_range_of_20_closed_minutes_is_a_breakout(
    watch: Callable[[str], Watched], price: float, edge: float
) -> None:
    watched = watch("breakout")
    closed_minutes(watched, 20)
    (alert,) = watched.trade(20 * 60, price)
    assert (alert.threshold, alert.value) == (edge, price)
    assert alert.message == f"NABIL at {price} left the range of 20 minutes, 495 to 505"


@pytest.mark.parametrize("price", [505.0, 495.0, 500.0])
def test_a_price_at_the_edge_of_the_range_is_no_breakout(watch: Callable[[str], Watched], price: float) -> None:
    watched = watch("breakout")
    closed_minutes(watched, 20)
    assert watched.trade(20 * 60, price) == []


def test_19_closed_minutes_are_no_range_yet(watch: Callable[[str], Watched]) -> None:
    watched = watch("breakout")
    closed_minutes(watched, 19)
    assert watched.trade(19 * 60, 600.0) == []


def test_minutes_that_fell_out_of_the_range_no_longer_count(watch: Callable[[str], Watched]) -> None:
    watched = watch("breakout")
    watched.trade(0, 600.0)
    for minute in range(1, 21):
        watched.trade(60 * minute, 500.0)
    assert len(watched.trade(60 * 21, 501.0)) == 1


def test_a_breakout_rests_300_seconds_of_event_time(watch: Callable[[str], Watched]) -> None:
    watched = watch("breakout")
    closed_minutes(watched, 20)
    first = 20 * 60
    alerts = [watched.trade(first + seconds, 510.0 + seconds) for seconds in (0, 1, 299.999, 300, 301)]
    assert [len(one) for one in alerts] == [1, 0, 0, 1, 0]


def wavering(count: int, size: float) -> np.ndarray:
    """Prices around 500 rupees that jump by so much, up and down."""
    return 500.0 + size * (np.arange(count) % 2)


def test_a_symbol_that_suddenly_moves_ten_times_as_much_has_a_volatility_spike(
    watch: Callable[[str], Watched],
) -> None:
    watched = watch("volatility_spike")
    assert watched.trades(wavering(200, 0.1)) == []
    alerts = watched.trades(wavering(20, 1.0), first=200)
    assert len(alerts) == 1
    assert alerts[0].threshold == 6.0
    assert 6.0 < alerts[0].value < 11.0
    assert alerts[0].message == f"NABIL moves {alerts[0].value:.1f} times as much as usual"


def test_a_symbol_that_moves_as_always_has_no_volatility_spike_however_wild_it_is(
    watch: Callable[[str], Watched],
) -> None:
    assert watch("volatility_spike").trades(wavering(500, 20.0)) == []


def test_a_small_jump_in_a_lively_symbol_is_no_volatility_spike(watch: Callable[[str], Watched]) -> None:
    prices = [*wavering(100, 1.0), *(505.0 + wavering(100, 1.0) - 500.0)]
    assert watch("volatility_spike").trades(prices) == []


def test_a_volatility_spike_needs_60_trades_of_the_session(watch: Callable[[str], Watched]) -> None:
    early, later = watch("volatility_spike"), watch("volatility_spike")
    assert early.trades([*wavering(39, 0.1), *wavering(20, 20.0)]) == []
    assert len(later.trades([*wavering(40, 0.1), *wavering(20, 20.0)])) == 1


def test_a_symbol_that_has_never_moved_has_no_usual_move_to_outgrow(watch: Callable[[str], Watched]) -> None:
    assert watch("volatility_spike").trades([*[500.0] * 100, *wavering(19, 5.0)]) == []


def test_a_volatility_spike_rests_300_seconds_of_event_time(watch: Callable[[str], Watched]) -> None:
    watched = watch("volatility_spike")
    watched.trades(wavering(2_000, 0.1))
    times = [alert.event_time for alert in watched.trades(wavering(700, 10.0), first=2_000)]
    assert len(times) >= 2
    assert times[1] - times[0] == 300_000


def test_a_volume_ten_deviations_above_the_last_20_is_a_spike(watch: Callable[[str], Watched]) -> None:
    watched = watch("volume_spike")
    volumes = [90, 110] * 30  # mean 100, deviation 10
    for second, volume in enumerate(volumes):
        watched.trade(second, 500.0, volume)
    assert watched.trade(60, 500.0, 199) == []
    for second, volume in enumerate(volumes[:20], start=61):
        watched.trade(second, 500.0, volume)
    (alert,) = watched.trade(81, 500.0, 200)
    assert (alert.threshold, alert.value) == (10.0, 10.0)
    assert alert.message == "NABIL traded 200 shares at once, 10.0 deviations above the usual"


@pytest.mark.parametrize(("before", "alerts"), [(38, 0), (39, 1)])
def test_a_volume_spike_needs_40_trades_of_the_session(
    watch: Callable[[str], Watched], before: int, alerts: int
) -> None:
    watched = watch("volume_spike")
    for second in range(before):
        watched.trade(second, 500.0, 90 + second % 2)
    assert len(watched.trade(before, 500.0, 90_000)) == alerts


def test_a_volume_spike_rests_300_seconds_of_event_time(watch: Callable[[str], Watched]) -> None:
    watched = watch("volume_spike")
    raised = [
        second
        for second in range(1_000)
        if watched.trade(second, 500.0, 90_000 if second % 50 == 49 else 90 + second % 2)
    ]
    assert raised == [49, 349, 649, 949]


def test_a_block_trade_that_arrives_behind_is_a_volume_spike_too(watch: Callable[[str], Watched]) -> None:
    watched = watch("volume_spike")
    for second in range(60):
        watched.trade(second, 500.0, 90 + second % 2)
    (alert,) = watched.trade(57.5, 500.0, 90_000)
    assert alert.event_time == watched.start + 57_500


def test_a_new_session_forgets_ranges_and_rests(
    watch: Callable[[str], Watched], opening: Callable[[date], int]
) -> None:
    watched = watch("breakout")
    closed_minutes(watched, 20)
    assert len(watched.trade(20 * 60, 510.0)) == 1
    watched.start = opening(date(2024, 7, 3))
    closed_minutes(watched, 19)
    assert watched.trade(19 * 60, 700.0) == []
    assert len(watched.trade(20 * 60, 710.0)) == 1
