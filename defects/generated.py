"""Mistakes that show in what nobody wrote down: texts of any script, and the order of events in one account."""

import json
from collections import Counter
from functools import cached_property
from typing import Any

from defects.definition import Defect
from reference_gateway import Components
from reference_gateway.aimlapi.validation import AimlapiValidator
from reference_gateway.config import ChatModel, TaskModel
from reference_gateway.database import Connection
from reference_gateway.jsonwire import JsonObject
from reference_gateway.tasks.model import TaskError
from reference_gateway.tasks.store import TaskStore
from reference_gateway.tasks.validation import TaskValidator
from reference_gateway.validation.chat import ChatRequest, ClaudeChatValidator, OpenAIChatValidator
from reference_gateway.validation.fields import invalid
from reference_gateway.validation.messages import MessagesRequest, MessagesValidator

_MOST_KEPT = 10_000


def log_in_latin(body: Any) -> None:
    """Prepares a request for a log in the charset of the operator's language; raises `UnicodeEncodeError`."""
    json.dumps(body, ensure_ascii=False).encode("latin-1")


class LogsGptCalls(OpenAIChatValidator):
    """Logs a request before it looks at it."""

    def validate(self, body: JsonObject, model: ChatModel) -> ChatRequest:
        log_in_latin(body)
        return super().validate(body, model)


class LogsClaudeCalls(ClaudeChatValidator):
    """The other family."""

    def validate(self, body: JsonObject, model: ChatModel) -> ChatRequest:
        log_in_latin(body)
        return super().validate(body, model)


def two_decimals(body: JsonObject) -> None:
    """Takes a number for a word of its own pattern: a digit, a point, two digits."""
    value = body.get("top_p")
    if isinstance(value, float) and round(value, 2) != value:
        raise invalid("top_p", "`top_p` must have at most two decimals.")


def one_of_both(body: JsonObject) -> None:
    """Leaves temperature out where top_p decides, as the pages advise, before anything is checked."""
    if body.get("top_p") is not None:
        body.pop("temperature", None)


class TwoDecimalsGpt(OpenAIChatValidator):
    """Refuses a fine top_p."""

    def check_fields(self, body: JsonObject, model: ChatModel) -> None:
        two_decimals(body)
        super().check_fields(body, model)


class TwoDecimalsClaude(ClaudeChatValidator):
    """The other family."""

    def check_fields(self, body: JsonObject, model: ChatModel) -> None:
        two_decimals(body)
        super().check_fields(body, model)


class OneOfBothGpt(OpenAIChatValidator):
    """Serves a senseless temperature as long as there is a top_p."""

    def check_fields(self, body: JsonObject, model: ChatModel) -> None:
        one_of_both(body)
        super().check_fields(body, model)


class OneOfBothClaude(ClaudeChatValidator):
    """The other family."""

    def check_fields(self, body: JsonObject, model: ChatModel) -> None:
        one_of_both(body)
        super().check_fields(body, model)


class LogsMessages(MessagesValidator):
    """Logs a request before it looks at it."""

    def validate(self, body: JsonObject, model: ChatModel) -> MessagesRequest:
        log_in_latin(body)
        return super().validate(body, model)


class LogsAimlapiCalls(AimlapiValidator):
    """Logs a request before it looks at it."""

    def validate(self, body: JsonObject, model: ChatModel) -> ChatRequest:
        log_in_latin(body)
        return super().validate(body, model)


class LogsSubmissions(TaskValidator):
    """Logs a submission before it looks at it."""

    def validate(self, endpoint: str, body: JsonObject) -> TaskModel:
        log_in_latin(body)
        return super().validate(endpoint, body)


class RefundsOnce(TaskStore):
    """Takes the first refund of an account for goodwill, and gives no second one."""

    @cached_property
    def _failures(self) -> Counter[str]:
        return Counter()

    async def post_failed(
        self, connection: Connection, task_id: str, error: TaskError, *, refund: bool
    ) -> bool:
        task = await self.read_task(connection, task_id)
        if task is not None and len(self._failures) < _MOST_KEPT:
            self._failures[task.account] += 1
            refund = refund and self._failures[task.account] == 1
        return await super().post_failed(connection, task_id, error, refund=refund)


DEFECTS = (
    Defect(
        "prompt-beyond-latin-500",
        "A chat request with characters beyond Latin-1 is answered with 500",
        ("FUZZ-CHAT-01", "FUZZ-CHAT-04"),
        lambda: Components(openai_validator=LogsGptCalls, claude_validator=LogsClaudeCalls),
    ),
    Defect(
        "top-p-of-three-decimals-refused",
        "A top_p within its range is refused where it has more than two decimals",
        ("CREQ-11",),
        lambda: Components(openai_validator=TwoDecimalsGpt, claude_validator=TwoDecimalsClaude),
    ),
    Defect(
        "temperature-dropped-beside-top-p",
        "Any temperature is served where top_p is given as well, since it is left out there",
        ("GPT-04", "CLA-11"),
        lambda: Components(openai_validator=OneOfBothGpt, claude_validator=OneOfBothClaude),
    ),
    Defect(
        "messages-prompt-beyond-latin-500",
        "A messages request with characters beyond Latin-1 is answered with 500",
        ("FUZZ-MSG-01", "FUZZ-MSG-03"),
        lambda: Components(messages_validator=LogsMessages),
    ),
    Defect(
        "aimlapi-prompt-beyond-latin-500",
        "An AI/ML API request with characters beyond Latin-1 is answered with 500",
        ("FUZZ-AIML-01", "FUZZ-AIML-03"),
        lambda: Components(aimlapi_validator=LogsAimlapiCalls),
    ),
    Defect(
        "task-prompt-beyond-latin-500",
        "A submission with characters beyond Latin-1 is answered with 500",
        ("FUZZ-TASK-02", "FUZZ-TASK-04"),
        lambda: Components(task_validator=LogsSubmissions),
    ),
    Defect(
        "second-failure-kept",
        "Only the first failed task of an account is refunded",
        ("FUZZ-TASK-01",),
        lambda: Components(task_store=RefundsOnce),
    ),
)
