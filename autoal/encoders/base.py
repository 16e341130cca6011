"""What an encoder is, and the table of those that come with the package."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from autoal.encoders.custom import CustomEncoder, check_encoder
from autoal.errors import InvalidInput, UnknownName

__all__ = ["KINDS", "FittedEncoder", "fit_encoder"]

KINDS = ("any", "numbers", "parts", "pictures", "table", "texts")


class FittedEncoder(Protocol):
    """Gives rows as numbers whose Euclidean distances mean something; always finite."""

    notes: list[str]
    """What was inferred from the rows, one sentence each."""

    def transform(self, native: Any) -> NDArray[np.float32]:
        """(n, D), the same D in every call. Raises InvalidInput for rows unlike those of the fit."""
        ...


def fit_encoder(kind: str, native: Any, encoder: Any = None, what: str = "X") -> FittedEncoder:
    """An encoder fitted on the rows `native`; `encoder` is the user's own, or None for the one of this package.

    `kind` is "table" (pandas or polars DataFrame, or an array (n, d) of strings or objects), "texts" (list, Series,
    array or one-column frame of str), "pictures" (array (n, h, w), (n, h, w, c) or (n, c, h, w)), "numbers" (array or
    scipy sparse (n, d), gaps allowed), or, for an encoder of the user's alone, "parts" (a dict or tuple of such rows)
    and "any" (whatever it takes).

    Raises InvalidInput, in the words of `what`, where the rows are not of that kind or all look the same.
    """
    if kind not in KINDS:
        raise UnknownName("kind of rows", kind, KINDS)
    if encoder is not None:
        check_encoder(encoder)
        return CustomEncoder(kind, native, encoder, what)
    # Imported here: each of them pulls in scikit-learn or skrub, which most programs never need.
    if kind == "table":
        from autoal.encoders.tables import TableEncoder

        return TableEncoder(native, what)
    if kind == "texts":
        from autoal.encoders.texts import TextEncoder

        return TextEncoder(native, what=what)
    if kind == "pictures":
        from autoal.encoders.pictures import PictureEncoder

        return PictureEncoder(native, what)
    if kind == "numbers":
        from autoal.encoders.numbers import NumberEncoder

        return NumberEncoder(native, what)
    raise InvalidInput(
        f"got {what} with rows that are neither numbers, texts, pictures nor a table, so distances between them are "
        "not known; pass encoder=, a function that takes these rows and gives an array (n, D)"
    )
