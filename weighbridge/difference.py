"""What a run changed against an earlier one: rows that got worse, rows that got better, claims. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: From good to bad. Between two of the same rank nothing got better or worse; a row that nobody could judge
#: is worse than a departure that is known, and a broken harness says less than anything.
_RANK = {
    "pass": 0,
    "not_applicable": 0,
    "warn": 1,
    "not_verified": 2,
    "harness_error": 2,
    "unsupported": 3,
    "fail": 4,
}


def difference(before: Mapping[str, Any], after: Mapping[str, Any], file: str) -> dict[str, Any]:
    """The member `diff` of a report.

    Args:
        before: the earlier report.
        after: the report of this run, as far as it is built.
        file: where the earlier one was read from.
    """
    was = {row["id"]: row["verdict"] for row in before["requirements"]}
    now = {row["id"]: row["verdict"] for row in after["requirements"]}
    changed = [
        {"id": name, "was": was[name], "now": verdict}
        for name, verdict in now.items()
        if name in was and was[name] != verdict
    ]
    claimed = {claim["profile"]: claim["status"] for claim in before["claims"]}
    claims = [
        {"profile": claim["profile"], "was": claimed[claim["profile"]], "now": claim["status"]}
        for claim in after["claims"]
        if claimed.get(claim["profile"], claim["status"]) != claim["status"]
    ]
    return {
        "previous": {
            "file": file,
            "run": before["run"]["id"],
            "edition": before["edition"],
            "target": before["target"]["name"],
        },
        "worse": [item for item in changed if _RANK[item["now"]] > _RANK[item["was"]]],
        "better": [item for item in changed if _RANK[item["now"]] < _RANK[item["was"]]],
        "only_now": sorted(set(now) - set(was)),
        "only_before": sorted(set(was) - set(now)),
        "claims": claims,
    }
