"""What a symbol's window of recent trades is: its spans, its bounds, and the unit of its prices."""

from __future__ import annotations

SPANS_S = (5, 10, 20, 30, 60, 120, 300, 600)
"""Trailing spans, in seconds, whose beginning the window knows."""

KEEP_TICKS = 64
"""So many of the newest trades are kept however old they are."""

MAX_TICKS = 1024
"""So many at most are kept of a symbol that trades too fast for all of its spans: those are shorter then."""

PRICE_UNITS = 10_000
"""Prices are kept as whole ten-thousandths of a rupee: their sums are exact, in whatever order they are made."""
