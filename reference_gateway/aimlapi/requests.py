"""Requests of the AI/ML API for a channel that speaks Anthropic's format.

What is Anthropic's already passes as it is; what is OpenAI's is translated as on the chat surface. The older function
messages become tool messages first, matched by name, because their results carry no id.
"""

from typing import Any

from reference_gateway.aimlapi.validation import PDF_DATA_URL, chosen_names
from reference_gateway.jsonwire import JsonObject
from reference_gateway.translation.to_anthropic import Blocks, RequestToAnthropic
from reference_gateway.validation.chat import ChatRequest

_MODES: dict[str, str] = {"auto": "auto", "required": "any"}


class AimlapiRequestToAnthropic(RequestToAnthropic):
    """Translates a checked request; raises `GatewayError` (400) for what has no counterpart."""

    def translate(self, request: ChatRequest) -> JsonObject:
        body = request.body
        system, turns = self.conversation(without_functions(body["messages"]))
        result: JsonObject = {
            "model": self.upstream_model(request),
            "max_tokens": body["max_tokens"],
            "messages": turns,
        }
        if leading := body.get("system"):
            system = self.text_blocks(leading) + system
        if system:
            plain = len(system) == 1 and system[0].keys() == {"type", "text"}
            result["system"] = system[0]["text"] if plain else system
        for name in ("stop_sequences", "thinking"):
            if body.get(name):
                result[name] = body[name]
        if user := (body.get("metadata") or {}).get("user_id"):
            result["metadata"] = {"user_id": user}
        if request.stream:
            result["stream"] = True
        return result | self.tools_and_choice(body)

    def upstream_model(self, request: ChatRequest) -> str:
        """The provider's name of the model: ours without the vendor in front."""
        return request.model.id.rpartition("/")[2]

    def tools_and_choice(self, body: JsonObject) -> JsonObject:
        """Tools, and the choice among them where one was made; the defaults of both formats are the same."""
        tools = [self.tool(tool, f"tools[{index}]") for index, tool in enumerate(body.get("tools") or [])]
        if not tools:
            return {}
        choice = body.get("tool_choice")
        if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
            allowed = set(chosen_names(choice) or ())
            tools = [tool for tool in tools if tool["name"] in allowed]
            return {"tools": tools, "tool_choice": {"type": _MODES[choice["allowed_tools"]["mode"]]}}
        translated = self.tool_choice(choice, parallel=None)
        return {"tools": tools} if translated is None else {"tools": tools, "tool_choice": translated}

    def tool(self, tool: JsonObject, place: str) -> JsonObject:
        return super().tool(tool, place) if tool.get("type") == "function" else tool

    def tool_choice(self, choice: Any, *, parallel: bool | None) -> JsonObject | None:
        if isinstance(choice, dict) and choice.get("type") != "function":
            return choice
        return super().tool_choice(choice, parallel=parallel)

    def block(self, part: JsonObject, place: str) -> JsonObject:
        if part["type"] == "image_url":
            return super().block(part, place)
        if part["type"] == "refusal":
            return {"type": "text", "text": part["refusal"]}
        if part["type"] == "file":
            data = part["file"]["file_data"].removeprefix(PDF_DATA_URL)
            source = {"type": "base64", "media_type": "application/pdf", "data": data}
            return {"type": "document", "source": source}
        return part

    def text_blocks(self, content: Any) -> Blocks:
        if isinstance(content, str):
            return super().text_blocks(content)
        return [self.block(part, "content") for part in content]


def without_functions(messages: list[JsonObject]) -> list[JsonObject]:
    """The same conversation without function calls, function results and refusals in their own members."""
    called: dict[str, str] = {}
    result: list[JsonObject] = []
    for index, message in enumerate(messages):
        role, content = message["role"], message.get("content")
        if role == "function":
            result.append(_function_result(message, called.pop(message["name"], None)))
        elif role == "assistant" and message.get("function_call") and not message.get("tool_calls"):
            call = message["function_call"]
            called[call["name"]] = identifier = f"call_{index}"
            tool_call = {"id": identifier, "type": "function", "function": call}
            result.append({"role": role, "content": content, "tool_calls": [tool_call]})
        elif role == "assistant" and content is None and not message.get("tool_calls"):
            result.append({"role": role, "content": message["refusal"]})
        else:
            result.append(message)
    return result


def _function_result(message: JsonObject, identifier: str | None) -> JsonObject:
    """A result belongs to the call before it; one without a call can only be told as text."""
    if identifier is not None:
        return {"role": "tool", "tool_call_id": identifier, "content": message["content"]}
    content = message["content"]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return {"role": "user", "content": [{"type": "text", "text": f"{message['name']} returned:"}, *parts]}
