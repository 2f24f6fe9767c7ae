"""As in torch, for batches of one."""

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class DataLoader(Generic[T]):
    """Walks through a dataset, one item a batch."""

    def __init__(self, dataset: Any, *, collate_fn: Callable[[list[Any]], T], **_: Any) -> None:
        self.dataset = dataset
        self.collate_fn = collate_fn

    def __iter__(self) -> Iterator[T]:
        return (self.collate_fn([item]) for item in self.dataset)
