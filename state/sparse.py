"""Vectors of whole numbers that are mostly nought, as few bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TYPES = ("<i1", "<i2", "<i4", "<i8")

Packed = tuple[bytes, str, bytes]
"""Places, the type of the amounts, the amounts."""


class Sparse(NamedTuple):
    """The places of a vector that are not nought.

    Attributes:
        places: Their indices, below 65,536.
        amounts: What stands there.
    """

    places: NDArray[np.uint16]
    amounts: NDArray[np.int64]

    @classmethod
    def of(cls, vector: NDArray[np.int64]) -> Self:
        """The places of a vector, shape (n,) with n up to 65,536."""
        places = np.flatnonzero(vector)
        return cls(places.astype(np.uint16), vector[places])

    def pack(self) -> Packed:
        """As bytes, each amount in as few as the widest one needs."""
        for kind in _TYPES:
            narrow = self.amounts.astype(kind)
            if kind == _TYPES[-1] or np.array_equal(narrow, self.amounts):
                break
        return self.places.astype("<u2").tobytes(), kind, narrow.tobytes()

    @classmethod
    def unpack(cls, packed: Packed) -> Self:
        """What :meth:`pack` gave."""
        places, kind, amounts = packed
        return cls(np.frombuffer(places, "<u2"), np.frombuffer(amounts, kind).astype(np.int64))

    def add_to(self, vector: NDArray[np.int64]) -> None:
        """Adds the amounts to a vector, in place."""
        vector[self.places] += self.amounts

    def take_from(self, vector: NDArray[np.int64]) -> None:
        """Subtracts the amounts from a vector, in place."""
        vector[self.places] -= self.amounts
