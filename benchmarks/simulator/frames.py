"""What the reference servers send: the same bytes from each of them, encoded once."""

import json

_ID = "chatcmpl-00000000000000000000000000000000"
_CREATED = 1_767_225_600


def _chunk(delta: dict[str, str], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    shell = {"id": _ID, "object": "chat.completion.chunk", "created": _CREATED, "model": "bench"}
    event = json.dumps(
        {**shell, "system_fingerprint": "fp_bench", "choices": [choice]}, separators=(",", ":")
    )
    return b"data: %b\n\n" % event.encode()


def events(count: int) -> list[bytes]:
    """A stream of `count` events: role, content, finish; [DONE] rides on the last one."""
    found = [_chunk({"role": "assistant", "content": ""}, None)]
    found += [_chunk({"content": f"p{i:07} "}, None) for i in range(count - 2)]
    return [*found, _chunk({}, "stop") + b"data: [DONE]\n\n"]


def chunked(parts: list[bytes]) -> list[bytes]:
    """The same in HTTP/1.1 chunks, the last one with the terminator."""
    found = [b"%x\r\n%b\r\n" % (len(part), part) for part in parts]
    found[-1] += b"0\r\n\r\n"
    return found


def document(count: int) -> bytes:
    """The unstreamed answer with the same text."""
    text = "".join(f"p{i:07} " for i in range(count - 2))
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 8, "completion_tokens": count, "total_tokens": 8 + count}
    shell = {"id": _ID, "object": "chat.completion", "created": _CREATED, "model": "bench"}
    return json.dumps({**shell, "choices": [choice], "usage": usage}, separators=(",", ":")).encode()
