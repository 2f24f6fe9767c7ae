"""The two classes of torch.utils.data that guidellm uses."""

from torch.utils.data.dataloader import DataLoader as DataLoader
from torch.utils.data.dataset import IterableDataset as IterableDataset


def get_worker_info() -> None:
    """Everything is loaded in this process."""
