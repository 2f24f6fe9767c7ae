"""What must hold after any number of kills: a pure function from the evidence to what is wrong with it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from tests.crash.evidence import TASKS, Attempt, Books, Delivery, Kind, Row

PICO_PER_INPUT = 5 * 10**6
PICO_PER_OUTPUT = 30 * 10**6
OUTPUT_TOKENS = 7


def violations(books: Books, attempts: Sequence[Attempt], deliveries: Iterable[Delivery]) -> list[str]:
    """Everything that is wrong, in sentences; nothing for a right gateway."""
    calls: dict[str, list[Row]] = defaultdict(list)
    for row in books.rows:
        calls[row.call].append(row)
    sent: dict[str, list[Delivery]] = defaultdict(list)
    for delivery in deliveries:
        if delivery.operation in {"chat", "messages", "submit"}:
            sent[delivery.name].append(delivery)
    return [
        *_balanced(books),
        *_ended_once(calls),
        *_charged_rightly(books, attempts, sent),
        *_tasks(books, calls, attempts),
        *(f"{name}: sent {len(posts)} times" for name, posts in sent.items() if len(posts) > 1),
    ]


def _balanced(books: Books) -> Iterable[str]:
    sums: Counter[str] = Counter()
    counters: Counter[str] = Counter()
    for row in books.rows:
        sums[row.account] += row.amount
        counters[row.counter] -= row.amount
    for account, balance in books.balances.items():
        if balance != sums[account]:
            yield f"{account}: balance {balance}, but its transfers sum to {sums[account]}"
    if total := sum(books.balances.values()) + sum(counters.values()):
        yield f"all accounts together hold {total} instead of nothing"
    if counters["held"]:
        yield f"{counters['held']} are still held, though nothing is running"
    if books.open_holds:
        yield f"{books.open_holds} holds are open, though nothing is running"


def _ended_once(calls: dict[str, list[Row]]) -> Iterable[str]:
    for call, rows in calls.items():
        reasons = Counter(row.reason for row in rows)
        repeated = [reason for reason, count in reasons.items() if count > 1]
        if repeated:
            yield f"{call}: more than one {', '.join(repeated)}"
        if reasons["hold"] != reasons["release"]:
            yield f"{call}: held and not given back, or the other way round"
        if reasons["settle"] and not reasons["hold"]:
            yield f"{call}: charged without a hold"


def _charged_rightly(
    books: Books, attempts: Sequence[Attempt], sent: dict[str, list[Delivery]]
) -> Iterable[str]:
    charged: dict[int, list[Row]] = defaultdict(list)
    amounts: Counter[str] = Counter()
    for row in books.rows:
        if row.reason in {"settle", "overrun"}:
            amounts[row.call] -= row.amount
        if row.reason == "settle":
            charged[row.detail["usage"]["input"]].append(row)
    known = {attempt.tokens: attempt for attempt in attempts if attempt.kind not in TASKS}
    for tokens, rows in charged.items():
        attempt = known.get(tokens)
        if attempt is None:
            yield f"{rows[0].call}: charged for {tokens} tokens, which no call has used"
            continue
        if len(rows) > 1:
            yield f"{attempt.name}: charged {len(rows)} times"
        if not any(delivery.whole for delivery in sent[attempt.name]):
            yield f"{attempt.name}: charged without a whole reply of the provider"
        expected = tokens * PICO_PER_INPUT + OUTPUT_TOKENS * PICO_PER_OUTPUT
        if amounts[rows[0].call] != expected:
            yield f"{attempt.name}: charged {amounts[rows[0].call]} instead of {expected}"
    for attempt in known.values():
        if attempt.whole and attempt.tokens not in charged:
            yield f"{attempt.name}: delivered whole and not charged"
        if attempt.kind is Kind.BROKEN and attempt.tokens in charged:
            yield f"{attempt.name}: charged, though its upstream broke"


def _tasks(books: Books, calls: dict[str, list[Row]], attempts: Sequence[Attempt]) -> Iterable[str]:
    for task in books.tasks:
        money = {row.reason: row.amount for row in calls.get(task.id, ())}
        if money.get("debit") != -task.price:
            yield f"{task.id}: costs {task.price}, debited {money.get('debit')}"
        if task.status == "processing":
            yield f"{task.id}: never ended"
        elif task.status == "failed" and money.get("refund") != task.price:
            yield f"{task.id}: failed, refunded {money.get('refund')} of {task.price}"
        elif task.status == "completed" and "refund" in money:
            yield f"{task.id}: completed and refunded"
        if task.status == "completed" and task.job is None:
            yield f"{task.id}: completed without a job"
    known = {task.id: task for task in books.tasks}
    for call, rows in calls.items():
        if any(row.reason == "debit" for row in rows) and call not in known:
            yield f"{call}: debited, and there is no such task"
    for attempt in attempts:
        if attempt.task is None:
            continue
        if attempt.task not in known:
            yield f"{attempt.task}: accepted, and gone"
        elif attempt.kind is Kind.FAILING_TASK and known[attempt.task].status == "completed":
            yield f"{attempt.task}: completed, though the provider failed it"
