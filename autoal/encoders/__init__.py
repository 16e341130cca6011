"""Rows to numbers for distances, without labels: tables, texts, pictures, numbers, or an encoder of the user's own."""

from autoal.encoders.base import KINDS, FittedEncoder, fit_encoder
from autoal.encoders.custom import check_encoder, load_encoder, load_named, made_without_arguments

__all__ = [
    "KINDS",
    "FittedEncoder",
    "check_encoder",
    "fit_encoder",
    "load_encoder",
    "load_named",
    "made_without_arguments",
]
