"""aiperf and guidellm: installed on demand into environments of their own, run offline, their own figures read.

Both want a tokenizer from a hub; they get one made here, of bytes, since the server reports its token counts. guidellm
loads its data through torch, two gigabytes for a list of prompts: a stub with the two classes it uses stands in for
it (torch_stub.py). Neither takes part in the requests, so the figures are theirs.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.load.run import Server

HERE = Path(__file__).resolve().parent
HOME = HERE.parents[1] / ".targets" / "load"
NAMES = ("aiperf", "guidellm")
VERSIONS = {"aiperf": "0.13.0", "guidellm": "0.8.1"}
#: Prints what an installed package requires, torch and extras aside.
_REQUIREMENTS = """
from importlib.metadata import requires
print("\\n".join(line for line in requires("guidellm") if "extra ==" not in line and not line.startswith("torch")), "jinja2", sep="\\n")
"""
_INSTALL_S = 1800


def _python(name: str) -> Path:
    return HOME / name / "bin" / "python"


def install(name: str) -> str | None:
    """Make the environment unless it is there; why it could not be made, or None."""
    ready = HOME / name / "ready"
    if ready.exists():
        return None
    print(f"  installing {name} {VERSIONS[name]} into {HOME / name} (minutes)", flush=True)
    pip = [str(_python(name)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    steps = [[sys.executable, "-m", "venv", str(HOME / name)]]
    steps += [[*pip, *(["--no-deps"] if name == "guidellm" else []), f"{name}=={VERSIONS[name]}"]]
    for step in steps:
        if problem := _step(step):
            return problem
    if name == "guidellm":
        listed = subprocess.run(
            [str(_python(name)), "-c", _REQUIREMENTS], capture_output=True, text=True, check=True, timeout=60
        )
        if problem := _step([*pip, *listed.stdout.split("\n")[:-1]]):
            return problem
    ready.touch()
    return None


def _step(command: Sequence[str]) -> str | None:
    """Run one step of an installation; why it failed, or None."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_INSTALL_S)
    if done.returncode == 0:
        return None
    return f"installing it failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}"


_TOKENIZER = """
import sys
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
made = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(alphabet)}, merges=[]))
made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
made.decoder = decoders.ByteLevel()
PreTrainedTokenizerFast(tokenizer_object=made, eos_token="!", pad_token="!").save_pretrained(sys.argv[1])
"""


def _tokenizer(name: str) -> Path:
    """A tokenizer of bytes that needs no hub."""
    place = HOME / name / "tokenizer"
    if not (place / "tokenizer.json").exists():
        subprocess.run(
            [str(_python(name)), "-c", _TOKENIZER, str(place)], check=True, capture_output=True, timeout=120
        )
    return place


def _environment(name: str, scratch: str) -> dict[str, str]:
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("AIPERF", "GUIDELLM", "PYTHON"))
    }
    offline = {"HF_HOME": scratch, "TOKENIZERS_PARALLELISM": "false"}
    if name == "guidellm":
        # aiperf takes these for "only what the hub left in its cache" and refuses a folder.
        offline |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "USE_TORCH": "0"}
        stub = Path(scratch) / "stub" / "torch"
        shutil.copytree(HERE / "torch_stub", stub, ignore=shutil.ignore_patterns("__pycache__"))
        offline["PYTHONPATH"] = str(stub.parent)
    return kept | offline | {"HOME": scratch}


def _commands(name: str, port: int, streams: int, seconds: int, scratch: str) -> list[str]:
    tokenizer, program = str(_tokenizer(name)), str(HOME / name / "bin" / name)
    if name == "aiperf":
        prompts = Path(scratch) / "prompts.jsonl"
        prompts.write_text(json.dumps({"text": "Tell a short story."}) + "\n")
        return [
            program, "profile", "--model", "paced", "--url", f"http://127.0.0.1:{port}", "--endpoint-type", "chat",
            "--streaming", "--concurrency", str(streams), "--benchmark-duration", str(seconds),
            "--benchmark-grace-period", "5", "--input-file", str(prompts), "--custom-dataset-type", "single_turn",
            "--tokenizer", tokenizer, "--use-server-token-count", "--ui", "none", "--no-gpu-telemetry",
            "--no-server-metrics", "--output-artifact-dir", str(Path(scratch) / "out"),
        ]  # fmt: skip
    return [
        program, "run", "--backend", f"kind=openai_http,target=http://127.0.0.1:{port},model=paced",
        "--profile", f"kind=concurrent,streams={streams}", "--constraint", f"kind=max_duration,seconds={seconds}",
        "--tokenizer", f"kind=huggingface_auto,model={tokenizer}",
        "--data", "kind=synthetic_text,prompt_tokens=8,output_tokens=200",
        "--output", f"kind=json,path={scratch}/out/report.json", "--disable-console-interactive",
    ]  # fmt: skip


def _walk(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from _walk(item)
    elif isinstance(value, list):
        for item in value:
            yield from _walk(item)


def _aiperf(out: Path) -> tuple[float, float]:
    """p50 and p99 of its time to first token, in microseconds."""
    file = next(out.rglob("profile_export_aiperf.json"))
    found = json.loads(file.read_text())["time_to_first_token"]
    return found["p50"] * 1000, found["p99"] * 1000


def _guidellm(out: Path) -> tuple[float, float]:
    file = next(out.rglob("*.json"))
    document = json.loads(file.read_text())
    metric = next(
        item["time_to_first_token_ms"]
        for item in _walk(document)
        if "time_to_first_token_ms" in item and "successful" in (item["time_to_first_token_ms"] or {})
    )
    shares = metric["successful"]["percentiles"]
    return shares["p50"] * 1000, shares["p99"] * 1000


_READ = {"aiperf": _aiperf, "guidellm": _guidellm}


def run(name: str, server: Server, streams: int, seconds: int) -> dict[str, float] | str:
    """One run on all cores; the figures, or why there are none."""
    try:
        if problem := install(name):
            return problem
        with tempfile.TemporaryDirectory(prefix=f"peer-{name}-") as scratch:
            command = _commands(name, server.port, streams, seconds, scratch)
            server.ask("/reset")
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            done = _bounded(command, seconds + 180, scratch, _environment(name, scratch))
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            try:
                p50, p99 = _READ[name](Path(scratch) / "out")
            except (StopIteration, KeyError, ValueError, TypeError) as error:
                return (
                    f"it left no figures ({type(error).__name__}: {error}); {_last(done.stderr, done.stdout)}"
                )
    except (OSError, subprocess.SubprocessError) as error:
        return f"{type(error).__name__}: {error}"
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"ttft_p50_us": p50, "ttft_p99_us": p99, "cpu_s": used, "chunks": server.ask("/stats")["chunks"]}


def _bounded(
    command: Sequence[str], seconds: float, place: str, variables: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a program that starts others; none of them outlives it, or its time."""
    with subprocess.Popen(
        command, cwd=place, env=dict(variables), start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            said, errors = process.communicate(timeout=seconds)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(command, process.returncode, said, errors)


def _last(*texts: str) -> str:
    lines: Sequence[str] = [line.strip() for text in texts for line in text.splitlines() if line.strip()]
    return " | ".join(line[:200] for line in lines[-4:]) if lines else "it said nothing"
