"""The operator API's OpenAPI file and the gateway, held against each other in both directions."""

import asyncio
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

import reference_gateway
from reference_gateway import operator_api
from reference_gateway.surface import SurfaceRoutes

FILE = Path(reference_gateway.__file__).with_name("operator.openapi.yaml")
DOCUMENT: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
DESCRIBED = {
    (method.upper(), path) for path, operations in DOCUMENT["paths"].items() for method in operations
}
OPERATOR = {"Authorization": "Bearer operator-token"}


def fits(value: Any, method: str, path: str, status: int) -> None:
    """Whether an answer is as described."""
    responses = DOCUMENT["paths"][path][method.lower()]["responses"]
    response = responses.get(str(status), responses["default"] if status >= 400 else None)
    assert response is not None, f"{method} {path} answered an undescribed {status}"
    schema = {**response["content"]["application/json"]["schema"], "components": DOCUMENT["components"]}
    Draft202012Validator(schema).validate(value)


def test_the_file_is_openapi() -> None:
    validate(DOCUMENT)


def test_every_route_is_described_and_every_description_is_a_route(deploy: Any, monkeypatch: Any) -> None:
    seen: list[SurfaceRoutes] = []
    original = operator_api.OperatorApi.routes

    def keep(self: operator_api.OperatorApi) -> SurfaceRoutes:
        seen.append(original(self))
        return seen[-1]

    monkeypatch.setattr(operator_api.OperatorApi, "routes", keep)

    async def main() -> None:
        async with deploy():
            pass

    asyncio.run(main())
    assert set(seen[0].routes) == DESCRIBED


def test_every_operation_answers_as_described(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            called = set()

            async def call(method: str, path: str, body: Any = None, **values: str) -> Any:
                url = d.gateway.operator_url.removesuffix("/operator/v1") + path.format(**values)
                answer = await d.send(method, url, json=body, headers=OPERATOR)
                assert answer.status < 300, answer.text
                called.add((method, path))
                if path != "/metrics":
                    fits(answer.json, method, path, answer.status)
                    return answer.json
                return None

            base = "/operator/v1"
            account, key = f"{base}/accounts/{{account}}", f"{base}/keys/{{key_id}}"
            made = await call("POST", f"{base}/accounts", {"workspace": "chat", "balance_usd": "5"})
            one = {"account": made["account"]}
            body = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "hi"}]}
            headers = {"Authorization": f"Bearer {made['key']}"}
            reply = await d.send("POST", f"{d.gateway.chat_url}/chat/completions", json=body, headers=headers)
            tasks = await d.task_customer()
            picture = {"model": "gpt-image-2", "prompt": "x"}
            await d.submit(tasks, "/images/generations", picture, **{"Idempotency-Key": "k1"})
            await call("GET", f"{base}/accounts")
            await call("GET", account, **one)
            key_id = (await call("POST", f"{account}/keys", **one))["key_id"]
            await call("GET", f"{account}/keys", **one)
            await call("PUT", f"{account}/limits", {"requests_per_second": 3}, **one)
            await call("GET", f"{account}/limits", **one)
            await call("POST", f"{account}/top-up", {"usd": "1.5"}, **one)
            await call("GET", f"{account}/ledger", **one)
            await call("GET", f"{account}/usage", **one)
            await call("GET", f"{base}/calls/{{call}}", call=reply.json["id"])
            for verb in ("disable", "enable", "revoke"):
                await call("POST", f"{key}/{verb}", key_id=key_id)
            version = (await call("GET", f"{base}/rates"))["version"]
            await call("GET", f"{base}/rates/{{version}}", version=version)
            await call("GET", f"{base}/groups")
            entries = (await call("GET", f"{base}/telemetry/idempotency-keys"))["entries"]
            assert [entry["value"] for entry in entries] == ["k1"]
            await call("GET", "/metrics")
            await call("DELETE", account, **one)
            assert called == DESCRIBED

    asyncio.run(main())


def test_every_operation_refuses_without_the_token_and_says_what_does_not_exist(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            root = d.gateway.operator_url.removesuffix("/operator/v1")
            for method, path in sorted(DESCRIBED):
                url = root + path.replace("{", "").replace("}", "")
                for headers in ({}, {"Authorization": "Bearer wrong"}):
                    answer = await d.send(method, url, json={}, headers=headers)
                    assert answer.status == 401
                    fits(answer.json, method, path, 401)
                if "{" in path:
                    answer = await d.send(method, url, json={}, headers=OPERATOR)
                    assert answer.status == 404
                    fits(answer.json, method, path, 404)

    asyncio.run(main())
