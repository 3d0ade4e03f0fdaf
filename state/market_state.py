"""The state of the whole market, second by second of event time.

Another pure fold: :meth:`MarketState.add` takes what each symbol did in one second, :meth:`MarketState.snapshot` sums
it up. A prediction is made with the snapshot of a few seconds before its trade.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import msgpack
import numpy as np

from state.features import COMMON_FEATURES, GROUP_FEATURES, MARKET_SPANS_S
from state.market_alerts import MarketAlert, MarketAlerts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from state.rules import MarketRules, TradingCalendar, TradingDay

_RING = max(MARKET_SPANS_S) + 1
_COMMON, _PER_GROUP = len(COMMON_FEATURES), len(GROUP_FEATURES)
_UNKNOWN_GROUP = np.full(_PER_GROUP, np.nan, np.float32)
_SHOWN = tuple(MARKET_SPANS_S.index(span) for span in (60, 120, 300))


class SymbolSecond(NamedTuple):
    """What one symbol did in one second.

    Attributes:
        symbol: Its ticker.
        price: Its last price, rupees.
        turnover: Rupees traded.
        trades: Number of trades.
        group: Contract group; -1 where unknown.
    """

    symbol: str
    price: float
    turnover: float
    trades: int
    group: int


@dataclass(slots=True)
class MarketSnapshot:
    """The market at the end of one second.

    Attributes:
        second: Epoch seconds; the snapshot holds all trades before `second + 1`.
        advancing, declining: Symbols whose price rose and fell over the last 60 s.
        trades, turnover: Of the last 60 s (turnover in rupees).
        returns: Turnover-weighted returns over 1, 2 and 5 minutes, ratios.
        index_return: The index, or the turnover-weighted proxy, against its reference; a ratio.
        index_is_proxy: Whether the feed carried no index.
        block: float32 vector of :func:`block_length`: the numbers the model sees, those of all groups.
    """

    second: int
    advancing: int
    declining: int
    trades: int
    turnover: float
    returns: tuple[float, float, float]
    index_return: float
    index_is_proxy: bool
    block: NDArray[np.float32]
    _columns: dict[int, bytes] = field(default_factory=dict, repr=False, compare=False)

    def columns(self, group: int) -> bytes:
        """The market features, float32, for a symbol of a contract group; -1: unknown."""
        known = self._columns.get(group)
        if known is None:
            known = self._columns[group] = columns_of(self.block, group)
        return known


def block_length(group_count: int) -> int:
    """Length of a snapshot's block: the features common to all, then each group's."""
    return _COMMON + _PER_GROUP * group_count


def columns_of(block: NDArray[np.float32], group: int) -> bytes:
    """The market features, float32, that a block has for a symbol of a contract group; -1: unknown."""
    start = _COMMON + group * _PER_GROUP
    own = block[start : start + _PER_GROUP] if group >= 0 and start < len(block) else _UNKNOWN_GROUP
    return block[:_COMMON].tobytes() + own.tobytes()


def market_columns(blocks: NDArray[np.float32], groups: NDArray[np.intp], group_count: int) -> NDArray[np.float32]:
    """The market features of rows of trades.

    Args:
        blocks: (n, block_length) snapshot blocks, one a trade.
        groups: (n,) contract group of each trade's symbol; -1 where unknown.
        group_count: Groups of the market.

    Returns:
        (n, MARKET_COUNT) in the order of `MARKET_FEATURES`.
    """
    known = (groups >= 0) & (groups < group_count)
    by_group = blocks[:, _COMMON:].reshape(len(blocks), group_count, _PER_GROUP)
    own = by_group[np.arange(len(blocks)), np.where(known, groups, 0)]
    return np.hstack((blocks[:, :_COMMON], np.where(known[:, np.newaxis], own, np.float32(np.nan))))


class MarketState:
    """Every symbol's last price and turnover over the last five minutes.

    Args:
        rules: The market's rules.
        calendar: Finds the trading day of a moment.
    """

    def __init__(self, rules: MarketRules, calendar: TradingCalendar) -> None:
        from state import market_kernel  # noqa: PLC0415 - it brings the compiler, which who only looks can do without

        self._kernel = market_kernel
        self._rules = rules
        self._calendar = calendar
        self._groups = rules.trade_groups.count
        self._totals = np.zeros(market_kernel.TOTALS)
        self._alerts = MarketAlerts(rules)
        self._columns: dict[str, int] = {}
        self._closes: dict[str, float] = {}
        self._index_price = np.nan
        self._day: TradingDay | None = None
        self.second = 0
        """The second that is being collected, epoch seconds; 0 before the first."""
        self._resize(512)
        self._start_day()

    def _resize(self, capacity: int) -> None:
        self._prices = np.full((_RING, capacity), np.nan)
        self._turnovers = np.zeros((_RING, capacity))
        self._trades = np.zeros(_RING, np.int64)
        self._last_trade = np.full(capacity, -1, np.int64)
        self._references = np.full(capacity, np.nan)
        self._group_of = np.full(capacity, -1, np.int64)
        self._signs = np.zeros(capacity, np.int64)

    def _start_day(self) -> None:
        """Forgets the day but keeps each symbol's last price as the reference of the next."""
        if self.second:
            row = self._prices[self.second % _RING]
            self._closes.update({s: float(row[c]) for s, c in self._columns.items() if row[c] == row[c]})
        index = self._rules.symbols.index
        if index is not None and self._index_price == self._index_price:
            self._closes[index] = self._index_price
        self._columns.clear()
        self._resize(self._prices.shape[1])
        self._index_price = np.nan
        self._alerts.start_day()

    @property
    def symbols(self) -> list[str]:
        """Every symbol that has traded today."""
        index = self._rules.symbols.index
        return [*self._columns, *([index] if index is not None and self._index_price == self._index_price else [])]

    def begin(self, second: int) -> None:
        """Moves on to a second; those between are silent ones, a new trading day starts afresh."""
        day = self._calendar.day_of(second * 1000)
        if self._day is None or day.start > self._day.start:
            self._start_day()
            self._day = day
            self.second = second
            return
        while self.second < second:
            before = self.second % _RING
            self.second += 1
            now = self.second % _RING
            self._prices[now] = self._prices[before]
            self._turnovers[now] = self._turnovers[before]
            self._trades[now] = self._trades[before]

    def is_new_day(self, second: int) -> bool:
        """Whether this second lies on a later trading day than the last one taken in."""
        return self._day is None or second * 1000 >= self._day.end

    def add(self, second: int, rows: list[SymbolSecond]) -> None:
        """Takes in one second's trades; those of a second already passed count as the present one's."""
        if second > self.second:
            self.begin(second)
        now = self.second % _RING
        prices, turnovers = self._prices[now], self._turnovers[now]
        index = self._rules.symbols.index
        for row in rows:
            if row.symbol == index:
                if self._index_price != self._index_price:
                    self._closes.setdefault(row.symbol, row.price)
                self._index_price = row.price
                continue
            column = self._columns.get(row.symbol)
            if column is None:
                column = self._add_symbol(row)
                prices, turnovers = self._prices[now], self._turnovers[now]
            move = row.price - prices[column]
            if move:  # not for a new symbol either: its move is NaN
                self._signs[column] = 1 if move > 0 else -1 if move < 0 else 0
            prices[column] = row.price
            turnovers[column] += row.turnover
            self._last_trade[column] = self.second
            if row.group >= 0:
                self._group_of[column] = row.group
            self._trades[now] += row.trades
        if any(row.symbol != index for row in rows):  # an exchange may publish its index through a halt
            self._alerts.traded(second, self._day)

    def _add_symbol(self, row: SymbolSecond) -> int:
        column = len(self._columns)
        if column == self._prices.shape[1]:
            self._prices = np.pad(self._prices, ((0, 0), (0, column)), constant_values=np.nan)
            self._turnovers = np.pad(self._turnovers, ((0, 0), (0, column)))
            self._last_trade = np.pad(self._last_trade, (0, column), constant_values=-1)
            self._references = np.pad(self._references, (0, column), constant_values=np.nan)
            self._group_of = np.pad(self._group_of, (0, column), constant_values=-1)
            self._signs = np.pad(self._signs, (0, column))
        self._columns[row.symbol] = column
        self._references[column] = self._closes.get(row.symbol, row.price)
        return column

    def snapshot(self) -> MarketSnapshot:
        """Sums up the second that is being collected."""
        kernel = self._kernel
        second = self.second
        index, index_return = self._rules.symbols.index, np.nan
        is_proxy = self._index_price != self._index_price
        if not is_proxy and index is not None:
            index_return = self._index_price / self._closes[index] - 1.0
        block = np.empty(block_length(self._groups), np.float32)
        totals = self._totals
        kernel.sum_up(
            self._prices, self._turnovers, self._trades, self._last_trade, self._references, self._group_of,
            self._signs, second, len(self._columns), index_return, block, totals,
        )  # fmt: skip
        advancing, declining, trades, turnover, index_return, *returns = totals.tolist()
        self._alerts.index(second, index_return, self._day, is_proxy=is_proxy)
        one, two, five = (returns[k] for k in _SHOWN)
        return MarketSnapshot(
            second,
            int(advancing),
            int(declining),
            int(trades),
            turnover,
            (one, two, five),
            index_return,
            is_proxy,
            block,
        )

    def silence(self, second: int) -> None:
        """Takes in that the market has been silent up to this second although no trade says so."""
        self._alerts.silent(second, self._day)

    def take_alerts(self) -> list[MarketAlert]:
        """The alerts raised since the last call."""
        return self._alerts.take()

    def dump(self) -> bytes:
        """All it remembers, for the state codec."""
        count = len(self._columns)
        body = [
            self.second,
            self._day.start if self._day is not None else -1,
            list(self._columns),
            self._closes,
            float(self._index_price),
            self._alerts.dump(),
            [_changes(self._prices[:, :count]), _changes(self._turnovers[:, :count])],
            [
                array.tobytes()
                for array in (
                    self._trades,
                    self._last_trade[:count],
                    self._references[:count],
                    self._group_of[:count],
                    self._signs[:count],
                )
            ],
        ]
        return bytes(msgpack.packb(body))

    def load(self, data: bytes) -> None:
        """Takes up what :meth:`dump` gave."""
        self.second, day_start, symbols, self._closes, self._index_price, alerts, rings, arrays = msgpack.unpackb(
            data, strict_map_key=False
        )
        self._day = self._calendar.day_of(day_start) if day_start >= 0 else None
        self._columns = {symbol: column for column, symbol in enumerate(symbols)}
        self._alerts.load(alerts)
        count = len(symbols)
        self._resize(max(512, count))
        self._prices[:, :count], self._turnovers[:, :count] = (_from_changes(ring, count) for ring in rings)
        trades, last_trade, references, groups, signs = arrays
        self._trades = np.frombuffer(trades, np.int64).copy()
        self._last_trade[:count] = np.frombuffer(last_trade, np.int64)
        self._references[:count] = np.frombuffer(references)
        self._group_of[:count] = np.frombuffer(groups, np.int64)
        self._signs[:count] = np.frombuffer(signs, np.int64)


def _changes(ring: NDArray[np.float64]) -> list[bytes]:
    """A ring of seconds as what differs, bit by bit, from the second before: the places and the bits."""
    bits = np.ascontiguousarray(ring).view(np.uint64)
    changed = bits.copy()
    changed[1:] ^= bits[:-1]
    flat = changed.ravel()
    places = np.flatnonzero(flat)
    return [places.astype(np.uint32).tobytes(), flat[places].tobytes()]


def _from_changes(changes: list[bytes], count: int) -> NDArray[np.float64]:
    places, bits = changes
    flat = np.zeros(_RING * count, np.uint64)
    flat[np.frombuffer(places, np.uint32)] = np.frombuffer(bits, np.uint64)
    return np.bitwise_xor.accumulate(flat.reshape(_RING, count), axis=0).view(np.float64)


def parse_second(text: str, group_slice: slice) -> list[SymbolSecond]:
    """Reads one second's rows, `symbol:price:turnover:trades:trade id`, separated by semicolons.

    The rows are taken in the order of their symbols: float sums then come out the same in whatever order the
    rows arrived.
    """
    rows = []
    for part in sorted(text.split(";")):
        symbol, price, turnover, trades, trade_id = part.split(":")
        rows.append(SymbolSecond(symbol, float(price), float(turnover), int(trades), group_of(trade_id, group_slice)))
    if any(a.symbol == b.symbol for a, b in pairwise(rows)):
        raise ValueError(f"a symbol stands twice in one second: {text[:200]!r}")
    return rows


def group_of(trade_id: str | None, group_slice: slice) -> int:
    """The contract group that a trade id names; -1 where it names none."""
    digits = trade_id[group_slice] if trade_id else ""
    return int(digits) if digits.isascii() and digits.isdigit() else -1
