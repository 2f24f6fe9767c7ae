"""Puts the parts together, opens the listeners, and takes everything down again in order."""

import asyncio
import logging
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from reference_gateway import ledger as ledger_module
from reference_gateway.accounts import AccountDirectory, Workspace
from reference_gateway.aimlapi.surface import AimlapiParts
from reference_gateway.chat_surface import chat_application
from reference_gateway.components import Components
from reference_gateway.config import DEFAULT_GROUP, Address, Dialect, GatewayConfig
from reference_gateway.database import Database
from reference_gateway.ledger import Ledger
from reference_gateway.operator_api import BASE as OPERATOR_BASE
from reference_gateway.operator_api import OperatorApi
from reference_gateway.tasks import store as task_store_module
from reference_gateway.tasks import surface as tasks_surface_module
from reference_gateway.upstream import UpstreamClient

_SHUTDOWN_S = 2.0
_BACKLOG = 1024
_ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - compared with, not listened on

_log = logging.getLogger(__name__)


class GatewayStartError(RuntimeError):
    """The gateway cannot start; the message says which part and why."""


class Gateway:
    """A complete gateway. Use it as an async context manager; it may share its event loop with others.

    Without a database path everything lives in a private temporary folder that goes away at the end.
    """

    def __init__(self, config: GatewayConfig, components: Components | None = None) -> None:
        self._config = config
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
        database = Database(config.database or folder / "gateway.sqlite")
        try:
            await database.start(ledger_module.SCHEMA + task_store_module.SCHEMA)
        except Exception as error:
            raise GatewayStartError(f"the database cannot be opened: {error}") from error
        self._stack.push_async_callback(database.close)

        ledger = parts.ledger(database)
        directory = parts.directory(database, ledger)
        store = parts.task_store(database, ledger)
        await directory.load()
        if released := await ledger.release_open_holds():
            _log.warning("released %d holds of calls that a stop had interrupted", released)

        upstream = parts.upstream(config.upstream_timeout_s)
        self._stack.push_async_callback(upstream.close)
        await upstream.start()
        chat = self._chat_application(directory, ledger, upstream)
        aimlapi = self._aimlapi_application(directory, ledger, upstream)
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
        )
        self._stack.push_async_callback(worker.stop)
        service = parts.task_service(parts.task_validator(config.task_models), store, worker, ledger)
        self._stack.push_async_callback(service.close)
        view = parts.task_view()
        tasks = parts.tasks_surface(
            parts.tasks_authenticator(directory, Workspace.TASKS),
            parts.user_limiter(config.task_rate_limit),
            service,
            storage,
            view,
            parts.task_errors(),
        )
        operator = OperatorApi(config.operator_token, directory, ledger, store)
        self._tasks_root = await self._listen(tasks.application(), config.listen.tasks)
        view.media_base = config.public_tasks_url or self._tasks_root
        await worker.recover()
        self._chat_root = await self._listen(chat, config.listen.chat)
        self._aimlapi_root = await self._listen(aimlapi, config.listen.aimlapi)
        self._operator_root = await self._listen(operator.application(), config.listen.operator)

    def _chat_application(
        self, directory: AccountDirectory, ledger: Ledger, upstream: UpstreamClient
    ) -> web.Application:
        config, parts = self._config, self._components
        pricing = parts.pricing(config.web_search_fee)
        calls = parts.calls(parts.group_limiter(), ledger, pricing, upstream, parts.relay(), parts.payment)
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
        self, directory: AccountDirectory, ledger: Ledger, upstream: UpstreamClient
    ) -> web.Application:
        config, parts = self._config, self._components
        service = config.aimlapi
        pricing = parts.pricing(config.web_search_fee)
        limiter = parts.aimlapi_limiter(service.concurrent_requests)
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
        """Where files live: beside the database, or in a private temporary folder."""
        if self._config.database is not None:
            return self._config.database.parent / f"{self._config.database.stem}.files"
        return Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="reference-gateway-")))

    async def _listen(self, app: web.Application, address: Address) -> str:
        runner = web.AppRunner(
            app,
            handler_cancellation=True,
            access_log=None,
            shutdown_timeout=_SHUTDOWN_S,
            handle_signals=False,
        )
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, address.host, address.port, backlog=_BACKLOG)
        try:
            await site.start()
        except OSError as error:
            raise GatewayStartError(
                f"cannot listen on {address.host}:{address.port} ({error.strerror}); choose another port, or 0"
            ) from error
        port = runner.addresses[0][1]
        host = _ANY_HOST.get(address.host, address.host)
        return f"http://{host}:{port}"


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
