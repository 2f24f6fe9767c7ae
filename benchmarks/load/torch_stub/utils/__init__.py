"""As in torch."""

from torch.utils import data as data
