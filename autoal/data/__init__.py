"""Data: rows of any kind behind one interface, and the one place that converts between index spaces."""

from typing import TYPE_CHECKING

from autoal.lazy import attach

if TYPE_CHECKING:
    from autoal.data.datasets import DATASETS, dataset_names, load_dataset
    from autoal.data.items import Items
    from autoal.data.labeled_data import LabeledData
    from autoal.data.pool import Pool
    from autoal.data.rows import ConcatRows, Rows, as_rows, check_finite
    from autoal.data.shards import Shards

__all__ = [
    "DATASETS",
    "ConcatRows",
    "Items",
    "LabeledData",
    "Pool",
    "Rows",
    "Shards",
    "as_rows",
    "check_finite",
    "dataset_names",
    "load_dataset",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "ConcatRows": "autoal.data.rows",
        "DATASETS": "autoal.data.datasets",
        "Items": "autoal.data.items",
        "LabeledData": "autoal.data.labeled_data",
        "Pool": "autoal.data.pool",
        "Rows": "autoal.data.rows",
        "Shards": "autoal.data.shards",
        "as_rows": "autoal.data.rows",
        "check_finite": "autoal.data.rows",
        "dataset_names": "autoal.data.datasets",
        "load_dataset": "autoal.data.datasets",
    },
)
