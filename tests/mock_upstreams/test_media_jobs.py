"""Media jobs: submission, states over time, outcomes, and the files they deliver."""

from __future__ import annotations

import io
import struct
import time
import wave
import zlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from mock_upstreams import Scenario, SimulatorConfig
from mock_upstreams.media import Job, Jobs, job_document, state_of
from mock_upstreams.media_files import mp4, png, wav

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.mock_upstreams.conftest import Answer, Client

    Token = Callable[..., str]


def job(**changes: Any) -> Job:
    fields: dict[str, Any] = {
        "id": "job_1",
        "kind": "image",
        "model": "m",
        "scenario": Scenario(),
        "submitted": 100.0,
        "duration_s": 10.0,
        "outputs": 1,
        "wants_last_frame": False,
        "base": "http://x",
        "text": "text",
    }
    return Job(**{**fields, **changes})


def submit(client: Client, prompt: str, kind: str = "image", **fields: Any) -> str:
    answer = client.send("/media/v1/jobs", {"kind": kind, "model": "m", "prompt": prompt, **fields})
    body = answer.json()
    assert (answer.status, set(body), body["state"]) == (202, {"job_id", "state"}, "queued")
    return str(body["job_id"])


def settled(client: Client, job_id: str, prefix: str = "") -> Any:
    deadline = time.monotonic() + 5
    while True:
        body = client.send(f"{prefix}/media/v1/jobs/{job_id}").json()
        if body["state"] in {"succeeded", "failed"}:
            return body
        assert time.monotonic() < deadline, body
        time.sleep(0.005)


def fetch(client: Client, url: str) -> Answer:
    return client.send(urlsplit(url).path, authorised=False)


def test_the_state_is_a_function_of_time_alone() -> None:
    states = [state_of(job(), 100.0 + age) for age in (0, 1.9, 2, 9.9, 10, 1000)]
    assert states == ["queued", "queued", "running", "running", "succeeded", "succeeded"]
    assert state_of(job(duration_s=0.0), 100.0) == "succeeded"
    assert state_of(job(scenario=Scenario(outcome="failed")), 111.0) == "failed"
    assert state_of(job(scenario=Scenario(outcome="stuck")), 10_000.0) == "running"


def test_an_unfinished_job_shows_neither_output_nor_error() -> None:
    body = job_document(job(), 105.0).body
    assert b'"outputs":[]' in body
    assert b'"error":null' in body


def test_an_image_job_delivers_pictures(client: Client, token: Token, name: str) -> None:
    body = settled(client, submit(client, token(name, duration_ms=20), n=3))
    assert (body["state"], body["error"], len(body["outputs"])) == ("succeeded", None, 3)
    for output in body["outputs"]:
        picture = fetch(client, output["url"])
        assert (picture.status, picture.headers["content-type"]) == (200, output["type"])
        assert picture.body.startswith(b"\x89PNG\r\n\x1a\n")


def test_the_token_may_state_the_number_of_outputs(client: Client, token: Token, name: str) -> None:
    assert len(settled(client, submit(client, token(name, n=2)))["outputs"]) == 2


def test_a_video_job_delivers_a_last_frame_when_asked(client: Client, name: str, token: Token) -> None:
    body = settled(client, submit(client, token(name), "video", return_last_frame=True))
    assert fetch(client, body["outputs"][0]["url"]).headers["content-type"] == "video/mp4"
    assert fetch(client, body["last_frame_url"]).headers["content-type"] == "image/png"
    assert "last_frame_url" not in settled(client, submit(client, token(name), "video"))


def test_an_audio_job_delivers_labelled_tracks(client: Client, token: Token, name: str) -> None:
    outputs = settled(client, submit(client, token(name, n=2), "audio"))["outputs"]
    assert [output["label"] for output in outputs] == ["vocals", "instrumental"]
    assert fetch(client, outputs[1]["url"]).headers["content-type"] == "audio/wav"


def test_a_text_job_delivers_text(client: Client, token: Token, name: str) -> None:
    body = settled(client, submit(client, token(name, text="done, human"), "text"))
    assert (body["text"], body["outputs"]) == ("done, human", [])
    assert settled(client, submit(client, "plain", "text"))["text"]


@pytest.mark.parametrize(("outcome", "reason"), [("failed", "provider_error"), ("moderated", "moderated")])
def test_a_job_can_fail(client: Client, token: Token, name: str, outcome: str, reason: str) -> None:
    body = settled(client, submit(client, token(name, outcome=outcome, message="no")))
    assert (body["state"], body["error"], body["outputs"]) == (
        "failed",
        {"reason": reason, "message": "no"},
        [],
    )


def test_a_stuck_job_runs_on(client: Client, token: Token, name: str) -> None:
    job_id = submit(client, token(name, outcome="stuck", duration_ms=0))
    assert client.send(f"/media/v1/jobs/{job_id}").json()["state"] == "running"


def test_polls_and_files_carry_the_id_of_their_submission(client: Client, token: Token, name: str) -> None:
    answer = client.send("/u/beta/media/v1/jobs", {"kind": "image", "model": "m", "prompt": token(name)})
    body = settled(client, answer.json()["job_id"], "/u/beta")
    fetch(client, body["outputs"][0]["url"])
    entries = client.entries(name)
    operations = [entry["operation"] for entry in entries]
    assert (operations[0], set(operations[1:-1]), operations[-1]) == ("submit", {"job"}, "file")
    assert {(entry["upstream"], entry["provider"], entry["model"]) for entry in entries} == {
        ("beta", "media", "m")
    }


def test_what_a_job_does_not_have_is_not_found(client: Client, token: Token, name: str) -> None:
    done = submit(client, token(name, duration_ms=0))
    waiting = submit(client, token(name, outcome="stuck"))
    for path in (f"files/{done}/1.png", f"files/{done}/0.mp4", f"files/{done}/last.png", f"files/{done}/x"):
        assert client.send(f"/media/v1/{path}").status == 404
    assert client.send(f"/media/v1/files/{waiting}/0.png").status == 404
    missing = client.send("/media/v1/jobs/job_none")
    assert (missing.status, missing.json()["error"]["code"]) == (404, 404)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"model": "m", "prompt": "x"}, "kind"),
        ({"kind": "smell", "model": "m", "prompt": "x"}, "kind: expected one of image, video, audio, text"),
        ({"kind": "image", "prompt": "x"}, "model"),
        ({"kind": "image", "model": "m"}, "prompt: expected one of"),
        ({"kind": "image", "model": "m", "prompt": 5}, "prompt: expected a non-empty string"),
        ({"kind": "image", "model": "m", "prompt": "x", "n": 11}, "n: expected an integer from 1 to 10"),
        ({"kind": "image", "model": "m", "prompt": "[[wb:x;chunks=2]]"}, "simulator: key 'chunks' is for"),
    ],
)
def test_a_bad_submission_is_refused(client: Client, body: dict[str, Any], says: str) -> None:
    answer = client.send("/media/v1/jobs", body)
    assert answer.status == 400
    assert says in answer.json()["error"]["message"]


def test_faults_strike_submissions_and_polls(client: Client, token: Token, name: str) -> None:
    body = {"kind": "image", "model": "m", "prompt": token(name, fault="reset_before_headers")}
    assert client.send("/media/v1/jobs", body).ended == "rst"
    job_id = submit(client, "plain")
    poll = client.send(f"/media/v1/jobs/{job_id}", headers={"x-wb-scenario": token(name, status=503)})
    assert (poll.status, poll.json()["error"]["code"]) == (503, 503)


def test_jobs_are_bounded() -> None:
    jobs = Jobs(capacity=2)
    for i in range(4):
        jobs.add(job(id=f"job_{i}"))
    assert [jobs.find(f"job_{i}") is not None for i in range(4)] == [False, False, True, True]


def test_file_urls_use_the_public_address_if_there_is_one(
    start: Callable[[SimulatorConfig], AbstractContextManager[Client]], token: Token
) -> None:
    with start(SimulatorConfig(public_url="https://files.example")) as client:
        body = settled(client, submit(client, token("p", duration_ms=0)))
        assert body["outputs"][0]["url"].startswith("https://files.example/media/v1/files/job_")


def test_pictures_are_valid_png() -> None:
    data = png(3)
    at, kinds = 8, []
    pixels = b""
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        assert checksum == zlib.crc32(kind + body)
        kinds.append(kind)
        pixels += body if kind == b"IDAT" else b""
        at += 12 + length
    assert kinds == [b"IHDR", b"IDAT", b"IEND"]
    assert len(zlib.decompress(pixels)) == 16 * (1 + 16 * 3)
    assert png(3) != png(4)


def test_tracks_are_valid_wav() -> None:
    with wave.open(io.BytesIO(wav(1))) as track:
        assert (track.getnchannels(), track.getframerate(), track.getnframes()) == (1, 8000, 800)
        samples = struct.unpack("<800h", track.readframes(800))
    assert max(samples) > 5000
    assert min(samples) < -5000


def test_videos_are_nested_boxes_whose_only_sample_is_the_picture() -> None:
    data = mp4(2)

    def boxes(start: int, end: int) -> dict[bytes, tuple[int, int]]:
        found = {}
        while start < end:
            (size,) = struct.unpack(">I", data[start : start + 4])
            assert 8 <= size <= end - start
            found[data[start + 4 : start + 8]] = (start + 8, start + size)
            start += size
        return found

    top = boxes(0, len(data))
    assert list(top) == [b"ftyp", b"mdat", b"moov"]
    inner = top[b"moov"]
    for kind in (b"trak", b"mdia", b"minf", b"stbl"):
        inner = boxes(*inner)[kind]
    tables = boxes(*inner)
    (sample_at,) = struct.unpack(">I", data[tables[b"stco"][0] + 8 : tables[b"stco"][1]])
    (sample_size,) = struct.unpack(">I", data[tables[b"stsz"][0] + 12 : tables[b"stsz"][1]])
    assert data[sample_at : sample_at + sample_size] == png(2)
