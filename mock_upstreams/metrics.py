"""What the simulator did, in the text format that Prometheus reads (/_wb/metrics)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mock_upstreams.journal import Journal

CONTENT_TYPE: Final = ("content-type", "text/plain; version=0.0.4; charset=utf-8")
_Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name, type and help, and its samples by labels."""

    name: str
    kind: str
    says: str
    samples: tuple[tuple[_Labels, float], ...]


def families(journal: Journal) -> tuple[Family, ...]:
    """All metrics of one simulator."""
    counts = journal.counts
    return (
        Family(
            "simulator_requests_total",
            "counter",
            "Exchanges that are over, by provider, operation, status sent and how they ended.",
            tuple(
                (_labels(provider=key[0], operation=key[1], status=key[2], ending=key[3]), count)
                for key, count in sorted(counts.answers.items())
            ),
        ),
        Family(
            "simulator_exchange_seconds_total",
            "counter",
            "Time that exchanges took, from arrival to end.",
            tuple(
                (_labels(provider=provider, operation=operation), total)
                for (provider, operation), total in sorted(counts.seconds.items())
            ),
        ),
        Family(
            "simulator_events_sent_total",
            "counter",
            "Content events that were written to streams.",
            tuple((_labels(provider=name), count) for name, count in sorted(counts.events.items())),
        ),
        Family(
            "simulator_faults_total",
            "counter",
            "Answers that were spoiled on purpose, by fault.",
            tuple((_labels(fault=name), count) for name, count in sorted(counts.faults.items())),
        ),
        _one("simulator_open_exchanges", "gauge", "Exchanges under way.", counts.open),
        _one("simulator_journal_entries", "gauge", "Entries in the journal.", len(journal)),
        _one("simulator_journal_bytes", "gauge", "What they are held to cost.", journal.size_bytes),
        _one(
            "simulator_journal_dropped_total",
            "counter",
            "Entries that the journal had no room for.",
            journal.dropped_ever,
        ),
    )


def _one(name: str, kind: str, says: str, value: float) -> Family:
    return Family(name, kind, says, (((), value),))


def _labels(**labels: str) -> _Labels:
    return tuple(labels.items())


def exposition(found: Iterable[Family]) -> bytes:
    """The families in Prometheus' text format."""
    lines: list[str] = []
    for family in found:
        lines += [f"# HELP {family.name} {family.says}", f"# TYPE {family.name} {family.kind}"]
        lines += [f"{family.name}{_written(labels)} {value:.12g}" for labels, value in family.samples]
    return ("\n".join(lines) + "\n").encode()


def _written(labels: _Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def added(pages: Iterable[bytes]) -> bytes:
    """The sum of several simulators' pages, sample by sample."""
    heads: dict[str, list[str]] = {}
    totals: dict[str, dict[str, float]] = {}
    for page in pages:
        name = ""
        for line in page.decode().splitlines():
            if line.startswith("# HELP "):
                name = line.split(" ")[2]
                heads.setdefault(name, [line])
                totals.setdefault(name, {})
            elif line.startswith("# TYPE "):
                if len(heads[name]) == 1:
                    heads[name].append(line)
            else:
                sample, _, value = line.rpartition(" ")
                totals[name][sample] = totals[name].get(sample, 0.0) + float(value)
    lines: list[str] = []
    for name, head in heads.items():
        lines += head + [f"{sample} {value:.12g}" for sample, value in sorted(totals[name].items())]
    return ("\n".join(lines) + "\n").encode()
