"""The state of the whole market, second by second of event time.

Another pure fold: :meth:`MarketState.add` takes what each symbol did in one second, :meth:`MarketState.snapshot` sums
it up. A prediction is made with the snapshot of a few seconds before its trade.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import msgpack
import numpy as np

from state.features import MARKET_SPANS_S
from state.market_alerts import MarketAlert, MarketAlerts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from state.rules import MarketRules, TradingCalendar, TradingDay

_RING = max(MARKET_SPANS_S) + 1
_CLIP = 0.003
_PER_SPAN = ("breadth", "equal_return", "clipped_return", "turnover_return")
_TOTALS = ("market_trades_60s", "market_turnover_60s", "index_return")


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


@dataclass(frozen=True, slots=True)
class MarketSnapshot:
    """The market at the end of one second.

    Attributes:
        second: Epoch seconds; the snapshot holds all trades before `second + 1`.
        advancing, declining: Symbols whose price rose and fell over the last 60 s.
        trades, turnover: Of the last 60 s (turnover in rupees).
        returns: Turnover-weighted returns over 1, 2 and 5 minutes, ratios.
        index_return: The index, or the turnover-weighted proxy, against its reference; a ratio.
        index_is_proxy: Whether the feed carried no index.
        block: float32 vector of :func:`block_length`: the numbers the model sees, group breadths of all groups.
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


def block_length(group_count: int) -> int:
    """Length of a snapshot's block: per span four numbers and each group's breadth, then three totals."""
    return len(MARKET_SPANS_S) * (len(_PER_SPAN) + group_count) + len(_TOTALS)


def market_columns(blocks: NDArray[np.float32], groups: NDArray[np.intp], group_count: int) -> NDArray[np.float32]:
    """The market features of rows of trades.

    Args:
        blocks: (n, block_length) snapshot blocks, one a trade.
        groups: (n,) contract group of each trade's symbol; -1 where unknown.
        group_count: Groups of the market.

    Returns:
        (n, MARKET_COUNT) in the order of `MARKET_FEATURES`.
    """
    width = len(_PER_SPAN) + group_count
    known = (groups >= 0) & (groups < group_count)
    rows = np.arange(len(blocks))
    columns: list[NDArray[np.float32]] = []
    for k in range(len(MARKET_SPANS_S)):
        start = k * width
        columns.extend(blocks[:, start + i] for i in range(len(_PER_SPAN)))
        breadth = blocks[rows, start + len(_PER_SPAN) + np.where(known, groups, 0)]
        columns.append(np.where(known, breadth, np.float32(np.nan)))
    columns.extend(blocks[:, len(MARKET_SPANS_S) * width + i] for i in range(len(_TOTALS)))
    return np.column_stack(columns).astype(np.float32, copy=False)


class MarketState:
    """Every symbol's last price and turnover over the last five minutes.

    Args:
        rules: The market's rules.
        calendar: Finds the trading day of a moment.
    """

    def __init__(self, rules: MarketRules, calendar: TradingCalendar) -> None:
        self._rules = rules
        self._calendar = calendar
        self._groups = rules.trade_groups.count
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
        self._group_of = np.full(capacity, -1, np.intp)

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
        self._columns[row.symbol] = column
        self._references[column] = self._closes.get(row.symbol, row.price)
        return column

    def snapshot(self) -> MarketSnapshot:
        """Sums up the second that is being collected."""
        count = len(self._columns)
        second = self.second
        now = second % _RING
        prices, turnovers = self._prices[now, :count], self._turnovers[now, :count]
        groups = self._group_of[:count]
        block: list[float] = []
        weighted: list[float] = []
        advancing = declining = 0
        for span in MARKET_SPANS_S:
            then = (second - span) % _RING
            traded = self._last_trade[:count] > second - span
            moves = prices / self._prices[then, :count] - 1.0
            traded &= moves == moves  # noqa: PLR0124 - a symbol new within the span has no return
            moves = np.where(traded, moves, 0.0)
            signs = np.sign(moves)
            number = int(traded.sum())
            weights = np.where(traded, turnovers - self._turnovers[then, :count], 0.0)
            total = float(weights.sum())
            if span == MARKET_SPANS_S[0]:
                advancing, declining = int((signs > 0).sum()), int((signs < 0).sum())
            weighted.append(float((weights * moves).sum()) / total if total > 0.0 else 0.0)
            per_symbol = number or 1
            block += [
                float(signs.sum()) / per_symbol,
                float(moves.sum()) / per_symbol,
                float(np.clip(moves, -_CLIP, _CLIP).sum()) / per_symbol,
                weighted[-1],
            ]
            members = traded & (groups >= 0) & (groups < self._groups)
            by_group = np.bincount(groups[members], minlength=self._groups)
            sums = np.bincount(groups[members], weights=signs[members], minlength=self._groups)
            block += (sums / np.maximum(by_group, 1)).tolist()
        minute_ago = (second - MARKET_SPANS_S[0]) % _RING
        trades = int(self._trades[now] - self._trades[minute_ago])
        turnover = float((turnovers - self._turnovers[minute_ago, :count]).sum())
        index_return = self._index_return(prices, turnovers, count)
        block += [float(np.log1p(trades)), float(np.log1p(max(turnover, 0.0))), index_return]
        is_proxy = self._index_price != self._index_price
        self._alerts.index(second, index_return, self._day, is_proxy=is_proxy)
        return MarketSnapshot(
            second=second,
            advancing=advancing,
            declining=declining,
            trades=trades,
            turnover=turnover,
            returns=(weighted[0], weighted[1], weighted[2]),
            index_return=index_return,
            index_is_proxy=is_proxy,
            block=np.array(block, np.float32),
        )

    def _index_return(self, prices: NDArray[np.float64], turnovers: NDArray[np.float64], count: int) -> float:
        index = self._rules.symbols.index
        if self._index_price == self._index_price and index is not None:
            return self._index_price / self._closes[index] - 1.0
        total = float(turnovers.sum())
        if total <= 0.0:
            return 0.0
        return float((turnovers * (prices / self._references[:count] - 1.0)).sum()) / total

    def silence(self, second: int) -> None:
        """Takes in that the market has been silent up to this second although no trade says so."""
        self._alerts.silent(second, self._day)

    def take_alerts(self) -> list[MarketAlert]:
        """The alerts raised since the last call."""
        return self._alerts.take()

    def dump(self) -> bytes:
        """All it remembers, compressed, for the state codec."""
        count = len(self._columns)
        body = [
            self.second,
            self._day.start if self._day is not None else -1,
            list(self._columns),
            self._closes,
            float(self._index_price),
            self._alerts.dump(),
            [
                np.ascontiguousarray(array).tobytes()
                for array in (
                    self._prices[:, :count],
                    self._turnovers[:, :count],
                    self._trades,
                    self._last_trade[:count],
                    self._references[:count],
                    self._group_of[:count].astype(np.int64),
                )
            ],
        ]
        return zlib.compress(msgpack.packb(body), 1)

    def load(self, data: bytes) -> None:
        """Takes up what :meth:`dump` gave."""
        self.second, day_start, symbols, self._closes, self._index_price, alerts, arrays = msgpack.unpackb(
            zlib.decompress(data), strict_map_key=False
        )
        self._day = self._calendar.day_of(day_start) if day_start >= 0 else None
        self._columns = {symbol: column for column, symbol in enumerate(symbols)}
        self._alerts.load(alerts)
        count = len(symbols)
        self._resize(max(512, count))
        prices, turnovers, trades, last_trade, references, groups = arrays
        self._prices[:, :count] = np.frombuffer(prices).reshape(_RING, count)
        self._turnovers[:, :count] = np.frombuffer(turnovers).reshape(_RING, count)
        self._trades = np.frombuffer(trades, np.int64).copy()
        self._last_trade[:count] = np.frombuffer(last_trade, np.int64)
        self._references[:count] = np.frombuffer(references)
        self._group_of[:count] = np.frombuffer(groups, np.int64)


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
