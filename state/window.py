"""A symbol's recent trades in event-time order, with sums over trailing time spans kept up to date."""

from __future__ import annotations

from bisect import bisect_right

SPANS_S = (10, 30, 60, 120, 300)
"""Trailing spans, in seconds, over which the window keeps sums."""

_SPANS_MS = tuple(span * 1000 for span in SPANS_S)
_LONGEST_MS = _SPANS_MS[-1]

KEEP_TICKS = 64
"""So many of the newest trades are kept however old they are."""

MAX_TICKS = 1024
"""So many at least are kept of a symbol that trades too fast for all of its spans: those are shorter then."""

_TRIM = 64
"""So many trades are dropped at once, not each by itself."""

PRICE_UNITS = 10_000
"""Prices are kept as whole ten-thousandths of a rupee: their sums are exact, in whatever order they are made."""


class TickWindow:
    """Trades of the last 300 s, at least the last 64; of more than 1,087 only the last 1,024.

    All columns run in event-time order; a trade that arrives behind newer ones is put in its place (after those
    of its own millisecond). Sums are of whole numbers, hence exact and the same however the window came about.

    Attributes:
        times: Event times, ms.
        prices: Prices in units of 1/10,000 rupee.
        volumes: Shares.
        signs: +1 after an up-move, -1 after a down-move, carried over equal prices; 0 before the first move.
        starts: Per span: index of the first trade later than (newest time - span).
        counts: Per span: number of trades.
        volume_sums: Per span: shares.
        signed_sums: Per span: shares, each trade's with the sign of its move.
        price_sums: Per span: sum of prices.
    """

    __slots__ = ("counts", "price_sums", "prices", "signed_sums", "signs", "starts", "times", "volume_sums", "volumes")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forgets all trades."""
        self.times: list[int] = []
        self.prices: list[int] = []
        self.volumes: list[int] = []
        self.signs: list[int] = []
        self._zero_sums()

    def _zero_sums(self) -> None:
        spans = len(SPANS_S)
        self.starts = [0] * spans
        self.counts = [0] * spans
        self.volume_sums = [0] * spans
        self.signed_sums = [0] * spans
        self.price_sums = [0] * spans

    def add(self, time: int, price: int, volume: int) -> int:
        """Puts a trade in its place.

        Args:
            time: Event time, ms.
            price: In units of 1/10,000 rupee.
            volume: Shares.

        Returns:
            The trade's index in the columns.
        """
        times = self.times
        if times and time < times[-1]:
            return self._insert(time, price, volume)
        prices = self.prices
        sign = 0
        if prices:
            last = prices[-1]
            sign = 1 if price > last else -1 if price < last else self.signs[-1]
        times.append(time)
        prices.append(price)
        self.volumes.append(volume)
        self.signs.append(sign)
        self._advance(time, price, volume, sign)
        if len(times) >= KEEP_TICKS + _TRIM:
            self._trim()
        return len(times) - 1

    def _advance(self, now: int, price: int, volume: int, sign: int) -> None:
        """Takes the newest trade into the sums, and out of them what is older than each span."""
        times, prices, volumes, signs = self.times, self.prices, self.volumes, self.signs
        starts, counts = self.starts, self.counts
        volume_sums, signed_sums, price_sums = self.volume_sums, self.signed_sums, self.price_sums
        signed = sign * volume
        for k, span in enumerate(_SPANS_MS):
            i = starts[k]
            edge = now - span
            counts[k] += 1
            volume_sums[k] += volume
            signed_sums[k] += signed
            price_sums[k] += price
            while times[i] <= edge:
                counts[k] -= 1
                gone = volumes[i]
                volume_sums[k] -= gone
                signed_sums[k] -= signs[i] * gone
                price_sums[k] -= prices[i]
                i += 1
            starts[k] = i

    def _insert(self, time: int, price: int, volume: int) -> int:
        """The rare slow way: a trade behind newer ones changes signs and sums after it."""
        at = bisect_right(self.times, time)
        self.times.insert(at, time)
        self.prices.insert(at, price)
        self.volumes.insert(at, volume)
        self.signs.insert(at, 0)
        self._sign_from(at)
        self._sum_up()
        if len(self.times) >= KEEP_TICKS + _TRIM:
            at -= self._trim()
        return max(at, 0)

    def _sign_from(self, first: int) -> None:
        prices, signs = self.prices, self.signs
        for i in range(first, len(prices)):
            if i == 0:
                signs[i] = 0
                continue
            move = prices[i] - prices[i - 1]
            signs[i] = 1 if move > 0 else -1 if move < 0 else signs[i - 1]

    def _sum_up(self) -> None:
        now = self.times[-1]
        for k, span in enumerate(_SPANS_MS):
            i = bisect_right(self.times, now - span)
            self.starts[k] = i
            self.counts[k] = len(self.times) - i
            self.volume_sums[k] = sum(self.volumes[i:])
            self.signed_sums[k] = sum(s * v for s, v in zip(self.signs[i:], self.volumes[i:], strict=True))
            self.price_sums[k] = sum(self.prices[i:])

    def _trim(self) -> int:
        """Drops what neither the longest span nor the newest 64 need; returns how many trades went."""
        length = len(self.times)
        surplus = min(self.starts[-1], length - KEEP_TICKS)
        crowded = length - MAX_TICKS
        if surplus < _TRIM and crowded < _TRIM:
            return 0
        drop = max(surplus, crowded)
        # The trade just before each span's start stays: a return over the span is measured from it.
        if drop == self.starts[-1]:
            drop -= 1
        self._drop(drop)
        return drop

    def _drop(self, count: int) -> None:
        for k, start in enumerate(self.starts):
            if start < count:
                gone_volumes = self.volumes[start:count]
                self.counts[k] -= count - start
                self.volume_sums[k] -= sum(gone_volumes)
                self.signed_sums[k] -= sum(s * v for s, v in zip(self.signs[start:count], gone_volumes, strict=True))
                self.price_sums[k] -= sum(self.prices[start:count])
                self.starts[k] = 0
            else:
                self.starts[k] = start - count
        del self.times[:count], self.prices[:count], self.volumes[:count], self.signs[:count]

    def dump(self) -> list[list[int]]:
        """All it remembers, for the state codec: the four columns."""
        return [self.times, self.prices, self.volumes, self.signs]

    def load(self, columns: list[list[int]]) -> None:
        """Takes up the columns of :meth:`dump`."""
        self.times, self.prices, self.volumes, self.signs = (list(column) for column in columns)
        self._zero_sums()
        if self.times:
            self._sum_up()
