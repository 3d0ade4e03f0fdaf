"""A seeded trading day that behaves like one of NEPSE's: for the demo, for tests and for load.

What the figures in here were fitted to: 64 days of the exchange's trades in the spring of 2024. In the order
in which a day is made: `universe` (what is listed), `orders` (when somebody trades), `prices` (at what price),
`arrival` (in what order the feed delivers it), `day` (all of it together), `faults` (what goes wrong on the
way) and `source` (the day as ticks).
"""
