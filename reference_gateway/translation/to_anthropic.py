"""Requests of the chat surface for a channel that speaks Anthropic's format.

System and developer messages become `system`; tool results become blocks of the next user turn; neighbouring turns of
one role become one turn, because the Messages format wants all results of a round together. Empty texts, which that
format refuses, are left out, and so are turns of nothing else. An earlier refusal goes on as text.
"""

from typing import Any

from reference_gateway.jsonwire import JsonObject, NotJsonError, decode_object
from reference_gateway.validation.chat import ChatRequest
from reference_gateway.validation.fields import invalid
from reference_gateway.validation.images import WebImage, read_image_url

Blocks = list[JsonObject]

_TOOL_CHOICES: dict[str, JsonObject] = {
    "auto": {"type": "auto"},
    "none": {"type": "none"},
    "required": {"type": "any"},
}
_SAME_NAME = ("temperature", "top_p")
_EMPTY_SCHEMA: JsonObject = {"type": "object", "properties": {}}


class RequestToAnthropic:
    """Translates a checked chat request; raises `GatewayError` (400) for what has no counterpart."""

    def translate(self, request: ChatRequest) -> JsonObject:
        """The body to POST."""
        body = request.body
        system, turns = self.conversation(body["messages"])
        limits = (body.get(name) for name in ("max_tokens", "max_completion_tokens"))
        most = min(limit for limit in limits if limit is not None)
        result: JsonObject = {"model": body["model"], "max_tokens": most, "messages": turns}
        if system:
            result["system"] = system[0]["text"] if len(system) == 1 else system
        for name in _SAME_NAME:
            if body.get(name) is not None:
                result[name] = body[name]
        if body.get("stop"):
            result["stop_sequences"] = [body["stop"]] if isinstance(body["stop"], str) else body["stop"]
        if body.get("user"):
            result["metadata"] = {"user_id": body["user"]}
        if request.stream:
            result["stream"] = True
        if body.get("tools"):
            result["tools"] = [self.tool(tool, f"tools[{index}]") for index, tool in enumerate(body["tools"])]
            choice = self.tool_choice(body.get("tool_choice"), parallel=body.get("parallel_tool_calls"))
            if choice is not None:
                result["tool_choice"] = choice
        return result

    def conversation(self, messages: list[JsonObject]) -> tuple[Blocks, list[JsonObject]]:
        """The system blocks and the turns of a list of messages."""
        turns: list[JsonObject] = []
        system: Blocks = []
        for index, message in enumerate(messages):
            if message["role"] in {"system", "developer"}:
                system += self.text_blocks(message["content"])
            else:
                turn = self.turn(message, f"messages[{index}]")
                if turn["content"]:
                    self._append(turns, turn)
        if not turns:
            raise invalid(
                "messages",
                "`messages` must hold at least one message with content that is not a system message.",
            )
        return system, turns

    def turn(self, message: JsonObject, place: str) -> JsonObject:
        """One message as a turn of the Messages format."""
        content = message.get("content") or message.get("refusal")
        if message["role"] == "tool":
            result: JsonObject = {"type": "tool_result", "tool_use_id": message["tool_call_id"]}
            if content:
                result["content"] = content if isinstance(content, str) else self.blocks(content, place)
            return {"role": "user", "content": [result]}
        if message.get("tool_calls"):
            blocks = self.text_blocks(content) if content else []
            blocks += [
                self.tool_use(call, f"{place}.tool_calls[{index}]")
                for index, call in enumerate(message["tool_calls"])
            ]
            return {"role": "assistant", "content": blocks}
        return {
            "role": message["role"],
            "content": content if isinstance(content, str) else self.blocks(content or [], place),
        }

    def blocks(self, parts: list[Any], place: str) -> Blocks:
        """Content parts as blocks."""
        blocks = [self.block(part, f"{place}.content[{index}]") for index, part in enumerate(parts)]
        return [block for block in blocks if block["type"] != "text" or block["text"]]

    def block(self, part: JsonObject, place: str) -> JsonObject:
        """One content part."""
        if part["type"] in {"text", "refusal"}:
            return {"type": "text", "text": part[part["type"]]}
        image = read_image_url(part["image_url"]["url"], f"{place}.image_url.url")
        if isinstance(image, WebImage):
            source = {"type": "url", "url": image.url}
        else:
            source = {"type": "base64", "media_type": image.media_type, "data": image.data}
        return {"type": "image", "source": source}

    def text_blocks(self, content: Any) -> Blocks:
        """Content of text alone."""
        if isinstance(content, str):
            return [{"type": "text", "text": content}] if content else []
        return self.blocks(content, "content")

    def tool_use(self, call: JsonObject, place: str) -> JsonObject:
        """An earlier tool call; its arguments must be the text of a JSON object."""
        function = call.get("function")
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(call.get("id"), str) or not isinstance(function, dict) or not isinstance(name, str):
            raise invalid(place, f"`{place}` must have an id and a function with a name.")
        arguments = function.get("arguments") or "{}"
        try:
            parsed = decode_object(arguments)
        except (NotJsonError, TypeError) as error:
            where = f"{place}.function.arguments"
            raise invalid(where, f"`{where}` must be the text of a JSON object.") from error
        return {"type": "tool_use", "id": call["id"], "name": name, "input": parsed}

    def tool(self, tool: JsonObject, place: str) -> JsonObject:
        """A tool definition."""
        if tool["type"] != "function":
            raise invalid(f"{place}.type", f"`{place}.type` must be function.")
        function = tool["function"]
        result: JsonObject = {"name": function["name"]}
        if function.get("description"):
            result["description"] = function["description"]
        result["input_schema"] = function.get("parameters") or _EMPTY_SCHEMA
        return result

    def tool_choice(self, choice: Any, *, parallel: bool | None) -> JsonObject | None:
        """The choice among the tools; `parallel` false allows one call at a time."""
        result: JsonObject | None = None
        if isinstance(choice, str):
            result = dict(_TOOL_CHOICES[choice])
        elif isinstance(choice, dict):
            result = {"type": "tool", "name": choice["function"]["name"]}
        if parallel is False:
            result = result or {"type": "auto"}
            if result["type"] != "none":
                result["disable_parallel_tool_use"] = True
        return result

    def _append(self, turns: list[JsonObject], turn: JsonObject) -> None:
        if turns and turns[-1]["role"] == turn["role"]:
            last = turns[-1]
            last["content"] = self._as_blocks(last["content"]) + self._as_blocks(turn["content"])
        else:
            turns.append(turn)

    def _as_blocks(self, content: str | Blocks) -> Blocks:
        return self.text_blocks(content) if isinstance(content, str) else content
