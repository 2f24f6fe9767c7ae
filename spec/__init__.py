"""The written contract as data: requirements, profiles, models, schemas and the OpenAPI description.

Everything that any other part asserts, serves or validates against is a file of this folder, so that a
rule has one home and no two parts can quietly disagree about it. The package only finds and reads its
files; parsing them is the reader's business, and it imports nothing beyond the standard library.
"""

from pathlib import Path


def root() -> Path:
    """The folder that holds the data files of this package."""
    return Path(__file__).resolve().parent


def text(name: str) -> str:
    """The text of one data file, named relative to :func:`root`, such as ``requirements/messages.yaml``.

    Raises FileNotFoundError when there is no such file, ValueError when the name points outside the folder.
    """
    path = (root() / name).resolve()
    if not path.is_relative_to(root()):
        raise ValueError(f"{name!r} points outside the specification folder; name a file inside it")
    return path.read_text(encoding="utf-8")
