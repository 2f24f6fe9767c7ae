"""The data package finds its own files and nothing else."""

from __future__ import annotations

import pytest

import spec


def test_root_is_the_folder_of_the_data() -> None:
    assert (spec.root() / "profiles.yaml").is_file()


def test_text_returns_a_file_by_its_relative_name() -> None:
    assert spec.text("requirements/fuzz.yaml").startswith("# Generated")


def test_text_refuses_a_name_outside_the_folder() -> None:
    with pytest.raises(ValueError, match="outside the specification folder"):
        spec.text("../pyproject.toml")


def test_text_of_a_missing_file_says_so() -> None:
    with pytest.raises(FileNotFoundError):
        spec.text("no-such-file.yaml")
