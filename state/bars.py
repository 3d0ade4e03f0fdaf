"""Tumbling event-time bars of one symbol."""

from __future__ import annotations

from typing import NamedTuple

from state.window import PRICE_UNITS

INTERVALS = {"1m": 60_000, "5m": 300_000}
"""Bar lengths, ms. Windows begin at whole multiples of their length since the epoch."""

_LENGTHS = tuple(INTERVALS.values())


class Bar(NamedTuple):
    """One finished window of one symbol.

    Attributes:
        interval: Its name in :data:`INTERVALS`.
        window_start, window_end: Epoch ms; the end is not part of the window.
        open, high, low, close: Prices, rupees; first and last by event time (arrival decides between equals).
        volume: Shares.
        vwap: Volume-weighted average price, rupees.
        trades: Number of trades.
        mean_price: Mean of the trades' prices, rupees (of a 5-minute bar: the 5-minute SMA).
        partition, offset: Kafka position of the closing trade.
    """

    interval: str
    window_start: int
    window_end: int
    open: float
    high: float
    low: float
    close: float
    volume: int
    vwap: float
    trades: int
    mean_price: float
    partition: int
    offset: int


class BarBuilder:
    """Collects trades into the windows that are still open; closes a window when the watermark passes its end."""

    __slots__ = ("_latest", "_next_due", "_open")

    def __init__(self) -> None:
        # (length, window start) -> [open time, open, high, low, close time, close, volume, price x volume,
        # trades, sum of prices, partition, offset]; prices in units of 1/10,000 rupee.
        self._open: dict[tuple[int, int], list[int]] = {}
        self._next_due: int | None = None
        self._forget_latest()

    def _forget_latest(self) -> None:
        # Per length: the window of the last trade, which the next one mostly shares: its start, its end, its bar.
        self._latest: list[tuple[int, int, list[int]]] = [(0, 0, []) for _ in INTERVALS]

    def add(self, time: int, price: int, volume: int, partition: int, offset: int) -> None:
        """Puts a trade (times in ms, price in units of 1/10,000 rupee) into its windows."""
        turnover = price * volume
        for k, (start, end, bar) in enumerate(self._latest):
            if not start <= time < end:
                bar = self._find(k, time, price, partition, offset)  # noqa: PLW2901 - the window that is right
            if time < bar[0]:
                bar[0] = time
                bar[1] = price
            if price > bar[2]:
                bar[2] = price
            elif price < bar[3]:
                bar[3] = price
            if time >= bar[4]:
                bar[4] = time
                bar[5] = price
                bar[10] = partition
                bar[11] = offset
            bar[6] += volume
            bar[7] += turnover
            bar[8] += 1
            bar[9] += price

    def _find(self, k: int, time: int, price: int, partition: int, offset: int) -> list[int]:
        """The open window of one length that holds this moment; opened, without a trade in it, where there is none."""
        length = _LENGTHS[k]
        start = time - time % length
        bar = self._open.get((length, start))
        if bar is None:
            bar = self._open[length, start] = [time, price, price, price, time, price, 0, 0, 0, 0, partition, offset]
            due = start + length - 1
            if self._next_due is None or due < self._next_due:
                self._next_due = due
        self._latest[k] = (start, start + length, bar)
        return bar

    @property
    def next_due(self) -> int | None:
        """The watermark (ms) at which the next window is complete; None while no window is open."""
        return self._next_due

    @property
    def last_due(self) -> int | None:
        """The watermark (ms) at which every open window is complete; None while none is open."""
        return max((start + length - 1 for length, start in self._open), default=None)

    def close(self, watermark: int) -> list[Bar]:
        """The windows that are complete at this watermark, oldest end first, shorter interval first."""
        if self._next_due is None or watermark < self._next_due:
            return []
        done = sorted((start + length, length) for length, start in self._open if start + length - 1 <= watermark)
        self._forget_latest()
        bars = [self._finish(length, end - length, self._open.pop((length, end - length))) for end, length in done]
        self._next_due = min((start + length - 1 for length, start in self._open), default=None)
        return bars

    @staticmethod
    def _finish(length: int, start: int, bar: list[int]) -> Bar:
        _, first, high, low, _, last, volume, turnover, trades, price_sum, partition, offset = bar
        return Bar(
            interval=_NAMES[length],
            window_start=start,
            window_end=start + length,
            open=first / PRICE_UNITS,
            high=high / PRICE_UNITS,
            low=low / PRICE_UNITS,
            close=last / PRICE_UNITS,
            volume=volume,
            vwap=turnover / (volume * PRICE_UNITS),
            trades=trades,
            mean_price=price_sum / (trades * PRICE_UNITS),
            partition=partition,
            offset=offset,
        )

    def dump(self) -> list[list[int]]:
        """All it remembers, for the state codec."""
        return [[length, start, *bar] for (length, start), bar in self._open.items()]

    def load(self, rows: list[list[int]]) -> None:
        """Takes up the rows of :meth:`dump`."""
        self._open = {(row[0], row[1]): list(row[2:]) for row in rows}
        self._forget_latest()
        self._next_due = min((start + length - 1 for length, start in self._open), default=None)


_NAMES = {length: name for name, length in INTERVALS.items()}
