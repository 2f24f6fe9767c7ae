"""Token groups of the chat workspace: who serves a call, and calls that name a group at all."""

# ruff: noqa: ARG002 - a defect ignores what it ought to look at

from abc import abstractmethod
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import replace
from functools import cached_property
from typing import ClassVar

from aiohttp import web

from defects.definition import Defect
from reference_gateway import Components
from reference_gateway.chat_surface import ChatSurface
from reference_gateway.config import Channel, ChatModel, FieldRule, Group
from reference_gateway.jsonwire import JsonObject
from reference_gateway.routing import Router
from reference_gateway.validation.chat import ChatRequest, OpenAIChatValidator

_KEY: ContextVar[str] = ContextVar("key")


class LastGroupByDefault(Router):
    """Sends calls that name no group to the last group by name."""

    def group(self, name: str | None) -> Group:
        return super().group(name or max(self._groups))


class OneChannelForAllGroups(Router):
    """Knows the groups, and routes every call by the default one."""

    def channel(self, group: Group, model: ChatModel) -> Channel:
        return super().channel(super().group(None), model)


class RemembersGroups(ChatSurface):
    """Keeps a group by key, as a cache in front of the routing would."""

    @cached_property
    def groups(self) -> dict[str, str]:
        """By key."""
        return {}

    async def serve(self, request: web.Request) -> web.StreamResponse:
        _KEY.set(request.headers.get("Authorization", ""))
        return await super().serve(request)

    def checked(self, body: JsonObject, model: ChatModel) -> ChatRequest:
        request = super().checked(body, model)
        self._router.group(request.group)
        return replace(request, group=self.chosen(_KEY.get(), request.group))

    @abstractmethod
    def chosen(self, key: str, named: str | None) -> str | None:
        """The group that serves a call which named this one, or none."""


class LastGroupOfTheKey(RemembersGroups):
    """A call that names no group is served by the one that its key named last."""

    def chosen(self, key: str, named: str | None) -> str | None:
        if named is not None:
            self.groups[key] = named
        return self.groups.get(key)


class FirstGroupOfTheKey(RemembersGroups):
    """The first group that a key names serves all its calls that name one."""

    def chosen(self, key: str, named: str | None) -> str | None:
        return None if named is None else self.groups.setdefault(key, named)


class NoGroups(OpenAIChatValidator):
    """Refuses `group`, which is not in the public format."""

    rules: ClassVar[Mapping[str, FieldRule]] = {
        name: rule for name, rule in OpenAIChatValidator.rules.items() if name != "group"
    }


DEFECTS = (
    Defect(
        "default-group-is-the-last",
        "A call without `group` is served by another group than the default one",
        ("CREQ-15",),
        lambda: Components(router=LastGroupByDefault),
    ),
    Defect(
        "group-without-effect",
        "`group` does not change which channel serves",
        ("CREQ-16",),
        lambda: Components(router=OneChannelForAllGroups),
    ),
    Defect(
        "default-group-is-the-last-named",
        "A call without `group` is served by the group that its key named last",
        ("CREQ-15",),
        lambda: Components(chat_surface=LastGroupOfTheKey),
    ),
    Defect(
        "group-kept-by-key",
        "The first `group` that a key names serves all its calls",
        ("CREQ-16",),
        lambda: Components(chat_surface=FirstGroupOfTheKey),
    ),
    Defect(
        "group-refused",
        "`group` is refused as an unknown field",
        ("CREQ-14", "GPT-02"),
        lambda: Components(openai_validator=NoGroups),
    ),
)
