"""The task gateway over HTTP: submission, polling, results, credits, limits, errors."""

import asyncio
import json
from typing import Any

import pytest

IMAGE: dict[str, Any] = {"model": "gpt-image-2", "prompt": "a cat"}
SUBMISSIONS: list[tuple[str, dict[str, Any], str]] = [
    ("/images/generations", IMAGE, "image_urls"),
    ("/videos/generations", {"model": "veo3.1-fast", "prompt": "a cat"}, "video_urls"),
    (
        "/audio/generations",
        {"model": "audio-stem-separator", "audio_url": "https://example.com/a.mp3", "stem": "vocals"},
        "audio_urls",
    ),
    ("/humanize", {"model": "humanize", "content": "text"}, "text"),
    ("/detect", {"model": "ai-text-detector", "text": "text"}, "text"),
    (
        "/essay",
        {"model": "ai-essay-writer", "input": "i", "type": "t", "academic_level": "a", "length": "Short"},
        "text",
    ),
]


@pytest.mark.parametrize(("path", "body", "member"), SUBMISSIONS)
def test_every_endpoint_accepts_and_finishes_a_task(
    deploy: Any, path: str, body: dict[str, Any], member: str
) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.task_customer(5000)
            answer = await d.submit(customer, path, body)
            assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
            accepted = answer.json
            assert accepted["id"].startswith("task_")
            assert (accepted["model"], accepted["status"]) == (body["model"], "processing")
            task = await d.finished(customer, accepted["id"])
            assert {name: task[name] for name in ("id", "model", "created_at")} == {
                name: accepted[name] for name in ("id", "model", "created_at")
            }
            assert (task["status"], task["error"]) == ("completed", None)
            result = task["output"][member]
            if member != "text":
                assert all(isinstance(url, str) for url in result)
            assert (await d.poll(customer, accepted["id"])).json == task

    asyncio.run(main())


def test_n_images_are_mirrored_to_our_own_storage(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.task_customer()
            accepted = (await d.submit(customer, "/images/generations", {**IMAGE, "n": 3})).json
            urls = (await d.finished(customer, accepted["id"]))["output"]["image_urls"]
            assert len(set(urls)) == 3
            root = d.gateway.tasks_url.removesuffix("/api/v1")
            for url in urls:
                assert url.startswith(f"{root}/media/tasks/{accepted['id'].removeprefix('task_')}/")
                async with d.session.get(url) as response:
                    assert (response.status, response.headers["Content-Type"]) == (200, "image/png")
                    assert (await response.read()).startswith(b"\x89PNG")
            for path in ("0.exe", "..%2f..%2fx", "7.png"):
                lost = await d.send("GET", urls[0].rpartition("/")[0] + "/" + path)
                assert lost.status == 404
                assert lost.json["error"]["code"] == 40402

    asyncio.run(main())


def test_a_video_has_its_last_frame_when_asked(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.task_customer()
            body = {"model": "doubao-seedance-2.0", "prompt": "x", "return_last_frame": True}
            accepted = (await d.submit(customer, "/videos/generations", body)).json
            output = (await d.finished(customer, accepted["id"]))["output"]
            frame = await d.send("HEAD", output["last_frame_url"])
            assert frame.status == 200
            async with d.session.get(output["last_frame_url"]) as response:
                assert response.headers["Content-Type"] == "image/png"

    asyncio.run(main())


def test_stems_come_as_tracks_with_labels(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.task_customer()
            body = {**SUBMISSIONS[2][1], "note": "[[wb:a;n=2]]"}
            accepted = (await d.submit(customer, "/audio/generations", body)).json
            output = (await d.finished(customer, accepted["id"]))["output"]
            assert [track["url"] for track in output["tracks"]] == output["audio_urls"]
            assert all(track["label"] and track["type"] for track in output["tracks"])

    asyncio.run(main())


BAD_SUBMISSIONS: list[tuple[str, Any, int, str]] = [
    ("/images/generations", {}, 20002, "`model` and `prompt`"),
    ("/images/generations", {"prompt": "x"}, 20002, "`model`"),
    ("/images/generations", {"model": "gpt-image-2"}, 20002, "`prompt`"),
    ("/images/generations", {"model": "gpt-image-2", "prompt": ""}, 20002, "`prompt`"),
    ("/audio/generations", {"model": "audio-stem-separator"}, 20002, "`audio_url` and `stem`"),
    ("/images/generations", {**IMAGE, "model": "gpt-image-99"}, 20004, "gpt-image-99"),
    ("/images/generations", {**IMAGE, "model": "veo3.1-fast"}, 20004, "/videos"),
    ("/images/generations", {**IMAGE, "model": 3}, 20003, "`model`"),
    ("/images/generations", {**IMAGE, "prompt": 3}, 20003, "`prompt`"),
    ("/images/generations", {**IMAGE, "size": "5:9"}, 20003, "`size`"),
    ("/images/generations", {**IMAGE, "n": 9}, 20003, "`n`"),
    ("/images/generations", {**IMAGE, "n": "2"}, 20003, "`n`"),
    ("/images/generations", {**IMAGE, "prompt": "x" * 4001}, 20003, "`prompt`"),
    ("/images/generations", {**IMAGE, "image_urls": ["data:image/png;base64,AA=="]}, 20003, "`image_urls`"),
    ("/images/generations", {**IMAGE, "image_urls": ["https://e.com/x.png"] * 17}, 20003, "`image_urls`"),
    ("/images/generations", [], 20001, "JSON object"),
]


def test_refused_submissions_name_the_cause_and_leave_no_trace(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.task_customer(1000)
            seen = set()
            for path, body, code, words in BAD_SUBMISSIONS:
                answer = await d.submit(customer, path, body)
                assert answer.status == 400, (body, answer.text)
                error = answer.json["error"]
                assert error["code"] == code, (body, error)
                assert words in error["message"], (body, error)
                assert error["request_id"].startswith("req_")
                seen.add(error["request_id"])
            assert len(seen) == len(BAD_SUBMISSIONS)
            malformed = await d.send(
                "POST", f"{d.gateway.tasks_url}/images/generations", data=b"{", headers=customer.headers
            )
            assert (malformed.status, malformed.json["error"]["code"]) == (400, 20001)
            assert await d.credits(customer) == 1000
            assert (await d.send("GET", f"{d.simulator.url}/_wb/journal/cursor")).json["seq"] == 0

    asyncio.run(main())


def test_keys_are_told_apart_by_code_on_every_route(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            chat, revoked = await d.customer(), await d.task_customer()
            await d.operator("POST", f"/keys/{revoked.key_id}/revoke")
            routes = [("GET", "/balance"), ("GET", "/tasks/task_x"), ("POST", "/images/generations")]
            for method, path in routes:
                for headers, code in (
                    ({}, 10001),
                    ({"Authorization": "Token x"}, 10002),
                    ({"Authorization": "Bearer"}, 10002),
                    ({"Authorization": "Bearer rk_live_unknown"}, 10003),
                    (chat.headers, 10003),
                    (revoked.headers, 10004),
                ):
                    answer = await d.send(method, d.gateway.tasks_url + path, headers=headers)
                    assert (answer.status, answer.json["error"]["code"]) == (401, code)

    asyncio.run(main())


@pytest.mark.parametrize(("outcome", "code"), [("failed", 80003), ("moderated", 80006)])
def test_a_failed_task_is_refunded_before_anybody_sees_it_fail(deploy: Any, outcome: str, code: int) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.task_customer(100)
            bait = "sk-provider-secret-0001"
            token = f"[[wb:f;outcome={outcome};duration_ms=100;message=bad%20key%20{bait}]]"
            body = {**IMAGE, "prompt": token}
            accepted = (await d.submit(customer, "/images/generations", body)).json
            assert await d.credits(customer) == 60
            for _ in range(1000):
                polls = await asyncio.gather(*(d.poll(customer, accepted["id"]) for _ in range(5)))
                failed = [poll.json for poll in polls if poll.json["status"] == "failed"]
                if failed:
                    assert await d.credits(customer) == 100
                    break
            assert failed[0]["output"] is None
            assert failed[0]["error"]["code"] == code
            assert failed[0]["error"]["message"]
            assert bait not in json.dumps(failed)
            assert (await d.poll(customer, accepted["id"])).json == failed[0]
            assert [row["reason"] for row in await d.rows(customer)] == ["topup", "debit", "refund"]
            assert await d.credits(customer) == 100
            again = await d.submit(customer, "/images/generations", {**IMAGE, "prompt": "again"})
            assert again.status == 200
            assert await d.credits(customer) == 60

    asyncio.run(main())


def test_a_failed_task_is_refunded_although_nobody_polls(deploy: Any, wait_for: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.task_customer(100)
            await d.submit(customer, "/images/generations", {**IMAGE, "prompt": "[[wb:f;outcome=failed]]"})

            async def refunded() -> bool:
                return bool(await d.balance(customer) == 100)

            await wait_for(refunded)

    asyncio.run(main())


def test_a_provider_that_fails_shows_as_a_failed_task_and_is_asked_once(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.task_customer(100)
            body = {**IMAGE, "prompt": "[[wb:p;fault=status;status=503]]"}
            answer = await d.submit(customer, "/images/generations", body)
            assert answer.status == 200
            task = await d.finished(customer, answer.json["id"])
            assert (task["status"], task["error"]["code"]) == ("failed", 80003)
            assert await d.credits(customer) == 100
            submissions = [entry for entry in await d.journal("p") if entry["operation"] == "submit"]
            assert len(submissions) == 1

    asyncio.run(main())


def test_a_task_that_never_ends_is_given_up_and_refunded(deploy: Any) -> None:
    async def main() -> None:
        async with deploy(task_timeout_s=0.2) as d:
            customer = await d.task_customer(100)
            body = {**IMAGE, "prompt": "[[wb:s;outcome=stuck]]"}
            accepted = (await d.submit(customer, "/images/generations", body)).json
            task = await d.finished(customer, accepted["id"])
            assert (task["status"], task["error"]["code"]) == ("failed", 80002)
            assert await d.credits(customer) == 100

    asyncio.run(main())


def test_with_credits_for_two_tasks_exactly_two_of_ten_succeed(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.task_customer(99)
            answers = await asyncio.gather(
                *(
                    d.submit(customer, "/images/generations", {**IMAGE, "prompt": "[[wb:par]]"})
                    for _ in range(10)
                )
            )
            assert sorted(answer.status for answer in answers) == [200] * 2 + [402] * 8
            refused = next(answer for answer in answers if answer.status == 402)
            assert refused.json["error"]["code"] == 30001
            assert await d.credits(customer) == 19
            for answer in answers:
                if answer.status == 200:
                    await d.finished(customer, answer.json["id"])
            assert len([entry for entry in await d.journal("par") if entry["operation"] == "submit"]) == 2
            assert len(await d.rows(customer, "debit")) == 2

    asyncio.run(main())


def test_prices_depend_on_model_and_parameters(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.task_customer(1000)
            await d.submit(customer, "/images/generations", {**IMAGE, "n": 3})
            assert await d.credits(customer) == 1000 - 3 * 40
            await d.submit(customer, "/humanize", {"model": "humanize", "content": "x"})
            assert await d.credits(customer) == 1000 - 3 * 40 - 20

    asyncio.run(main())


def test_an_idempotency_key_is_recorded_and_changes_nothing(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.task_customer(1000)
            headers = {"Idempotency-Key": "same"}
            bodies = [{**IMAGE, "prompt": "[[wb:i]]"}] * 2 + [{**IMAGE, "prompt": "[[wb:i]] other"}]
            answers = [await d.submit(customer, "/images/generations", body, **headers) for body in bodies]
            assert [answer.status for answer in answers] == [200] * 3
            ids = [answer.json["id"] for answer in answers]
            assert len(set(ids)) == 3
            assert await d.credits(customer) == 1000 - 3 * 40
            for task in ids:
                await d.finished(customer, task)
            assert len([entry for entry in await d.journal("i") if entry["operation"] == "submit"]) == 3
            recorded = (await d.operator("GET", "/telemetry/idempotency-keys"))["entries"]
            assert [(entry["value"], entry["task"]) for entry in recorded] == [("same", task) for task in ids]
            odd = await d.submit(customer, "/images/generations", IMAGE, **{"Idempotency-Key": "k\udcff"})
            assert odd.status == 200

    asyncio.run(main())


def test_a_task_is_seen_by_all_keys_of_its_user_and_by_nobody_else(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer, stranger = await d.task_customer(100), await d.task_customer(100)
            second = (await d.operator("POST", f"/accounts/{customer.id}/keys"))["key"]
            task = (await d.submit(customer, "/images/generations", IMAGE)).json["id"]
            url = f"{d.gateway.tasks_url}/tasks/{task}"
            assert (await d.send("GET", url, headers={"Authorization": f"Bearer {second}"})).status == 200
            foreign, unknown = await d.poll(stranger, task), await d.poll(stranger, "task_" + "0" * 32)
            assert (foreign.status, unknown.status) == (404, 404)
            strip = [{**answer.json["error"], "request_id": None} for answer in (foreign, unknown)]
            assert strip[0] == strip[1]
            assert strip[0]["code"] == 40401

    asyncio.run(main())


def test_the_user_limit_covers_all_requests_and_keys_of_one_user_only(deploy: Any, wait_for: Any) -> None:
    async def main() -> None:
        async with deploy(task_rate_limit=10) as d:
            customer, other = await d.task_customer(10_000), await d.task_customer(100)
            second = (await d.operator("POST", f"/accounts/{customer.id}/keys"))["key"]
            base = d.gateway.tasks_url
            calls = [d.poll(customer, "task_x") for _ in range(10)]
            calls += [
                d.send("GET", f"{base}/balance", headers={"Authorization": f"Bearer {second}"})
                for _ in range(10)
            ]
            calls += [
                d.submit(customer, "/images/generations", {**IMAGE, "prompt": "[[wb:r]]"}) for _ in range(10)
            ]
            answers = await asyncio.gather(*calls)
            refused = [answer for answer in answers if answer.status == 429]
            assert 10 <= len(refused) <= 20
            assert {answer.json["error"]["code"] for answer in refused} == {50001}
            assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
            assert (await d.poll(other, "task_x")).status == 404
            accepted = [answer for answer in answers[20:] if answer.status == 200]
            assert len(await d.rows(customer, "debit")) == len(accepted)

            async def served_again() -> bool:
                return bool((await d.poll(customer, "task_x")).status == 404)

            await wait_for(served_again, 2.0)

    asyncio.run(main())


def test_an_account_may_have_a_limit_of_its_own(deploy: Any) -> None:
    async def main() -> None:
        async with deploy(task_rate_limit=1) as d:
            customer = await d.task_customer(100, requests_per_second=500)
            answers = await asyncio.gather(*(d.poll(customer, "task_x") for _ in range(50)))
            assert {answer.status for answer in answers} == {404}

    asyncio.run(main())


def test_unknown_routes_and_methods_answer_in_the_envelope(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            for method, path in (("GET", "/nowhere"), ("DELETE", "/balance"), ("GET", "/images/generations")):
                answer = await d.send(method, d.gateway.tasks_url + path)
                assert answer.status == 404
                assert 40000 < answer.json["error"]["code"] < 50000

    asyncio.run(main())


def test_the_provider_gets_the_fields_of_the_submission_and_our_key(deploy: Any) -> None:
    async def main() -> None:
        async with deploy() as d:
            customer = await d.task_customer(100)
            body = {**IMAGE, "prompt": "[[wb:fields]]", "size": "16:9", "novelty": 1}
            accepted = (await d.submit(customer, "/images/generations", body)).json
            await d.finished(customer, accepted["id"])
            submit = (await d.journal("fields"))[0]
            assert json.loads(submit["body"]) == {**body, "kind": "image"}
            assert submit["headers"]["authorization"].endswith("-key")

    asyncio.run(main())
