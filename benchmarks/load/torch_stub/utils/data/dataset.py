"""As in torch."""

from typing import Generic, TypeVar

T = TypeVar("T")


class IterableDataset(Generic[T]):
    """Something to walk through."""
