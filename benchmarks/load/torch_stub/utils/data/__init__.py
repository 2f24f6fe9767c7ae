"""The two classes of torch.utils.data that guidellm uses."""

from .dataloader import DataLoader as DataLoader
from .dataset import IterableDataset as IterableDataset


def get_worker_info() -> None:
    """Everything is loaded in this process."""
