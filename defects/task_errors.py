"""Errors of the task gateway: wrong statuses, codes and envelopes."""

# ruff: noqa: ARG002 - a defect ignores what it ought to look at

from aiohttp import web

from defects.definition import Defect
from reference_gateway import Components
from reference_gateway.errors import TaskErrorRenderer
from reference_gateway.failures import Failure, Kind
from reference_gateway.jsonwire import JsonObject

_HTML = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"


class UnprocessableTask(TaskErrorRenderer):
    """422 for a missing parameter."""

    def status_for(self, kind: Kind) -> int:
        return 422 if kind is Kind.MISSING_FIELD else super().status_for(kind)


class TextCode(TaskErrorRenderer):
    """The five digits as text; typed clients declare a number."""

    def envelope(self, failure: Failure, request: str) -> JsonObject:
        error = super().envelope(failure, request)["error"]
        return {"error": {**error, "code": str(error["code"])}}


class SameRequestId(TaskErrorRenderer):
    """`request_id` names the process and not the call."""

    def envelope(self, failure: Failure, request: str) -> JsonObject:
        return super().envelope(failure, f"req_{id(self):032x}")


class StatusAsCode(TaskErrorRenderer):
    """The code is the status followed by two zeros, so it tells nothing new."""

    def code_for(self, kind: Kind) -> int:
        return self.status_for(kind) * 100


class HtmlForUnknownRoutes(TaskErrorRenderer):
    """Unknown routes get the web server's own page."""

    def response(self, failure: Failure) -> web.Response:
        if failure.kind not in {Kind.UNKNOWN_ROUTE, Kind.WRONG_METHOD}:
            return super().response(failure)
        return web.Response(status=404, text=_HTML.format("404 Not Found"), content_type="text/html")


class EmptyMessages(TaskErrorRenderer):
    """The message is empty; only the code is left to guess from."""

    def envelope(self, failure: Failure, request: str) -> JsonObject:
        error = super().envelope(failure, request)["error"]
        return {"error": {**error, "message": ""}}


DEFECTS = (
    Defect(
        "task-shape-error-422",
        "A missing parameter of a task is answered with 422",
        ("TERR-14", "TSUB-10", "TSUB-11", "TERR-07"),
        lambda: Components(task_errors=UnprocessableTask),
    ),
    Defect(
        "task-code-is-text",
        "`code` of a task error is a text",
        ("TERR-02",),
        lambda: Components(task_errors=TextCode),
    ),
    Defect(
        "task-request-id-repeats",
        "All task errors share one request_id",
        ("TERR-04",),
        lambda: Components(task_errors=SameRequestId),
    ),
    Defect(
        "task-code-from-status",
        "Task codes are made from the status",
        ("TERR-09", "TERR-10", "TERR-11", "TERR-14", "TSUB-10", "TSUB-11"),
        lambda: Components(task_errors=StatusAsCode),
    ),
    Defect(
        "task-unknown-route-html",
        "Unknown routes of the task gateway get an HTML page",
        ("TERR-16",),
        lambda: Components(task_errors=HtmlForUnknownRoutes),
    ),
    Defect(
        "task-message-empty",
        "Task errors have an empty message",
        ("TERR-03",),
        lambda: Components(task_errors=EmptyMessages),
    ),
)
