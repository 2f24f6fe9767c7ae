"""What is done with a command line of a page: most are run as printed, against gateways that listen on this machine.

Hosts that no machine has (`gw.example`) stand for the embedded gateway, and what would only take longer is made short:
options that a command takes twice count as given last. A command that would need what is not here, or would
change the checkout, is held against the program's own list of options instead.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any, Final

import typer

from tests.docs.blocks import ROOT, Block
from weighbridge.cli import app

BIN: Final = Path(sys.executable).parent
_LIMIT_S: Final = 90.0
_FLAG: Final = re.compile(r"--[a-z][a-z-]*")


@dataclass
class Sandbox:
    """An empty folder with the embedded pair behind the names that pages use.

    Attributes:
        stands_for: text of a page, and what is really called.
        environment: of every command; `export` on a page adds to it.
    """

    folder: Path
    stands_for: Mapping[str, str]
    environment: dict[str, str]
    ran: list[str] = field(default_factory=list)

    def call(
        self, command: Sequence[str], *, answers: str = "", codes: frozenset[int] = frozenset({0})
    ) -> None:
        """Run to the end; with `answers`, on a terminal at which somebody types them."""
        if answers:
            ours, theirs = os.openpty()
            os.write(ours, answers.encode())
        child = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=theirs if answers else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            said, _ = child.communicate(timeout=_LIMIT_S)
        finally:
            child.kill()
            child.wait()
            if answers:
                os.close(ours)
                os.close(theirs)
        assert child.returncode in codes, (
            f"{shlex.join(command)} ended with {child.returncode}:\n{said[-3000:]}"
        )
        self.ran.append(shlex.join(command))

    def until_ready(
        self, command: Sequence[str], ready: str, meanwhile: Callable[[str], None] | None = None
    ) -> None:
        """Start what runs until it is interrupted, see it say `ready`, and end it as Ctrl-C does."""
        child = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment | {"PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert child.stdout is not None
        watch = threading.Timer(_LIMIT_S, child.kill)
        watch.start()
        said = []
        try:
            for line in child.stdout:
                said.append(line)
                if ready in line:
                    break
            else:
                raise AssertionError(f"{shlex.join(command)} never said {ready!r}:\n{''.join(said)}")
            if meanwhile is not None:
                meanwhile(line)
            child.send_signal(signal.SIGTERM)
            rest = child.stdout.read()
            assert child.wait(_LIMIT_S) in {0, 130}, "".join(said) + rest
        finally:
            watch.cancel()
            child.kill()
            child.wait()
            child.stdout.close()
        self.ran.append(shlex.join(command))


Handler = Callable[[Sandbox, Sequence[str]], None]

_CLI: Any = typer.main.get_command(app)


def options_of(words: Sequence[str]) -> tuple[str, frozenset[str]]:
    """The command of ours that words begin with, and its options.

    Raises:
        AssertionError: there is no such command.
    """
    command, path = _CLI, "weighbridge"
    for word in words:
        if not hasattr(command, "commands") or (word not in command.commands and path != "weighbridge"):
            break
        assert word in command.commands, f"{path} has no command {word}"
        command, path = command.commands[word], f"{path} {word}"
    return path, frozenset(name for item in command.params for name in (*item.opts, *item.secondary_opts)) | {
        "--help"
    }


def check_options(words: Sequence[str]) -> None:
    """Every option of a line of ours exists."""
    path, known = options_of(words)
    for word in words:
        flag = _FLAG.match(word)
        assert flag is None or flag[0] in known, f"{path} has no option {flag[0]}"


def _ours(words: Sequence[str]) -> list[str]:
    return [str(BIN / "weighbridge"), *words[1:]]


def _to_the_end(*more: str, codes: Sequence[int] = (0,)) -> Handler:
    return lambda box, words: box.call([*_ours(words), *more], codes=frozenset(codes))


def _run(box: Sandbox, words: Sequence[str]) -> None:
    box.call([*_ours(words), *(() if "--dry-run" in words else ("--quick",))])


def _init(box: Sandbox, words: Sequence[str]) -> None:
    (box.folder / "target.yaml").unlink(missing_ok=True)
    asked = f"{box.environment['WB_CHAT_URL']}\nGATEWAY_KEY\ngpt-5.5\n"
    box.call(_ours(words), answers="" if "--url" in words else asked)
    # What is written keeps to five requests a second; the sandbox's gateway takes more.
    written = box.folder / "target.yaml"
    text = written.read_text(encoding="utf-8")
    limits = 'key: "${GATEWAY_KEY}", requests_per_second: 500, in_flight: 50}'
    assert text.count('key: "${GATEWAY_KEY}"}') == 1, "init writes something else than it did"
    written.write_text(text.replace('key: "${GATEWAY_KEY}"}', limits), encoding="utf-8")


def _load(box: Sandbox, words: Sequence[str]) -> None:
    short = ["--duration", "1s", "--warm-up", "200ms", "--out", "load"]
    short += ["--capacity", "1..2"] if "--capacity" in words else []
    short += ["--rate", "10"] if "--rate" in words else ["--users", "2"]
    # On a busy machine a gate of milliseconds may be missed, or the client may say that it was late.
    box.call([*_ours(words), *short], codes=frozenset({0, 1, 5}))
    for name in ("load.html", "load.json", "report.json", "evidence.ndjson"):
        assert (box.folder / "load" / name).stat().st_size, f"no {name}"


def _verify(box: Sandbox, words: Sequence[str]) -> None:
    if words[2].startswith("reports/"):  # a published claim; test_publication judges every one of them again
        assert (ROOT / words[2] / "report.json").exists(), f"no claim is published in {words[2]}"
    else:
        box.call(_ours(words))


def _mock(box: Sandbox, words: Sequence[str]) -> None:
    if "scenarios" in words[2:3]:
        box.call(_ours(words))
        return
    if "record" not in words[2:3]:
        box.until_ready([*_ours(words), "--port", "0"], "journal")
        return

    def one_call(line: str) -> None:
        url = line.split(" at ")[1].split(" ", maxsplit=1)[0]
        call = '{"model": "gpt-5.5", "messages": [{"role": "user", "content": "Hello"}]}'
        box.call(["curl", "--silent", "--fail", "--output", "answer.json", "--data", call,
                  "-H", "Content-Type: application/json", "-H", "Authorization: Bearer any",
                  f"{url}/v1/chat/completions"])  # fmt: skip

    box.until_ready([*_ours(words), "--port", "0"], "recording", one_call)


def _serve(box: Sandbox, words: Sequence[str]) -> None:
    box.until_ready(_ours(words), "in another shell")


def _options(_box: Sandbox, words: Sequence[str]) -> None:
    check_options(words[1:])


def _export(box: Sandbox, words: Sequence[str]) -> None:
    for word in words[1:]:
        name, _, value = word.partition("=")
        # Three dots stand for a secret of the reader's own; the sandbox has one of its own.
        if value.endswith("..."):
            assert name in box.environment, f"the sandbox has no {name}"
        else:
            box.environment[name] = value


def targets_of_make() -> frozenset[str]:
    """The targets of the Makefile."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return frozenset(re.findall(r"^([a-z][a-z-]*):(?!.*:=)", text, re.MULTILINE))


def check_make(words: Sequence[str]) -> None:
    """A call of make names targets that exist, and options that the program behind the target has."""
    names = [word for word in words[1:] if "=" not in word]
    assert names
    for name in names:
        assert name in targets_of_make(), f"make has no target {name}"
    for word in (word for word in words if word.startswith("ARGS=")):
        (name,) = names
        recipe = (ROOT / "Makefile").read_text(encoding="utf-8").split(f"\n{name}:")[1].split("\n\n")[0]
        assert "$(ARGS)" in recipe, f"make {name} takes no ARGS"
        called = recipe.split("$(ARGS)")[0].splitlines()[-1].rpartition("$(BIN)/")[2]
        _checked_by_program(shlex.split(called + word.removeprefix("ARGS=")))


def _curl(box: Sandbox, words: Sequence[str]) -> None:
    """A call as printed, with variables of the page in place; whatever it is answered, it is answered well."""
    box.call([Template(word).safe_substitute(box.environment) for word in words])


def _shown_options(program: Sequence[str], words: Sequence[str]) -> None:
    shown = subprocess.run(
        [sys.executable, *program, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    ).stdout
    for flag in filter(None, map(_FLAG.match, words)):
        assert re.search(rf"(?<![\w-]){flag[0]}(?![\w-])", shown), (
            f"{shlex.join(program)} has no option {flag[0]}"
        )


def _checked_by_program(words: Sequence[str]) -> None:
    if words[0] == "weighbridge":
        check_options(words[1:])
        return
    program = words[1:3] if words[1] == "-m" else words[1:2]
    place = ROOT / (program[1].replace(".", "/") if program[0] == "-m" else program[0])
    found = [path for path in (place, place.with_suffix(".py"), place / "__main__.py") if path.is_file()]
    assert found, f"there is no {shlex.join(program)}"
    source = found[0].read_text(encoding="utf-8")
    flags = [match[0] for match in map(_FLAG.match, words) if match]
    if not all(f'"{flag}"' in source for flag in flags):
        _shown_options(program, flags)


def _python(_box: Sandbox, words: Sequence[str]) -> None:
    """Programs of the checkout: they are there, and know their options. What they do has tests of its own."""
    own, _, inner = " ".join(map(shlex.quote, words)).partition(" -- ")
    _checked_by_program(shlex.split(own))
    if inner:
        _checked_by_program(shlex.split(inner))


def _locust(_box: Sandbox, words: Sequence[str]) -> None:
    _shown_options(["-P", "-m", "locust"], words)
    assert (ROOT / words[words.index("-f") + 1]).exists()


#: The longest row that a command begins with says what is done with it.
HANDLERS: Final[Mapping[tuple[str, ...], Handler]] = {
    ("export",): _export,
    ("make",): lambda _box, words: check_make(words),
    ("python",): _python,
    ("locust",): _locust,
    ("curl",): _curl,
    ("weighbridge", "run"): _run,
    ("weighbridge", "init"): _init,
    ("weighbridge", "check"): _to_the_end(),
    ("weighbridge", "judge"): _to_the_end(),
    ("weighbridge", "verify"): _verify,
    ("weighbridge", "compare"): _to_the_end(),
    ("weighbridge", "baseline"): _to_the_end(),
    ("weighbridge", "explain"): _to_the_end(),
    ("weighbridge", "list"): _to_the_end(),
    ("weighbridge", "load"): _load,
    ("weighbridge", "mock"): _mock,
    ("weighbridge", "serve"): _serve,
    # A whole proof takes minutes, and several workers take a PostgreSQL server: both have tests of their own.
    ("weighbridge", "prove"): _options,
    ("weighbridge", "gateway"): _options,
}


def words_of(line: str) -> tuple[str, ...]:
    """A line as the shell would split it, without its comment and without the folder of the environment."""
    words = shlex.split(line, comments=True)
    return (words[0].removeprefix(".venv/bin/"), *words[1:]) if words else ()


def handler_of(words: Sequence[str]) -> Handler | None:
    """What is done with a command, or None where nobody knows."""
    return HANDLERS.get(tuple(words[:2])) or HANDLERS.get(tuple(words[:1]))


def lines_of(block: Block) -> tuple[str, ...]:
    """The command lines of a shell block: with prompts, those behind a prompt."""
    joined = block.text.replace("\\\n", " ").splitlines()
    if block.language == "console":
        return tuple(line[2:] for line in joined if line.startswith("$ "))
    return tuple(line for line in joined if words_of(line))


def is_script(block: Block) -> bool:
    """Whether the block is a whole script rather than a list of commands."""
    return block.text.startswith("#!")


def check_script(block: Block, box: Sandbox) -> None:
    """A whole script is run by its own interpreter, with ours first on the path."""
    place = box.folder / "script"
    place.write_text(standing_in(block.text, box), encoding="utf-8")
    box.call([*block.text.splitlines()[0].removeprefix("#!").split(), str(place)])


def standing_in(text: str, box: Sandbox) -> str:
    """A page's text with what is really called in place of hosts and models that nobody has."""
    for written, meant in box.stands_for.items():
        text = text.replace(written, meant)
    return text


def check_shell(block: Block, box: Sandbox) -> None:
    """Every command of a shell block does what the page says that it does: it ends well."""
    if is_script(block):
        check_script(block, box)
        return
    lines = lines_of(block)
    assert lines, f"{block.place}: no command; a console block has a prompt, `$ `, before each"
    for line in lines:
        words = words_of(standing_in(line, box))
        handler = handler_of(words)
        assert handler is not None, (
            f"{block.place}: nobody knows how to check {line!r}; see tests/docs/commands.py"
        )
        assert not {"|", "&&", ">", ";"} & set(words), f"{block.place}: one command a line, please: {line!r}"
        try:
            handler(box, words)
        except AssertionError as wrong:
            raise AssertionError(f"{block.place}: {line}\n{wrong}") from wrong
