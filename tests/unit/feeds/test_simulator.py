"""The simulated day against figures measured on 64 real days of NEPSE in the spring of 2024."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import islice

import numpy as np
import pandas as pd
import pytest

from feeds.simulator.day import DayParameters, closing_prices, simulate_day
from feeds.simulator.days import trading_days
from feeds.simulator.faults import Faults
from feeds.simulator.source import TYPICAL_SYMBOLS, SimulatedDay
from feeds.simulator.universe import Universe, make_universe
from feeds.source import RawMessage
from state.tick import BadTickError, Tick, TickParser, encode_tick

DAY = date(2024, 7, 21)
MIDNIGHT_US = int(datetime(2024, 7, 20, 18, 15, tzinfo=UTC).timestamp()) * 1_000_000
AUCTION_END_S, OPEN_S, CLOSE_S = 10.8 * 3600, 11 * 3600, 15 * 3600


@cache
def universe() -> Universe:
    return make_universe(TYPICAL_SYMBOLS, 1)


@cache
def day(seed: int = 1, *, halt: bool = False, trades: int = 60_000) -> pd.DataFrame:
    made = simulate_day(universe(), DayParameters(DAY, trades, seed, halt=halt))
    return made.assign(second=(made["event_time_us"] - MIDNIGHT_US) / 1e6)


def continuous(trades: pd.DataFrame) -> pd.DataFrame:
    return trades[trades["second"] >= OPEN_S].sort_values(["symbol", "event_time_us"])


def lateness_ms(trades: pd.DataFrame, newest: pd.Series) -> np.ndarray:
    return (newest.to_numpy() - trades["event_time_us"].to_numpy()) / 1000


def messages(faults: Faults, trades: int = 20_000) -> list[Tick | RawMessage]:
    return list(SimulatedDay(universe(), DayParameters(DAY, trades, 1, halt=True), faults))


def as_bytes(message: Tick | RawMessage) -> bytes:
    return encode_tick(message) if isinstance(message, Tick) else bytes(message.value or b"")


def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not() -> None:
    faults = Faults(duplicates=3, late=3, malformed=7)

    def sent(seed: int) -> list[bytes]:
        source = SimulatedDay(make_universe(50, seed), DayParameters(DAY, 2_000, seed, halt=True), faults)
        return [as_bytes(message) for message in source]

    assert sent(4) == sent(4)
    assert sent(4) != sent(5)


def test_days_of_one_seed_differ() -> None:
    next_day = simulate_day(universe(), DayParameters(DAY + timedelta(days=1), 60_000, 1, halt=False))
    assert not np.array_equal(next_day["price"], day()["price"])


@pytest.mark.parametrize("trades", [1, 2, 50, 12_345, 110_000])
@pytest.mark.parametrize("symbols", [1, TYPICAL_SYMBOLS])
def test_a_day_has_exactly_the_trades_asked_for(trades: int, symbols: int) -> None:
    made = simulate_day(make_universe(symbols, 1), DayParameters(DAY, trades, 1, halt=True))
    assert len(made) == trades
    assert made["trade_id"].is_unique
    assert (made["price"] > 0).all()
    assert (made["volume"] > 0).all()


def test_as_many_symbols_trade_as_on_a_real_day() -> None:
    assert 272 <= day()["symbol"].nunique() <= 340


def test_few_symbols_make_most_of_the_trades() -> None:
    counts = day()["symbol"].value_counts()
    assert 0.015 < counts.iloc[0] / len(day()) < 0.045, "real: .023 to .04"
    assert np.log(counts).std() == pytest.approx(1.72, abs=0.25)


def test_the_auction_prints_up_to_890_trades_in_one_second() -> None:
    auction = day()[day()["second"] < AUCTION_END_S]
    assert Counter(auction["second"].astype(int)).most_common(1)[0][1] == 890
    assert auction["second"].min() >= 10.75 * 3600
    assert auction["second"].max() <= 10 * 3600 + 46 * 60 + 0.6
    assert not day()["second"].between(AUCTION_END_S, OPEN_S, inclusive="left").any()


def test_the_session_is_busy_at_its_end_and_a_second_never_busier_than_real_ones() -> None:
    seconds = continuous(day())["second"]
    by_five_minutes = np.histogram(seconds, bins=48, range=(OPEN_S, CLOSE_S))[0]
    middle = by_five_minutes[12:36].mean()
    assert by_five_minutes[-1] > 2.5 * middle, "real: 4.3 times"
    assert by_five_minutes[-6:].mean() > 1.5 * middle
    per_second = np.bincount((seconds - OPEN_S).astype(int))
    assert 80 < per_second.max() < 393
    assert 3 < per_second.var() / per_second.mean() < 16, "real: 5 to 7; independent trades would give 1"


def test_a_few_trades_close_up_to_six_milliseconds_after_the_session() -> None:
    after = day()["second"][day()["second"] >= CLOSE_S]
    assert 1 <= len(after) <= 8
    assert after.max() <= CLOSE_S + 0.0063


def test_orders_run_through_several_trades() -> None:
    gaps = continuous(day()).groupby("symbol")["event_time_us"].diff()
    assert (gaps < 100_000).mean() == pytest.approx(0.43, abs=0.05)
    assert gaps[gaps < 20_000].median() == pytest.approx(102, abs=25), "µs"
    assert (gaps > 0).sum() == gaps.notna().sum(), "no two trades of a symbol in the same µs"


def test_prices_bounce_between_bid_and_ask() -> None:
    trades = continuous(day())
    is_new_order = ~(trades.groupby("symbol")["event_time_us"].diff() < 20_000)
    firsts = trades[is_new_order]
    moves = np.sign(firsts["price"].to_numpy() - trades.groupby("symbol")["price"].shift()[is_new_order].to_numpy())
    moved = firsts.assign(move=moves)
    moved = moved[moved["move"].abs() == 1]
    before = moved.groupby("symbol")["move"].shift()
    reversals = (moved["move"] * before)[before.notna()] < 0
    assert reversals.mean() == pytest.approx(0.61, abs=0.06), "without a bounce it would be .5"


def test_half_of_the_trades_leave_the_price_where_it_was() -> None:
    moves = continuous(day()).groupby("symbol")["price"].diff().dropna()
    assert (moves == 0).mean() == pytest.approx(0.51, abs=0.06)


def test_shares_are_priced_in_tenths_and_funds_in_hundredths() -> None:
    grids = pd.Series(universe().grids, index=universe().symbols)
    steps = day()["price"] / day()["symbol"].map(grids)
    assert np.abs(steps - steps.round()).max() < 1e-6
    funds = day()[day()["symbol"].map(grids) == 0.01]
    assert (np.abs(funds["price"] * 10 - (funds["price"] * 10).round()) > 1e-6).any()


def test_no_price_leaves_the_band_of_ten_per_cent() -> None:
    closes = pd.Series(universe().closes, index=universe().symbols)
    for trades in (day(), day(halt=True)):
        assert (np.abs(trades["price"] / trades["symbol"].map(closes) - 1) <= 0.1 + 1e-9).all()


def test_quantities_are_mostly_board_lots_with_a_few_odd_ones() -> None:
    volumes = day()["volume"]
    assert (volumes == 10).mean() == pytest.approx(0.242, abs=0.03)
    assert (volumes < 10).mean() == pytest.approx(0.0047, abs=0.002)
    assert volumes.median() == pytest.approx(50, abs=15)
    assert volumes.quantile(0.99) == pytest.approx(1400, rel=0.35)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_arrival_is_as_disordered_as_it_really_is(seed: int) -> None:
    trades = day(seed)
    late = lateness_ms(trades, trades["event_time_us"].cummax())
    assert (late > 0).mean() == pytest.approx(0.0224, abs=0.012)
    assert 1 < np.median(late[late > 0]) < 100, "ms; real: 5.7, single days 3 to 205"
    assert 700 < np.quantile(late[late > 0], 0.99) < 6_000, "ms; real: 2,500, single days 800 to 12,000"
    assert late.max() < 14_500
    within_symbol = lateness_ms(trades, trades.groupby("symbol")["event_time_us"].cummax())
    assert (within_symbol > 0).mean() == pytest.approx(0.0026, abs=0.0018)


def test_trade_ids_are_the_exchange_s() -> None:
    ids = day()["trade_id"]
    assert ids.is_unique
    assert ids.str.fullmatch(r"20240721(01|03|04|05)\d{6}").all()
    group = ids.str[8:10]
    assert len(set(zip(day()["symbol"], group, strict=True))) == day()["symbol"].nunique(), (
        "a symbol stays in one group"
    )
    in_time = ids[day()["event_time_us"].argsort(kind="stable")]
    assert in_time.groupby(in_time.str[8:10]).apply(lambda texts: texts.is_monotonic_increasing).all()


def test_a_halt_silences_the_whole_market_for_twenty_minutes() -> None:
    seconds = np.sort(day(halt=True)["second"])
    gaps = np.diff(seconds[seconds >= OPEN_S])
    assert 1200 <= gaps.max() < 1215
    assert np.sort(gaps)[-2] < 60, "there is one halt"
    assert np.diff(np.sort(continuous(day())["second"])).max() < 60, "and none where none is asked for"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_market_has_risen_by_four_per_cent_when_it_is_halted_and_by_less_than_five_afterwards(seed: int) -> None:
    trades = continuous(day(seed, halt=True)).sort_values("event_time_us")
    resumed = int(np.argmax(np.diff(trades["second"], prepend=OPEN_S) > 1000))
    closes = pd.Series(universe().closes, index=universe().symbols)

    def rise(part: pd.DataFrame) -> float:
        """Turnover-weighted rise of the last prices over the previous closes."""
        last = part.groupby("symbol")["price"].last()
        turnover = (part["price"] * part["volume"]).groupby(part["symbol"]).sum()
        return float(np.average(last / closes[last.index] - 1, weights=turnover))

    assert 0.035 < rise(trades.iloc[:resumed]) < 0.05
    assert rise(trades[trades["second"] < 13 * 3600]) < 0.05
    assert trades["second"].iloc[resumed - 1] < 12 * 3600, "a 20-minute halt is one before noon"


def test_breadth_foretells_prices() -> None:
    """The sign of the market's breadth over a minute is right more often than a coin, on most days."""
    right = []
    for seed in (1, 2, 3, 4):
        trades = continuous(day(seed))
        minutes = trades.assign(minute=((trades["second"] - OPEN_S) // 20).astype(int))
        last = minutes.pivot_table(index="minute", columns="symbol", values="price", aggfunc="last").ffill()
        breadth = np.sign(last.diff(3)).sum(axis=1)
        after = trades.groupby("symbol", group_keys=False)[["second", "price"]].apply(_price_a_minute_later)
        outcome = np.sign(after - trades["price"])
        forecast = np.sign(minutes["minute"].sub(1).map(breadth))
        scored = (outcome != 0) & (forecast != 0) & forecast.notna()
        right.append((outcome[scored] == forecast[scored]).mean())
    assert np.mean(right) > 0.52, f"{right}; real: .53 to .65"


def _price_a_minute_later(trades: pd.DataFrame) -> pd.Series:
    seconds = trades["second"].to_numpy()
    last = np.searchsorted(seconds, seconds + 60, side="right") - 1
    return pd.Series(trades["price"].to_numpy()[last], index=trades.index)


def test_the_next_day_starts_from_the_closing_prices() -> None:
    closes = closing_prices(universe(), day())
    tomorrow = universe().after(closes)
    traded = ~np.isnan(closes)
    assert np.array_equal(tomorrow.closes[traded], closes[traded])
    assert np.array_equal(tomorrow.closes[~traded], universe().closes[~traded])
    assert (tomorrow.closes > 0).all()


def test_days_in_a_row_are_trading_days_with_trades_of_their_own() -> None:
    thursday = date(2024, 7, 25)
    days = list(islice(trading_days(make_universe(30, 1), thursday, 500, 1), 3))
    assert [day for day, _ in days] == [thursday, date(2024, 7, 28), date(2024, 7, 29)]
    for day, ticks in days:
        assert len(ticks) == 500
        assert {datetime.fromtimestamp(tick.event_time / 1000, UTC).date() for tick in ticks} == {day}
    assert len({tick.trade_id for _, ticks in days for tick in ticks}) == 1500


def test_duplicates_come_shortly_after_their_originals_and_are_equal_to_them() -> None:
    sent = messages(Faults(duplicates=9))
    assert len(sent) == 20_009
    places: dict[Tick | RawMessage, list[int]] = {}
    for place, message in enumerate(sent):
        places.setdefault(message, []).append(place)
    repeated = [found for found in places.values() if len(found) > 1]
    assert len(repeated) == 9
    assert all(0 < again - first <= 60 for first, again in repeated)


def test_late_ticks_arrive_when_the_market_is_more_than_fifteen_seconds_ahead() -> None:
    newest, late = 0, []
    for tick in messages(Faults(late=6)):
        newest = max(newest, tick.event_time)
        late.append(newest - tick.event_time)
    assert sum(behind > 15_000 for behind in late) == 6
    assert max(late) <= 120_000


def test_every_kind_of_malformed_message_is_refused_by_the_job_s_parser() -> None:
    sent = messages(Faults(malformed=7))
    parser = TickParser(r"[A-Z0-9]+", max_price=1e6, max_volume=10**8)
    reasons = set()
    for message in sent:
        if isinstance(message, RawMessage):
            with pytest.raises(BadTickError) as refused:
                parser.parse(message.value, message.event_time)
            reasons.add(str(refused.value).split("'")[0][:30])
        else:
            assert parser.parse(encode_tick(message), 0) == message
    assert len([message for message in sent if isinstance(message, RawMessage)]) == 7
    assert len(reasons) >= 6, f"the kinds differ: {reasons}"


def test_the_total_counts_every_message() -> None:
    source = SimulatedDay(universe(), DayParameters(DAY, 5_000, 1, halt=False), Faults(2, 3, 4))
    assert source.total == len(list(source)) == 5_006


@pytest.mark.parametrize("faults", [Faults(duplicates=11), Faults(late=11), Faults(malformed=11)])
def test_a_day_too_short_for_its_faults_is_refused(faults: Faults) -> None:
    with pytest.raises(ValueError, match="trades"):
        SimulatedDay(universe(), DayParameters(DAY, 10, 1, halt=False), faults)
