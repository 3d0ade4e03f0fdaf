"""Compiles what is slow to compile, or finds it compiled: `python -m state.warm`. No worker then has to."""

from __future__ import annotations


def warm_up() -> None:
    """Leaves the compiled code of symbols and market on disk."""
    from state import market_kernel, symbol_kernel  # noqa: F401, PLC0415 - to import them is to compile them


if __name__ == "__main__":
    warm_up()
