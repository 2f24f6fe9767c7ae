"""Requests of the Messages surface for a channel that speaks OpenAI's format.

Tool results become messages of role tool, ahead of the rest of their turn. Thinking, cache marks, top_k and labels have
no counterpart and are left out; other fields and blocks without a counterpart would change the reply and are refused.
"""

from collections.abc import Mapping
from typing import Any

from reference_gateway.jsonwire import JsonObject, encode
from reference_gateway.validation.fields import invalid
from reference_gateway.validation.messages import MessagesRequest

_SAME_NAME = ("model", "max_tokens", "temperature", "top_p")
_TRANSLATED = frozenset(
    {*_SAME_NAME, "messages", "system", "stop_sequences", "metadata", "tools", "tool_choice", "stream"}
)
_WITHOUT_EFFECT = frozenset(
    {"thinking", "top_k", "cache_control", "service_tier", "inference_geo", "context_management"}
)
_LEFT_OUT = frozenset({"thinking", "redacted_thinking"})
_ROLE_OF_BLOCK: Mapping[str, str] = {"tool_result": "user", "image": "user", "tool_use": "assistant"}
_TOOL_CHOICES: Mapping[str, str] = {"auto": "auto", "none": "none", "any": "required"}


class RequestToOpenAI:
    """Translates a checked Messages request; raises `GatewayError` (400) for what has no counterpart."""

    def translate(self, request: MessagesRequest) -> JsonObject:
        """The body to POST."""
        body = request.body
        for name, value in body.items():
            if value is not None and name not in _TRANSLATED | _WITHOUT_EFFECT:
                raise invalid(name[:80], f"`{name[:80]}` is not served by this group; leave it out.")
        messages: list[JsonObject] = []
        if body.get("system"):
            messages.append({"role": "system", "content": _text_of(body["system"])})
        for index, turn in enumerate(body["messages"]):
            messages += self.turn(turn, f"messages[{index}]")
        if all(message["role"] == "system" for message in messages):
            raise invalid("messages", "`messages` must hold at least one message with content.")
        result: JsonObject = {name: body[name] for name in _SAME_NAME if body.get(name) is not None}
        result["messages"] = messages
        if body.get("stop_sequences"):
            result["stop"] = body["stop_sequences"]
        if isinstance(user := (body.get("metadata") or {}).get("user_id"), str):
            result["user"] = user
        if body.get("tools"):
            result["tools"] = [self.tool(tool, f"tools[{index}]") for index, tool in enumerate(body["tools"])]
        if body.get("tool_choice"):
            result |= self.tool_choice(body["tool_choice"])
        if request.stream:
            result |= {"stream": True, "stream_options": {"include_usage": True}}
        return result

    def turn(self, turn: JsonObject, place: str) -> list[JsonObject]:
        """One turn, as one message or more."""
        if isinstance(turn["content"], str):
            return [{"role": turn["role"], "content": turn["content"]}]
        results: list[JsonObject] = []
        parts: list[JsonObject] = []
        calls: list[JsonObject] = []
        for index, block in enumerate(turn["content"]):
            where = f"{place}.content[{index}]"
            if turn["role"] != _ROLE_OF_BLOCK.get(block["type"], turn["role"]):
                raise invalid(
                    f"{where}.type",
                    f"`{where}.type` {block['type']} does not belong in a turn of role {turn['role']}.",
                )
            if block["type"] == "tool_result":
                results.append(self.tool_result(block, where))
            elif block["type"] == "tool_use":
                calls.append(self.tool_call(block, where))
            elif block["type"] not in _LEFT_OUT:
                parts.append(self.part(block, where))
        if calls:
            return [*results, {"role": "assistant", "content": _joined(parts) or None, "tool_calls": calls}]
        if turn["role"] == "assistant":
            return [*results, {"role": "assistant", "content": _joined(parts)}]
        return [*results, {"role": "user", "content": parts}] if parts else results

    def part(self, block: JsonObject, place: str) -> JsonObject:
        """A text or image block."""
        if block["type"] == "text":
            return {"type": "text", "text": block["text"]}
        if block["type"] != "image":
            raise invalid(
                f"{place}.type", f"`{place}.type` {block['type'][:40]!r} is not served by this group."
            )
        source = block["source"]
        url = source.get("url") if source.get("type") == "url" else None
        if source.get("type") == "base64":
            url = f"data:{source['media_type']};base64,{source['data']}"
        if url is None:
            raise invalid(f"{place}.source", f"`{place}.source` must be of type url or base64 in this group.")
        return {"type": "image_url", "image_url": {"url": url}}

    def tool_result(self, block: JsonObject, place: str) -> JsonObject:
        """The answer to an earlier tool call; only text can be carried."""
        content = block.get("content") or ""
        if not isinstance(content, str) and not all(map(_is_text, content)):
            raise invalid(f"{place}.content", f"`{place}.content` may only hold text in this group.")
        return {
            "role": "tool",
            "tool_call_id": block["tool_use_id"],
            "content": _text_of(content),
        }

    def tool_call(self, block: JsonObject, place: str) -> JsonObject:
        """An earlier tool call."""
        if not isinstance(block.get("id"), str) or not isinstance(block.get("name"), str):
            raise invalid(place, f"`{place}` must have an id and a name.")
        arguments = encode(block.get("input") or {}).decode()
        return {
            "id": block["id"],
            "type": "function",
            "function": {"name": block["name"], "arguments": arguments},
        }

    def tool(self, tool: JsonObject, place: str) -> JsonObject:
        """A tool definition; the provider's own tools have no counterpart."""
        if tool.get("type", "custom") != "custom":
            raise invalid(f"{place}.type", f"`{place}.type` {tool['type']!r} is not served by this group.")
        function: JsonObject = {"name": tool["name"], "parameters": tool["input_schema"]}
        if tool.get("description"):
            function["description"] = tool["description"]
        return {"type": "function", "function": function}

    def tool_choice(self, choice: JsonObject) -> JsonObject:
        """The choice among the tools, and whether several may be called at once."""
        result: JsonObject = {}
        if choice["type"] == "tool":
            result["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}}
        else:
            result["tool_choice"] = _TOOL_CHOICES[choice["type"]]
        if choice.get("disable_parallel_tool_use") is True:
            result["parallel_tool_calls"] = False
        return result


def _is_text(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") == "text"


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(
        block["text"]
        for block in content
        if block.get("type") == "text" and isinstance(block.get("text"), str)
    )


def _joined(parts: list[JsonObject]) -> str:
    return "".join(part["text"] for part in parts if part["type"] == "text")
