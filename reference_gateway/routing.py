"""Which upstream channel serves a call: the group chooses the pool, the model the channel in it.

Source: public docs, `group` (omitted means "default"; it is not an OpenAI field and stays inside the gateway).
"""

from collections.abc import Mapping

from reference_gateway.config import DEFAULT_GROUP, Channel, ChatModel, Group
from reference_gateway.failures import Kind, refuse


class Router:
    """Looks up groups and channels."""

    def __init__(self, groups: Mapping[str, Group], channels: Mapping[str, Channel]) -> None:
        self._groups = groups
        self._channels = channels

    def group(self, name: str | None) -> Group:
        """The named group, or the default one; raises `GatewayError` for an unknown name."""
        group = self._groups.get(name or DEFAULT_GROUP)
        if group is None:
            raise refuse(
                Kind.UNKNOWN_GROUP, f"There is no group {name!r}; omit `group` for default routing.", "group"
            )
        return group

    def channel(self, group: Group, model: ChatModel) -> Channel:
        """The group's channel for a model; raises `GatewayError` when the group does not serve it."""
        name = group.routes.get(model.id)
        if name is None:
            raise refuse(
                Kind.UNKNOWN_MODEL,
                f"Group {group.name} does not serve {model.id}; choose another group.",
                "model",
            )
        return self._channels[name]
