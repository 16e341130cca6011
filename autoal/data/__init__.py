"""Data: rows of any kind behind one interface, and the one place that converts between index spaces."""

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
