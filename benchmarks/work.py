"""The work that every peer does with a tick, and the one place that knows how a peer gets its features.

Parse the message, take it into the symbol's memory, compute the symbol's own features, build the prediction's message:
all with the job's own code. The active model is asked through XGBoost, as whoever writes such a program would; tickcast
itself walks the trees without it (`udfs.forest`). What the whole market does is not part of it: a peer's market columns
say "not known", as in a prediction of tickcast that found no snapshot.

The engine that keeps a peer's state keeps bytes, in tickcast's own form: a journal of some 50 bytes a tick, folded
into a snapshot now and then. That is the cheapest form there is; a window rewritten at every tick would cost a peer
more.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import orjson

from state import codec
from state.features import NO_MARKET, SCHEMA_HASH, complete
from state.market_state import columns_of, group_of
from state.records import prediction_record
from state.requests import Subject
from state.rules import TradingCalendar, load_rules
from state.symbol_state import SymbolState
from state.tick import TickParser
from udfs.artifact import active_version, load_artifact
from udfs.scorer import Scorer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from state.tick import Tick

_ROOT = Path(__file__).resolve().parents[1]
_RULES = _ROOT / "flink-conf" / "markets" / "nepse.yaml"
_MODELS = _ROOT / "model_artifacts"


class Row(NamedTuple):
    """A tick with its features, ready to be scored.

    Attributes:
        symbol: Its ticker.
        event_time: ms since the epoch.
        trade_id: None where it has none.
        price: Rupees.
        partition, offset: Where the tick stands.
        sequence: Number of the tick in its symbol's session.
        own: The symbol's own features, float32.
        group: Contract group; -1 where unknown.
    """

    symbol: str
    event_time: int
    trade_id: str | None
    price: float
    partition: int
    offset: int
    sequence: int
    own: bytes
    group: int


class Work:
    """The work of one worker: every symbol's memory, and the model."""

    def __init__(self) -> None:
        self._rules = load_rules(_RULES)
        self._calendar = TradingCalendar(self._rules)
        limits, groups = self._rules.limits, self._rules.trade_groups
        self._parser = TickParser(self._rules.symbols.pattern, limits.max_price, limits.max_volume)
        self._group_digits = slice(groups.from_digit, groups.to_digit)
        self._states: dict[str, SymbolState] = {}
        self.version = active_version(_MODELS)
        self.scorer = Scorer(load_artifact(_MODELS, self.version, SCHEMA_HASH), walks=False)
        self.scorer.warm_up()

    def parse(self, value: bytes | None, record_time: int) -> Tick:
        """The tick that a message is; raises BadTickError."""
        return self._parser.parse(value, record_time)

    def take(self, tick: Tick, partition: int, offset: int) -> Row:
        """Takes a tick into its symbol's memory and computes its features."""
        state = self._state(tick.symbol)
        key = codec.trade_key(tick.trade_id)
        own = state.apply(tick.event_time, tick.price, tick.volume, key, partition, offset)
        state.take_alerts()
        group = group_of(tick.trade_id, self._group_digits)
        return Row(tick.symbol, tick.event_time, tick.trade_id, tick.price, partition, offset, state.trades, own, group)

    def score(self, rows: Sequence[Row], snapshots: Sequence[NDArray[np.float32]] | None = None) -> NDArray[np.float32]:
        """Probabilities of rows, shape (n, 3), in the order of `udfs.manifest.CLASSES`.

        Args:
            rows: The ticks.
            snapshots: Each row's market block; None: not known, as for all peers.
        """
        parts: list[bytes] = []
        for number, row in enumerate(rows):
            parts += (row.own, NO_MARKET if snapshots is None else columns_of(snapshots[number], row.group))
        return self.scorer.score(complete(b"".join(parts), len(rows)))

    def message(self, row: Row, scores: NDArray[np.float32]) -> bytes:
        """The prediction's message.

        Args:
            row: The tick.
            scores: Its probabilities, (3,).
        """
        record = prediction_record(
            Subject(row.symbol, row.event_time, row.trade_id, row.price, row.partition, row.offset, row.sequence),
            scores.tolist(),
            None,
            self.version,
            "active",
            SCHEMA_HASH,
            int(time.time() * 1000),
        )
        return orjson.dumps(record)

    def messages(self, rows: Sequence[Row]) -> list[bytes]:
        """The messages of rows that are scored together."""
        scores = self.score(rows)
        return [self.message(row, one) for row, one in zip(rows, scores, strict=True)]

    def one(self, value: bytes | None, record_time: int, partition: int, offset: int) -> tuple[str, bytes]:
        """Everything for a single tick, row by row: its symbol and its prediction's message."""
        row = self.take(self.parse(value, record_time), partition, offset)
        return row.symbol, self.messages([row])[0]

    def knows(self, symbol: str) -> bool:
        """Whether this worker holds the symbol's memory."""
        return symbol in self._states

    def entry(self, tick: Tick, partition: int, offset: int) -> bytes:
        """The journal's entry of a tick."""
        trade = codec.Trade(tick.event_time, tick.price, tick.volume, tick.trade_id, partition, offset)
        return codec.encode_trade(trade)

    def snapshot(self, symbol: str) -> bytes:
        """The symbol's whole memory, without the trade ids: no peer is asked to find repeated trades."""
        return codec.encode_snapshot(self._state(symbol))

    def recall(self, symbol: str, elements: Iterable[bytes]) -> None:
        """Brings back a symbol's memory out of a snapshot and the entries behind it."""
        state = self._states[symbol] = SymbolState(symbol, self._rules, self._calendar)
        codec.restore(state, elements, ())

    def forget(self) -> None:
        """Drops every memory: the engine has taken the work away from this worker."""
        self._states.clear()

    def _state(self, symbol: str) -> SymbolState:
        state = self._states.get(symbol)
        if state is None:
            state = self._states[symbol] = SymbolState(symbol, self._rules, self._calendar)
        return state
