"""Rows that a gateway can break in one way only: each MUST row with fewer than two defects, and why.

A row is worth two defects where it can be wrong in two ways. Where there is one way, that is said here; a row
that has its second defect has no place in this table.
"""

from collections.abc import Mapping
from types import MappingProxyType

#: Requirement -> why there is no second way to be wrong.
ONE_WAY: Mapping[str, str] = MappingProxyType(
    {
        "GPT-01": "A gateway that refuses the barest call serves nobody and is stopped before it is judged; "
        "what is left is a reply that it cannot relay.",
        "MSG-10": "A version is accepted or it is not; one that refuses 2023-06-01 as well serves nobody on this "
        "route and is stopped before it is judged.",
    }
)
