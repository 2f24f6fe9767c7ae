"""Token groups of the chat workspace: who serves a call, and calls that name a group at all."""

# ruff: noqa: ARG002 - a defect ignores what it ought to look at

from collections.abc import Mapping
from typing import ClassVar

from defects.definition import Defect
from reference_gateway import Components
from reference_gateway.config import Channel, ChatModel, FieldRule, Group
from reference_gateway.routing import Router
from reference_gateway.validation.chat import OpenAIChatValidator


class LastGroupByDefault(Router):
    """Sends calls that name no group to the last group by name."""

    def group(self, name: str | None) -> Group:
        return super().group(name or max(self._groups))


class OneChannelForAllGroups(Router):
    """Knows the groups, and routes every call by the default one."""

    def channel(self, group: Group, model: ChatModel) -> Channel:
        return super().channel(super().group(None), model)


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
        "group-refused",
        "`group` is refused as an unknown field",
        ("CREQ-14", "GPT-02"),
        lambda: Components(openai_validator=NoGroups),
    ),
)
