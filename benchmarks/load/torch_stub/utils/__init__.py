"""As in torch."""

from . import data as data
