"""What a simulator can be told when it starts."""

from dataclasses import dataclass
from typing import Final, Literal

LISTENER_KINDS: Final = ("http", "tls", "refused", "bad_certificate", "handshake_closed")


@dataclass(frozen=True, slots=True)
class ListenerPlan:
    """One more port. Calls that come in there belong to `upstream`, unless their path says /u/NAME.

    `kind` is `http`; `tls` (with the certificate of the configuration); `refused` (the port is held, and a connection
    is answered with RST); `bad_certificate` (TLS that no careful client accepts); `handshake_closed` (the connection is
    closed after the client's first words of TLS).
    """

    kind: str = "http"
    port: int = 0
    upstream: str | None = None


@dataclass(frozen=True, slots=True)
class SimulatorConfig:
    """`port` 0 takes a free one. `seed` varies ids, texts and default job durations.

    `journal_capacity` counts entries, `journal_bytes` and `max_body_bytes` bytes; `cache_window_s` and
    `stall_limit_s` are seconds. `public_url` is where callers reach the files of media jobs, if that is not the
    address at which a job was submitted. `flush="stream"` joins the events that are due together in one write,
    which is several times faster and less faithful. `direct=False` sends every request the long way through the server
    library's handler, which is slower and otherwise the same.

    `strict` refuses more of what the real upstreams refuse (see `strict.py`). `clock` is the Unix second that every
    answer bears instead of the current one, so that two runs with one seed give the same bytes. `scenarios` is the
    path of a scenario file. `control_token` guards the control API and is needed off loopback; `callback_secret`
    signs the callbacks of media jobs.

    `replay` is the path of a recording: calls then get the recorded answers, `replay_speed` times as fast (0: without
    any wait), and nothing else. With `tls_cert` (and `tls_key`, if it is not in the same file) the main port speaks
    TLS. `listeners` are opened beside it.
    For one of several workers: `worker` is its number; it shares its port with the others, answers the control API at
    the Unix socket `control_socket`, and hands what comes for it at its port to `control_url`.
    """

    host: str = "127.0.0.1"
    port: int = 0
    seed: int = 0
    journal_capacity: int = 50_000
    journal_bytes: int = 256 * 1024 * 1024
    max_body_bytes: int = 64 * 1024 * 1024
    cache_capacity: int = 20_000
    cache_window_s: float = 300.0
    job_capacity: int = 20_000
    stall_limit_s: float = 30.0
    strict: bool = False
    clock: int | None = None
    scenarios: str | None = None
    control_token: str | None = None
    callback_secret: str = "simulated-secret"  # noqa: S105 - of callbacks that nobody needs to trust
    public_url: str | None = None
    flush: Literal["frame", "stream"] = "frame"
    direct: bool = True
    replay: str | None = None
    replay_speed: float = 1.0
    tls_cert: str | None = None
    tls_key: str | None = None
    listeners: tuple[ListenerPlan, ...] = ()
    worker: int | None = None
    control_socket: str | None = None
    control_url: str | None = None
    models: tuple[str, ...] = ("gpt-5.5", "gpt-5.4", "claude-opus-4-8", "claude-sonnet-4-6")
