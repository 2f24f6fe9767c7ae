"""What a page shows works: each block of each page is run or checked, or says above it why it cannot be."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, Block, all_blocks, blocks_of, pages
from tests.docs.commands import (
    BIN,
    Sandbox,
    check_make,
    check_options,
    check_shell,
    handler_of,
    is_script,
    lines_of,
    standing_in,
    words_of,
)
from tests.docs.documents import check_json, check_yaml, rule_of

BLOCKS = all_blocks()
#: A block without a word is taken for commands.
SHELL = frozenset({"console", "sh", "bash", "shell", ""})
#: A picture made of characters; nothing can be run of it.
PROSE = frozenset({"text"})
PAGES = sorted({block.page for block in BLOCKS if block.language not in PROSE and not block.reason})


def unchecked(blocks: tuple[Block, ...]) -> list[str]:
    """What no rule of ours would look at, one sentence each."""
    import yaml

    found = []
    for block in blocks:
        if block.reason or block.language in {*PROSE, "python", "json"}:
            continue
        if block.language == "yaml":
            if rule_of(yaml.safe_load(block.text)) is None:
                found.append(f"{block.place}: nothing of ours reads this YAML")
        elif block.language in SHELL:
            lines = lines_of(block)
            unknown = [line for line in lines if handler_of(words_of(line)) is None]
            if not is_script(block) and (unknown or not lines):
                found.append(
                    f"{block.place}: nobody knows how to check {unknown or 'a block without commands'}"
                )
        else:
            found.append(f"{block.place}: blocks of the kind {block.language!r} are not looked at")
    return found


def test_every_block_is_run_or_says_why_not() -> None:
    assert len(BLOCKS) > 30
    assert not unchecked(BLOCKS)


def test_a_reason_is_a_sentence() -> None:
    for block in BLOCKS:
        assert not block.reason or len(block.reason.split()) >= 4, f"{block.place}: say why"
    for page in pages():
        text = (ROOT / page).read_text(encoding="utf-8")
        marks = text.count("<!-- not run here")
        assert marks == sum(1 for block in BLOCKS if block.page == page and block.reason), (
            f"{page}: a mark stands directly above its block"
        )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("```sh\nfrobnicate --all\n```\n", "frobnicate"),
        ("```console\nno prompt\n```\n", "without commands"),
        ("```yaml\nnobody: {reads: this}\n```\n", "nothing of ours"),
        ("```ruby\nputs 1\n```\n", "'ruby'"),
        ("```\nwhat is this\n```\n", "what is this"),
    ],
)
def test_a_block_that_is_neither_checked_nor_marked_is_noticed(text: str, told: str) -> None:
    (found,) = unchecked(tuple(blocks_of(text, "made-up.md")))
    assert told in found
    marked = f"<!-- not run here: it is made up -->\n{text}"
    assert not unchecked(tuple(blocks_of(marked, "made-up.md")))


# ------------------------------------------------------------------------------ running them
@pytest.fixture(scope="session")
def pair() -> Iterator[Mapping[str, str]]:
    """The variables of an embedded pair that runs while the tests do."""
    with subprocess.Popen(
        [str(BIN / "weighbridge"), "serve"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as child:  # fmt: skip
        assert child.stdout is not None
        variables = {}
        for line in child.stdout:
            if line.startswith("#"):
                break
            name, _, value = line.removeprefix("export ").strip().partition("=")
            variables[name] = value
        try:
            assert "WB_CHAT_URL" in variables, "weighbridge serve said nothing of use"
            yield variables
        finally:
            child.terminate()


@pytest.fixture
def sandbox(pair: Mapping[str, str], tmp_path: Path) -> Sandbox:
    """What the pages take for granted: a key in the environment, and the files that they name without making them."""
    chat = pair["WB_CHAT_URL"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WEIGHBRIDGE")}
    environment |= {**pair, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)}
    environment |= dict.fromkeys(("GATEWAY_KEY", "KEY", "WEIGHBRIDGE_KEY"), pair["WB_CHAT_KEY"])
    environment["GATEWAY_OPERATOR_TOKEN"] = pair["WB_OPERATOR_TOKEN"]
    box = Sandbox(
        tmp_path,
        {
            "https://gateway.example": chat.removesuffix("/v1"),
            "https://gw.example": chat.removesuffix("/v1"),
            "https://api.openai.com": pair["WB_SIMULATOR_URL"],
            "http://127.0.0.1:8083": pair["WB_OPERATOR_URL"].removesuffix("/operator/v1"),
            "my-model": "gpt-5.5",
        },
        environment,
    )
    (tmp_path / "target.yaml").write_text(
        f"name: my-gateway\nprofiles: [openai-chat]\nsurfaces: {{chat: {{url: {chat}}}}}\nmodels: {{openai: gpt-5.5}}\n"
        'principals: {chat.funded: {key: "${GATEWAY_KEY}", requests_per_second: 500, in_flight: 50}}\n'
        "rates: {gpt-5.5: {input: 5, output: 30}}\nmax_output: {max_tokens: 16}\n",
        encoding="utf-8",
    )
    wired = (ROOT / "targets" / "embedded.yaml").read_text(encoding="utf-8")
    (tmp_path / "my-gateway.yaml").write_text(wired, encoding="utf-8")
    shutil.copytree(ROOT / "reports", tmp_path / "reports")  # an example may write there
    (tmp_path / "loadtests").symlink_to(ROOT / "loadtests")
    return box


def run_python(block: Block, folder: Path) -> None:
    """Run a block as a program; one that begins with the name of a file is that file."""
    named = re.match(r"# ([\w/]+\.py)$", block.text.partition("\n")[0])
    place = folder / (named[1] if named else f"block_{block.line}.py")
    place.write_text(block.text, encoding="utf-8")
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider"] if place.name.startswith("test_") else []
    done = subprocess.run(
        [sys.executable, "-W", "error", *command, str(place)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{block.place}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_work_in_their_order(page: str, sandbox: Sandbox) -> None:
    for name in PREPARED.get(page, ()):
        sandbox.call([str(BIN / "weighbridge"), "run", "--target", "target.yaml", "--quick", "--out", name])
    for block in (block for block in BLOCKS if block.page == page and not block.reason):
        if block.language == "python":
            run_python(block, sandbox.folder)
        elif block.language == "yaml":
            check_yaml(replace(block, text=standing_in(block.text, sandbox)), sandbox.folder)
        elif block.language == "json":
            check_json(block, sandbox.folder)
        elif block.language in SHELL:
            check_shell(block, sandbox)


#: Runs that a page speaks of and does not make.
PREPARED = {"docs/ci.md": ("last",), "docs/reports.md": ("their-run",)}

# ------------------------------------------------------------------------------ commands within sentences
GENERATED = frozenset({"docs/requirements.md", "docs/kill-matrix.md", "CHANGELOG.md"})
SAID = [
    (page, said)
    for page in pages()
    if page not in GENERATED
    for said in re.findall(
        r"(?<!`)`((?:\.venv/bin/)?(?:weighbridge|make) [^`\n]+)`", (ROOT / page).read_text(encoding="utf-8")
    )
]


def test_commands_within_sentences_exist() -> None:
    assert len(SAID) > 40
    for page, said in SAID:
        try:
            check_said(said)
        except AssertionError as wrong:
            raise AssertionError(f"{page}: {said}\n{wrong}") from wrong


def check_said(said: str) -> None:
    """A command within a sentence: its name, its targets and its options are ours."""
    name, *words = said.removeprefix(".venv/bin/").split()
    if name == "make":
        check_make(shlex.split(said))
    elif not words[0].isupper():  # `weighbridge COMMAND --help`
        for word in words[0].rstrip(",").split(","):
            check_options([word, *words[1:]])
