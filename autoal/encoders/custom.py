"""The user's own encoder: a scikit-learn transformer, an object with `encode`, or a function."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import os
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from autoal.encoders.containers import as_array, is_frame, row_count, texts_of
from autoal.encoders.reduction import Reduction, row_sample
from autoal.errors import AutoALError, InvalidInput
from autoal.rng import isolated

__all__ = ["CustomEncoder", "check_encoder", "load_encoder", "load_named", "made_without_arguments"]

WIDE = 1000
"""A result with more columns is reduced: distances cost time in proportion, and say no more."""

REDUCED = 256
FIT_ROWS = 5000

ACCEPTED = (
    "a scikit-learn transformer (fit and transform), an object with encode(list), or a function from rows to an "
    "array (n, D)"
)


def check_encoder(encoder: Any) -> None:
    """Raises InvalidInput where `encoder` is none of the accepted kinds. None is accepted: it asks for the default."""
    if encoder is None:
        return
    if isinstance(encoder, type):
        raise InvalidInput(f"got the class {encoder.__name__} as encoder; wanted an object: {encoder.__name__}()")
    if isinstance(encoder, str):
        raise InvalidInput(f"got the text {encoder!r} as encoder; wanted {ACCEPTED}, not its name")
    if any(callable(getattr(encoder, name, None)) for name in ("transform", "encode")) or callable(encoder):
        return
    if hasattr(encoder, "fit_transform"):
        raise InvalidInput(
            f"got {_name(encoder)} as encoder, which has fit_transform but no transform, so rows that come later have "
            f"no place in it; wanted {ACCEPTED}"
        )
    raise InvalidInput(f"got {_name(encoder)} as encoder; wanted {ACCEPTED}")


def load_encoder(path: str) -> Any:
    """The encoder at an import path, "package.module:name" or "package.module.name".

    Modules in the working directory are found too. A class is made into an object without arguments, anything else
    is used as it is. Raises InvalidInput where the path leads nowhere, or to something that is no encoder.
    """
    found = load_named(path, "encoder", ACCEPTED)
    if isinstance(found, type):
        found = made_without_arguments(found, path, "encoder")
    check_encoder(found)
    return found


def load_named(path: str, what: str, accepted: str) -> Any:
    """What lies at an import path. `what` it is to be, and what is `accepted` as one, are for messages: InvalidInput
    where the path leads nowhere, or to a module."""
    module_name, colon, attribute = path.partition(":")
    if not colon:
        module_name, _, attribute = path.rpartition(".")
    if not module_name or not attribute:
        raise InvalidInput(f"got {path!r} as {what}; wanted an import path such as 'my_module:my_{what}'")
    found: Any = _module(module_name, path, what)
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            # Text after a dot may be a module nobody has imported yet.
            nested = f"{getattr(found, '__name__', '')}.{part}"
            if type(found) is type(sys) and _is_module(nested):
                found = _module(nested, path, what)
                continue
            raise InvalidInput(
                f"got {path!r} as {what}, but {module_name!r} has no {attribute!r}; wanted the name of {accepted}"
            ) from None
    if type(found) is type(sys):
        raise InvalidInput(f"got the module {path!r} as {what}; wanted a name in it, such as '{path}:my_{what}'")
    return found


def made_without_arguments(kind: type, path: str, what: str) -> Any:
    """An object of a class. Raises InvalidInput where it wants arguments."""
    try:
        return kind()
    except Exception as error:
        raise InvalidInput(
            f"got the class {path!r} as {what}, which cannot be made without arguments ({_words(error)}); name an "
            f"object of it instead, e.g. `{what} = ...` in your module"
        ) from error


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _module(name: str, path: str, what: str) -> Any:
    here = os.getcwd()
    added = here not in sys.path and "" not in sys.path
    if added:  # a console script does not look where it was called from, and there the user's module is
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise InvalidInput(
            f"got {path!r} as {what}, but {name!r} cannot be imported ({_words(error)}); wanted an import path such "
            f"as 'my_module:my_{what}', with my_module.py in this folder or installed"
        ) from error
    finally:
        if added and here in sys.path:
            sys.path.remove(here)


class CustomEncoder:
    """What the user's encoder makes of rows, checked: float32 (n, D), finite, the same D in every call.

    A transformer that can be fitted and is not yet is cloned (copied where `clone` fails) and fitted, so the user's
    own object never changes; one that was fitted before is used as it is, and that is noted. The encoder gets the
    rows in the container they came in, `encode` a list. A sparse or very wide result is reduced to 256 columns, any
    other left as it is. Whatever it draws from the global random generators depends on nothing outside.

    Raises InvalidInput for an encoder that fails, in its own words, and for a result that is not what is wanted.
    """

    def __init__(self, kind: str, native: Any, encoder: Any, what: str = "X") -> None:
        self.notes: list[str] = []
        self._kind, self._what = kind, what
        self._name = _name(encoder)
        self._encoder = encoder
        self._columns: int | None = None
        self._reduction: Reduction | None = None
        if row_count(native, what) == 0:
            raise InvalidInput(f"got {what} without rows; wanted at least one")
        if callable(getattr(encoder, "transform", None)) and callable(getattr(encoder, "fit", None)):
            self._encoder = self._fitted(encoder, native)
        result = self._call(native)
        self._columns = int(result.shape[1])
        if sparse.issparse(result) or self._columns > WIDE:
            if self._columns > REDUCED:
                rows = row_sample(result, FIT_ROWS)
                self._reduction = Reduction(result[rows], REDUCED, unit=False)
                self.notes.append(
                    f"the {self._columns} columns of the encoder {self._name} are reduced to {self._reduction.size}"
                )

    def transform(self, native: Any) -> NDArray[np.float32]:
        """(n, D)."""
        result = self._call(native)
        if result.shape[1] != self._columns:
            raise InvalidInput(
                f"the encoder {self._name} gave {result.shape[1]} columns, and {self._columns} before; wanted the same "
                "number in every call"
            )
        if self._reduction is not None:
            return self._reduction.apply(result)
        return np.asarray(result.toarray() if sparse.issparse(result) else result, dtype=np.float32)

    def _fitted(self, encoder: Any, native: Any) -> Any:
        if _is_frozen(encoder):
            return encoder
        if _is_fitted(encoder):
            self.notes.append(
                f"the encoder {self._name} was fitted before and is used as it is; hand over sklearn.base.clone of it "
                "to have it fitted on these rows"
            )
            return encoder
        copied = _copy(encoder)
        try:
            with isolated(0):
                copied.fit(native)
        except Exception as error:
            raise InvalidInput(
                f"the encoder {self._name} cannot be fitted on {self._what} ({type(native).__name__}): {_words(error)}"
                "; it is called as fit(rows), without labels"
            ) from error
        return copied

    def _call(self, native: Any) -> Any:
        """The checked result: float32 (n, D), or float64 CSR."""
        n = row_count(native[0] if self._kind == "parts" and isinstance(native, tuple) else native, self._what)
        encode = getattr(self._encoder, "encode", None)
        try:
            with isolated(0):
                if callable(getattr(self._encoder, "transform", None)):
                    result = self._encoder.transform(native)
                elif callable(encode):
                    result = encode(self._listed(native))
                else:
                    result = self._encoder(native)
        except AutoALError:
            raise
        except Exception as error:
            raise InvalidInput(
                f"the encoder {self._name} failed on {self._what} ({type(native).__name__}, {n} rows): {_words(error)}"
            ) from error
        return self._checked(result, n)

    def _listed(self, native: Any) -> list[Any]:
        """What `encode` gets."""
        if self._kind == "texts":
            return list(texts_of(native, self._what))
        if is_frame(native):
            if native.shape[1] == 1:
                return list(texts_of(native, self._what))
            raise InvalidInput(
                f"got the encoder {self._name}, whose encode takes a list of texts, and {self._what} with "
                f"{native.shape[1]} columns; pass a function that makes one text of each row and encodes them, or a "
                "scikit-learn ColumnTransformer"
            )
        return [native[row] for row in range(native.shape[0])] if sparse.issparse(native) else list(native)

    def _checked(self, result: Any, n: int) -> Any:
        wanted = f"wanted an array of numbers ({n}, D), one row per row of {self._what}"
        if sparse.issparse(result):
            made = result.tocsr()
        else:
            try:
                made = as_array(result)
                if made.dtype == object:
                    made = made.astype(np.float64)
            except Exception as error:
                raise InvalidInput(
                    f"the encoder {self._name} gave a {type(result).__name__} that is no array ({_words(error)}); "
                    + wanted
                ) from error
        if made.dtype.kind not in "biuf":
            raise InvalidInput(f"the encoder {self._name} gave values of dtype {made.dtype}; {wanted}")
        if made.ndim != 2 or made.shape[0] != n or made.shape[1] == 0:
            hint = ": reshape(-1, 1) where each row is one number" if made.shape == (n,) else ""
            raise InvalidInput(f"the encoder {self._name} gave shape {tuple(made.shape)}; {wanted}{hint}")
        with np.errstate(over="ignore"):
            made = sparse.csr_matrix(made, dtype=np.float64) if sparse.issparse(made) else made.astype(np.float32)
        held = made.data if sparse.issparse(made) else made
        lost = int(held.size - np.isfinite(held.astype(np.float32)).sum())
        if lost:
            raise InvalidInput(
                f"the encoder {self._name} gave {lost} value(s) that are missing, infinite or beyond float32; wanted "
                "finite numbers: fill gaps inside the encoder, e.g. with SimpleImputer"
            )
        return made


def _copy(encoder: Any) -> Any:
    from sklearn.base import clone

    try:
        return clone(encoder)
    except Exception:  # not built by scikit-learn's rules
        return copy.deepcopy(encoder)


def _is_frozen(encoder: Any) -> bool:
    return type(encoder).__name__ == "FrozenEstimator"


def _is_fitted(encoder: Any) -> bool:
    """Whether somebody fitted it. One that is as good before `fit` as after, like HashingVectorizer, was not."""
    if _is_frozen(encoder):
        return True
    if isinstance(getattr(encoder, "steps", None), list):  # scikit-learn asks the last step of a pipeline only
        learning = [step for _, step in encoder.steps if hasattr(step, "fit") and not _passes(_copy(step))]
        return bool(learning) and all(map(_is_fitted, learning))
    return _passes(encoder) and not _passes(_copy(encoder))


def _passes(encoder: Any) -> bool:
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(encoder)
    except Exception:  # not fitted, or not built by scikit-learn's rules, which leave no other way to know
        return False
    return True


def _name(encoder: Any) -> str:
    return str(getattr(encoder, "__name__", None) or type(encoder).__name__)


def _words(error: Exception) -> str:
    """What an error says, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:400]
