"""Stands in for torch where guidellm walks through a list of prompts; nothing here computes anything."""

from . import utils as utils

__version__ = "2.0.0"


class Tensor:
    """A name that annotations mention."""


class Generator:
    """Seeded, and never asked."""

    def manual_seed(self, _seed: int) -> "Generator":
        return self
