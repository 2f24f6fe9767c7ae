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

from reference_gateway.accounts import AccountDirectory, Workspace
from reference_gateway.aimlapi.surface import AimlapiParts
from reference_gateway.chat_surface import SurfaceParts, chat_routes
from reference_gateway.components import Components
from reference_gateway.config import DEFAULT_GROUP, Address, Dialect, GatewayConfig
from reference_gateway.database import StorageError
from reference_gateway.ledger import Ledger
from reference_gateway.listener import HostTable, Listener
from reference_gateway.membership import Membership
from reference_gateway.observation.health import HEALTH_PATH, READY_PATH, Health, metrics_routes
from reference_gateway.observation.tracing import Tracing, TracingUnavailableError, provider_for
from reference_gateway.observation.watch import Watch
from reference_gateway.operator_api import BASE as OPERATOR_BASE
from reference_gateway.operator_api import OperatorApi
from reference_gateway.rate_card import rate_card
from reference_gateway.storage import Counting, open_database
from reference_gateway.surface import SurfaceRoutes
from reference_gateway.tasks import surface as tasks_surface_module
from reference_gateway.tasks.worker import TaskWorker
from reference_gateway.upstream import UpstreamClient

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
        tracing: Tracing | None = None,
    ) -> None:
        """`sockets` are listening ones to take instead of opening addresses, by surface."""
        self._config = config
        self._sockets = sockets or {}
        self._components = components or Components.default()
        self._stack = AsyncExitStack()
        self._watch = Watch(tracing=tracing)
        self._listeners: list[Listener] = []
        self._roots: dict[str, str] = {}

    @property
    def chat_url(self) -> str:
        """Base URL for OpenAI clients."""
        return f"{self._roots['chat']}/v1"

    @property
    def messages_url(self) -> str:
        """Base URL for Anthropic clients."""
        return self._roots["chat"]

    @property
    def tasks_url(self) -> str:
        """Base URL of the task gateway."""
        return self._roots["tasks"] + tasks_surface_module.BASE

    @property
    def aimlapi_url(self) -> str:
        """Base URL of the AI/ML API surface."""
        return f"{self._roots['aimlapi']}/v1"

    @property
    def operator_url(self) -> str:
        """Base URL of the operator API."""
        return self._roots["operator"] + OPERATOR_BASE

    @property
    def metrics_url(self) -> str:
        """Where Prometheus scrapes: the metrics listener, or the operator's, which wants its token."""
        return self._roots.get("metrics", self._roots["operator"]) + "/metrics"

    @property
    def watch(self) -> Watch:
        """What is counted and traced."""
        return self._watch

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
        self._start_tracing()
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
        self._stack.push_async_callback(ledger.close)
        directory = parts.directory(database, ledger)
        store = parts.task_store(database, ledger)
        await directory.load()
        await ledger.use_rate_card(rate_card(config))

        upstream = parts.upstream(config.upstream_timeout_s, config.limits.reply_bytes)
        self._stack.push_async_callback(upstream.close)
        await upstream.start()
        chat = self._chat_routes(directory, ledger, upstream, counting)
        aimlapi = self._aimlapi_routes(directory, ledger, upstream, counting)
        media = parts.media_client(config.media, config.upstream_timeout_s)
        self._stack.push_async_callback(media.close)
        await media.start()

        storage = parts.media_storage(folder / "media", config.media.result_bytes)
        worker = parts.task_worker(
            store,
            parts.task_outcomes(store, self._watch.metrics.task_ended),
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
            self._watch.metrics,
        )
        operator = OperatorApi(config, directory, ledger, store, self._watch.metrics)
        surfaces = {"chat": chat, "tasks": tasks.routes(), "aimlapi": aimlapi, "operator": operator.routes()}
        self._stack.push_async_callback(self._drain)
        await _take_over(ledger, worker)
        membership.start(lambda: _take_over(ledger, worker))
        await self._listen(surfaces, ledger, directory if database.shared else None, view)

    def _chat_routes(
        self, directory: AccountDirectory, ledger: Ledger, upstream: UpstreamClient, counting: Counting
    ) -> SurfaceRoutes:
        config, parts = self._config, self._components
        pricing = parts.pricing(config.web_search_fee)
        calls = parts.calls(
            parts.group_limiter(counting.windows("chat")),
            ledger,
            pricing,
            upstream,
            parts.relay(),
            parts.payment,
            self._watch,
        )
        router = parts.router(config.groups, config.channels)
        shelf = parts.models(config.models)
        chat_errors, messages_errors = parts.chat_errors(), parts.messages_errors()
        chat = parts.chat_surface(
            SurfaceParts(
                parts.chat_authenticator(directory, Workspace.CHAT),
                shelf,
                router,
                calls,
                parts.chat_translators,
                chat_errors,
            ),
            {Dialect.OPENAI: parts.openai_validator(), Dialect.ANTHROPIC: parts.claude_validator()},
            parts.request_to_anthropic(),
        )
        messages = parts.messages_surface(
            SurfaceParts(
                parts.messages_authenticator(directory, Workspace.CHAT, api_key_header=True),
                shelf,
                router,
                calls,
                parts.messages_translators,
                messages_errors,
            ),
            parts.messages_validator(),
            parts.request_to_openai(),
        )
        either = parts.messages_authenticator(directory, Workspace.CHAT, api_key_header=True)
        return chat_routes(chat, messages, shelf, either, chat_errors, messages_errors)

    def _aimlapi_routes(
        self, directory: AccountDirectory, ledger: Ledger, upstream: UpstreamClient, counting: Counting
    ) -> SurfaceRoutes:
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
                calls=parts.calls(
                    limiter, ledger, pricing, upstream, parts.relay(), parts.payment, self._watch
                ),
                request_translator=parts.aimlapi_requests(),
                reply=parts.aimlapi_reply,
                stream=parts.aimlapi_stream,
                costs=parts.aimlapi_costs(),
                tracing=parts.aimlapi_tracing(),
                errors=parts.aimlapi_errors,
            )
        )
        return surface.routes()

    def _folder(self) -> Path:
        """Where files live: as configured, beside the database, or in a private temporary folder."""
        if self._config.files is not None:
            return self._config.files
        if isinstance(self._config.database, Path):
            return self._config.database.parent / f"{self._config.database.stem}.files"
        return Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="reference-gateway-")))

    def _start_tracing(self) -> None:
        if self._watch.tracing is not None or self._config.tracing is None:
            return
        try:
            provider = provider_for(self._config.tracing)
        except TracingUnavailableError as error:
            raise GatewayStartError(str(error)) from error
        self._stack.push_async_callback(asyncio.to_thread, provider.shutdown)
        self._watch.tracing = Tracing(provider)

    async def _listen(
        self,
        surfaces: Mapping[str, SurfaceRoutes],
        ledger: Ledger,
        shared_accounts: AccountDirectory | None,
        view: tasks_surface_module.TaskView,
    ) -> None:
        """Open every listener: the shared one for the surfaces that have host names, one each for the others."""
        listen = self._config.listen
        health = Health(ledger, lambda: self._listeners)
        probes = {("GET", HEALTH_PATH): health.alive, ("GET", READY_PATH): health.ready}
        surfaces = {name: routes.joined(probes) for name, routes in surfaces.items()}
        own = {
            "chat": listen.chat,
            "tasks": listen.tasks,
            "aimlapi": listen.aimlapi,
            "operator": listen.operator,
        }
        if (shared := listen.shared) is not None:
            by_name = {name: surfaces[surface] for surface, names in shared.names.items() for name in names}
            first = surfaces[next(iter(shared.names))]
            listener = await self._open("shared", HostTable(first, by_name), shared.address, shared_accounts)
            for surface, names in shared.names.items():
                del own[surface]
                self._roots[surface] = f"http://{names[0]}:{listener.port}"
            view.media_base = self._config.public_tasks_url or self._roots.get("tasks", "")
        for surface, address in own.items():
            listener = await self._open(surface, HostTable(surfaces[surface]), address, shared_accounts)
            self._roots[surface] = listener.root
            if surface == "tasks":
                view.media_base = self._config.public_tasks_url or listener.root
        if listen.metrics is not None:
            hosts = HostTable(metrics_routes(self._watch.metrics).joined(probes))
            self._roots["metrics"] = (await self._open("metrics", hosts, listen.metrics, None)).root

    async def _open(
        self, name: str, hosts: HostTable, address: Address, shared_accounts: AccountDirectory | None
    ) -> Listener:
        before = None if shared_accounts is None else lambda: _catch_up(shared_accounts)
        listener = Listener(hosts, self._config.limits, self._config.drain_s, self._watch, before)
        self._listeners.append(listener)
        try:
            await listener.start(address, self._sockets.get(name))
        except OSError as error:
            raise GatewayStartError(
                f"cannot listen on {address.host}:{address.port} ({error.strerror}); choose another port, or 0"
            ) from error
        return listener

    async def _drain(self) -> None:
        """Refuse new connections everywhere first, then let what is under way end, within the bound."""
        for listener in self._listeners:
            await listener.stop_accepting()
        await asyncio.gather(*(listener.close() for listener in self._listeners))


async def _catch_up(directory: AccountDirectory) -> None:
    """Before each request, see what other processes have done to accounts and keys."""
    try:
        await directory.catch_up()
    except StorageError as error:
        # Without the database no call can be paid either: the ledger refuses it in the surface's own words.
        _log.error("accounts may be out of date: %s", error)


async def _take_over(ledger: Ledger, worker: TaskWorker) -> None:
    """Give back the holds and go on with the tasks of workers that are gone."""
    if released := await ledger.release_open_holds():
        _log.warning("released %d holds of calls that a stop had interrupted", released)
    await worker.recover()
