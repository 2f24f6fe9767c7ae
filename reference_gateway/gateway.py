"""Puts the parts together, opens the listeners, and takes everything down again in order."""

import asyncio
import logging
import socket
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from reference_gateway.accounts import AccountDirectory, Workspace
from reference_gateway.aimlapi.surface import AimlapiParts
from reference_gateway.chat_surface import chat_application
from reference_gateway.components import Components
from reference_gateway.config import DEFAULT_GROUP, Address, Dialect, GatewayConfig
from reference_gateway.database import StorageError
from reference_gateway.ledger import Ledger
from reference_gateway.membership import Membership
from reference_gateway.operator_api import BASE as OPERATOR_BASE
from reference_gateway.operator_api import OperatorApi
from reference_gateway.rate_card import rate_card
from reference_gateway.storage import Counting, open_database
from reference_gateway.tasks import surface as tasks_surface_module
from reference_gateway.tasks.worker import TaskWorker
from reference_gateway.upstream import UpstreamClient

_BACKLOG = 1024
_ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - compared with, not listened on

_log = logging.getLogger(__name__)


class GatewayStartError(RuntimeError):
    """The gateway cannot start; the message says which part and why."""


class Gateway:
    """A complete gateway. Use it as an async context manager; it may share its event loop with others.

    Without a database path everything lives in a private temporary folder that goes away at the end.
    """

    def __init__(
        self,
        config: GatewayConfig,
        components: Components | None = None,
        sockets: Mapping[str, socket.socket] | None = None,
    ) -> None:
        """`sockets` are listening ones to take instead of opening addresses, by surface."""
        self._config = config
        self._sockets = sockets or {}
        self._runners: list[web.AppRunner] = []
        self._middlewares: tuple[Middleware, ...] = ()
        self._components = components or Components.default()
        self._stack = AsyncExitStack()
        self._chat_root = self._tasks_root = self._operator_root = self._aimlapi_root = ""

    @property
    def chat_url(self) -> str:
        """Base URL for OpenAI clients."""
        return f"{self._chat_root}/v1"

    @property
    def messages_url(self) -> str:
        """Base URL for Anthropic clients."""
        return self._chat_root

    @property
    def tasks_url(self) -> str:
        """Base URL of the task gateway."""
        return self._tasks_root + tasks_surface_module.BASE

    @property
    def aimlapi_url(self) -> str:
        """Base URL of the AI/ML API surface."""
        return f"{self._aimlapi_root}/v1"

    @property
    def operator_url(self) -> str:
        """Base URL of the operator API."""
        return self._operator_root + OPERATOR_BASE

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        config, parts = self._config, self._components
        folder = self._folder()
        try:
            database = open_database(config, folder)
            membership = Membership(database, config.lease_s)
            await database.start()
            self._stack.push_async_callback(database.close)
            await membership.join()
        except StorageError as error:
            raise GatewayStartError(f"the database cannot be opened: {error}") from error
        self._stack.push_async_callback(membership.stop)
        counting = Counting(database)

        ledger = parts.ledger(database)
        directory = parts.directory(database, ledger)
        store = parts.task_store(database, ledger)
        await directory.load()
        await ledger.use_rate_card(rate_card(config))

        upstream = parts.upstream(config.upstream_timeout_s)
        self._stack.push_async_callback(upstream.close)
        await upstream.start()
        chat = self._chat_application(directory, ledger, upstream, counting)
        aimlapi = self._aimlapi_application(directory, ledger, upstream, counting)
        media = parts.media_client(config.media, config.upstream_timeout_s)
        self._stack.push_async_callback(media.close)
        await media.start()

        storage = parts.media_storage(folder / "media")
        worker = parts.task_worker(
            store,
            parts.task_outcomes(store),
            media,
            storage,
            config.task_poll_interval_s,
            config.task_timeout_s,
            membership.holds_lease,
        )
        self._stack.push_async_callback(worker.stop)
        service = parts.task_service(parts.task_validator(config.task_models), store, worker, ledger)
        self._stack.push_async_callback(service.close)
        view = parts.task_view()
        tasks = parts.tasks_surface(
            parts.tasks_authenticator(directory, Workspace.TASKS),
            parts.user_limiter(counting.windows("tasks"), config.task_rate_limit),
            service,
            storage,
            view,
            parts.task_errors(),
        )
        operator = OperatorApi(config.operator_token, directory, ledger, store)
        self._stack.push_async_callback(self._drain)
        if database.shared:
            self._middlewares = (_up_to_date(directory),)
        self._tasks_root = await self._listen(tasks.application(), "tasks", config.listen.tasks)
        view.media_base = config.public_tasks_url or self._tasks_root
        await _take_over(ledger, worker)
        membership.start(lambda: _take_over(ledger, worker))
        self._chat_root = await self._listen(chat, "chat", config.listen.chat)
        self._aimlapi_root = await self._listen(aimlapi, "aimlapi", config.listen.aimlapi)
        self._operator_root = await self._listen(operator.application(), "operator", config.listen.operator)

    def _chat_application(
        self, directory: AccountDirectory, ledger: Ledger, upstream: UpstreamClient, counting: Counting
    ) -> web.Application:
        config, parts = self._config, self._components
        pricing = parts.pricing(config.web_search_fee)
        calls = parts.calls(
            parts.group_limiter(counting.windows("chat")),
            ledger,
            pricing,
            upstream,
            parts.relay(),
            parts.payment,
        )
        router = parts.router(config.groups, config.channels)
        shelf = parts.models(config.models)
        chat_errors, messages_errors = parts.chat_errors(), parts.messages_errors()
        authenticator = parts.chat_authenticator(directory, Workspace.CHAT)
        chat = parts.chat_surface(
            authenticator,
            shelf,
            {Dialect.OPENAI: parts.openai_validator(), Dialect.ANTHROPIC: parts.claude_validator()},
            router,
            calls,
            parts.request_to_anthropic(),
            parts.chat_translators,
            chat_errors,
        )
        messages = parts.messages_surface(
            parts.messages_authenticator(directory, Workspace.CHAT, api_key_header=True),
            shelf,
            parts.messages_validator(),
            router,
            calls,
            parts.request_to_openai(),
            parts.messages_translators,
            messages_errors,
        )
        either = parts.messages_authenticator(directory, Workspace.CHAT, api_key_header=True)
        return chat_application(chat, messages, shelf, either, chat_errors, messages_errors)

    def _aimlapi_application(
        self, directory: AccountDirectory, ledger: Ledger, upstream: UpstreamClient, counting: Counting
    ) -> web.Application:
        config, parts = self._config, self._components
        service = config.aimlapi
        pricing = parts.pricing(config.web_search_fee)
        limiter = parts.aimlapi_limiter(
            counting.windows("aimlapi"), service.concurrent_requests, counting.running_calls()
        )
        surface = parts.aimlapi_surface(
            AimlapiParts(
                authenticator=parts.aimlapi_authenticator(directory, Workspace.AIMLAPI),
                shelf=parts.aimlapi_models(service.models),
                validator=parts.aimlapi_validator(),
                router=parts.router({DEFAULT_GROUP: service.group}, config.channels),
                limiter=limiter,
                calls=parts.calls(limiter, ledger, pricing, upstream, parts.relay(), parts.payment),
                request_translator=parts.aimlapi_requests(),
                reply=parts.aimlapi_reply,
                stream=parts.aimlapi_stream,
                costs=parts.aimlapi_costs(),
                tracing=parts.aimlapi_tracing(),
                errors=parts.aimlapi_errors,
            )
        )
        return surface.application()

    def _folder(self) -> Path:
        """Where files live: as configured, beside the database, or in a private temporary folder."""
        if self._config.files is not None:
            return self._config.files
        if isinstance(self._config.database, Path):
            return self._config.database.parent / f"{self._config.database.stem}.files"
        return Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="reference-gateway-")))

    async def _listen(self, app: web.Application, name: str, address: Address) -> str:
        app.middlewares.extend(self._middlewares)
        runner = web.AppRunner(
            app,
            handler_cancellation=True,
            access_log=None,
            shutdown_timeout=self._config.drain_s,
            handle_signals=False,
        )
        await runner.setup()
        self._runners.append(runner)
        inherited = self._sockets.get(name)
        site: web.BaseSite = (
            web.TCPSite(runner, address.host, address.port, backlog=_BACKLOG)
            if inherited is None
            else web.SockSite(runner, inherited, backlog=_BACKLOG)
        )
        try:
            await site.start()
        except OSError as error:
            raise GatewayStartError(
                f"cannot listen on {address.host}:{address.port} ({error.strerror}); choose another port, or 0"
            ) from error
        return root_url(address.host, runner.addresses[0][1])

    async def _drain(self) -> None:
        """Refuse new connections everywhere first, then let what is under way end, within the bound."""
        for runner in self._runners:
            for site in list(runner.sites):
                await site.stop()
        await asyncio.gather(*(runner.cleanup() for runner in self._runners))


def root_url(host: str, port: int) -> str:
    """How callers on this machine reach a listener."""
    return f"http://{_ANY_HOST.get(host, host)}:{port}"


def _up_to_date(directory: AccountDirectory) -> Middleware:
    """Before each request, see what other processes have done to accounts and keys."""

    @web.middleware
    async def look(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            await directory.catch_up()
        except StorageError as error:
            # Without the database no call can be paid either: the ledger refuses it in the surface's own words.
            _log.error("accounts may be out of date: %s", error)
        return await handler(request)

    return look


async def _take_over(ledger: Ledger, worker: TaskWorker) -> None:
    """Give back the holds and go on with the tasks of workers that are gone."""
    if released := await ledger.release_open_holds():
        _log.warning("released %d holds of calls that a stop had interrupted", released)
    await worker.recover()


async def serve_until(stop: asyncio.Event, gateway: Gateway) -> None:
    """Run a gateway until the event is set, saying where it listens."""
    async with gateway:
        for name, url in (
            ("chat", gateway.chat_url),
            ("messages", gateway.messages_url),
            ("tasks", gateway.tasks_url),
            ("aimlapi", gateway.aimlapi_url),
            ("operator", gateway.operator_url),
        ):
            print(f"{name:9}{url}", flush=True)  # noqa: T201 - the program's output
        await stop.wait()
