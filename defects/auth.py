"""Keys: who is let in who must not be, and who is told what when refused."""

# ruff: noqa: ARG002 - a defect ignores what it ought to look at

from collections.abc import Mapping

from aiohttp import web

from defects.definition import Defect
from reference_gateway import Components
from reference_gateway.accounts import Account, AccountDirectory, Key, Workspace
from reference_gateway.authentication import Authenticator
from reference_gateway.calls import CallPlan, CallService
from reference_gateway.errors import ChatErrorRenderer, TaskErrorRenderer
from reference_gateway.failures import GatewayError, Kind, refuse


class FallsBackToHouseAccount(AccountDirectory):
    """A cache miss ends at the house account; common in gateways with a default tenant."""

    def key_for(self, secret: str) -> Key | None:
        return super().key_for(secret) or next(iter(self._keys.values()), None)


class HouseAccountForNoKey(AccountDirectory):
    """The empty key belongs to the house account, like a master key left empty in the settings."""

    def key_for(self, secret: str) -> Key | None:
        return super().key_for(secret) if secret else next(iter(self._keys.values()), None)


class NoKeyIsAnEmptyKey(Authenticator):
    """Looks an absent header up as the empty key."""

    def credential(self, headers: Mapping[str, str]) -> str:
        return super().credential(headers) if "Authorization" in headers else ""


class ForgetsRevocation(Authenticator):
    """Serves revoked keys; seen wherever keys are cached without an end."""

    def is_revoked(self, key: Key) -> bool:
        return False


class ServesBothWorkspaces(Authenticator):
    """One table of keys for both workspaces, and nobody looks at the column."""

    def belongs_here(self, key: Key) -> bool:
        return True


class TakesAnyScheme(Authenticator):
    """Takes the last word of the header as the key, whatever the scheme before it is."""

    def credential(self, headers: Mapping[str, str]) -> str:
        value = headers.get("Authorization", "").split()
        return value[-1] if len(value) == 2 else super().credential(headers)


class RepeatsTheKey(Authenticator):
    """Prints the refused key, as several vendors' own error texts half do."""

    def authenticate(self, headers: Mapping[str, str]) -> Account:
        try:
            return super().authenticate(headers)
        except GatewayError as refusal:
            if refusal.failure.kind is not Kind.INVALID_KEY:
                raise
            sent = self.credential(headers)
            raise refuse(Kind.INVALID_KEY, f"Incorrect API key provided: {sent}.") from refusal


class OneCodeForAllKeys(TaskErrorRenderer):
    """Every refused key is 10001; seen where the code is taken from the status."""

    def code_for(self, kind: Kind) -> int:
        key_failures = {Kind.MALFORMED_KEY, Kind.INVALID_KEY, Kind.REVOKED_KEY}
        return super().code_for(Kind.MISSING_KEY if kind in key_failures else kind)


class ForbidsMissingKey(ChatErrorRenderer):
    """403 where the key is missing, the default of a widely used web framework's bearer scheme."""

    def status_for(self, kind: Kind) -> int:
        return 403 if kind is Kind.MISSING_KEY else super().status_for(kind)

    def type_for(self, kind: Kind) -> str:
        return "authentication_error" if kind is Kind.MISSING_KEY else super().type_for(kind)


class BearerOnly(Authenticator):
    """Knows Bearer and nothing else on the Messages surface; stock SDKs of one vendor send x-api-key."""

    def credential(self, headers: Mapping[str, str]) -> str:
        self._api_key_header = False
        return super().credential(headers)


class PassesStrangersOn(Authenticator):
    """Leaves it to the billing step behind the upstream call to find out that a key is bad."""

    def authenticate(self, headers: Mapping[str, str]) -> Account:
        try:
            return super().authenticate(headers)
        except GatewayError:
            return Account("", Workspace.CHAT)


class RefusesStrangersAfterwards(CallService):
    """The other half: the call is made, and then found to be nobody's."""

    async def serve(self, request: web.Request, plan: CallPlan) -> web.StreamResponse:
        if plan.account.id:
            return await super().serve(request, plan)
        async with self._upstream.post(plan.channel, plan.upstream_body, plan.extra_headers):
            raise refuse(Kind.INVALID_KEY, "The API key is not valid here.")


DEFECTS = (
    Defect(
        "unknown-key-served",
        "A key that does not exist is served",
        ("AUTH-03", "CERR-401-1"),
        lambda: Components(directory=FallsBackToHouseAccount),
    ),
    Defect(
        "no-key-served",
        "A call without any key is served",
        ("AUTH-02", "CERR-401-1"),
        lambda: Components(directory=HouseAccountForNoKey, chat_authenticator=NoKeyIsAnEmptyKey),
    ),
    Defect(
        "revoked-key-served",
        "A revoked key still works on chat completions",
        ("CERR-401-1",),
        lambda: Components(chat_authenticator=ForgetsRevocation),
    ),
    Defect(
        "revoked-task-key-served",
        "A revoked key still works on the task gateway",
        ("TERR-12",),
        lambda: Components(tasks_authenticator=ForgetsRevocation),
    ),
    Defect(
        "task-key-served-on-chat",
        "A key of the task gateway is accepted on chat completions",
        ("AUTH-05",),
        lambda: Components(chat_authenticator=ServesBothWorkspaces),
    ),
    Defect(
        "task-key-served-on-messages",
        "A key of the task gateway is accepted on /v1/messages",
        ("AUTH-05",),
        lambda: Components(messages_authenticator=ServesBothWorkspaces),
    ),
    Defect(
        "chat-key-served-on-tasks",
        "A key of the chat workspace is accepted on the task gateway",
        ("AUTH-06",),
        lambda: Components(tasks_authenticator=ServesBothWorkspaces),
    ),
    Defect(
        "any-scheme-served",
        "The key is accepted under any scheme, Basic for one",
        ("AUTH-04",),
        lambda: Components(chat_authenticator=TakesAnyScheme),
    ),
    Defect(
        "any-scheme-served-on-tasks",
        "The task gateway takes the key under any scheme",
        ("TERR-10",),
        lambda: Components(tasks_authenticator=TakesAnyScheme),
    ),
    Defect(
        "missing-key-403",
        "A missing key is answered with 403",
        ("AUTH-02", "CERR-401-1"),
        lambda: Components(chat_errors=ForbidsMissingKey),
    ),
    Defect(
        "key-repeated-in-401",
        "The refused key is printed in the error message",
        ("PRAC-06",),
        lambda: Components(chat_authenticator=RepeatsTheKey),
    ),
    Defect(
        "one-code-for-all-keys",
        "An unknown task key has code 10001 and not 10003",
        ("TERR-11", "TERR-10", "TERR-12"),
        lambda: Components(task_errors=OneCodeForAllKeys),
    ),
    Defect(
        "x-api-key-refused",
        "/v1/messages does not take the key from x-api-key",
        ("AUTH-09",),
        lambda: Components(messages_authenticator=BearerOnly),
    ),
    Defect(
        "upstream-called-before-key-check",
        "The provider is called before the key is looked at",
        ("AUTH-11",),
        lambda: Components(chat_authenticator=PassesStrangersOn, calls=RefusesStrangersAfterwards),
    ),
)
