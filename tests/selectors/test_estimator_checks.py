"""scikit-learn's own checks of an estimator, those that make sense for one that chooses points.

AutoAL has no `predict` and no `transform`: checks of those are left out, and so are these, which want what cannot be:

- a fit without any point left to ask for: `HalfLabeled` leaves the second half of the rows unlabeled for the others;
- `check_fit2d_1sample`, `check_fit2d_1feature`, `check_complex_data`: refused, in words of our own;
- `check_n_features_in*`: rows may be texts or pictures, so there is no number of features;
- `check_estimators_pickle`: what is written to disk is JSON and safetensors (`save`), never a pickle;
- `check_estimators_nan_inf`: gaps are for the user's model to take or refuse.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.utils import estimator_checks

from autoal import AutoAL

OF_PARAMETERS = [
    "check_parameters_default_constructible",
    "check_no_attributes_set_in_init",
    "check_get_params_invariance",
    "check_set_params",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_valid_tag_types",
    "check_estimator_tags_renamed",
    "check_mixin_order",
    "check_estimators_unfitted",
    "check_fit1d",
]
OF_FIT = [
    "check_dict_unchanged",
    "check_fit_idempotent",
    "check_readonly_memmap_input",
    "check_estimators_overwrite_params",
    "check_positive_only_tag_during_fit",
    "check_estimators_dtypes",
    "check_fit_check_is_fitted",
    "check_estimators_fit_returns_self",
    "check_f_contiguous_array_estimator",
    "check_pipeline_consistency",
]


class HalfLabeled(AutoAL):
    """Fits with the labels of the first half of the rows: without a pool there is nothing to choose."""

    def fit(self, X: Any, y: Any, **more: Any) -> Self:
        y = np.asarray(y).ravel()
        order = np.concatenate([np.flatnonzero(y == label)[:6] for label in np.unique(y)])
        return super().fit(X, y[order], labeled=order[: max(2, len(y) - 2)], **more)


def check(name: str) -> Any:
    found = getattr(estimator_checks, name, None)
    if found is None:
        pytest.skip(f"this version of scikit-learn has no {name}")
    return found


@pytest.mark.parametrize("name", OF_PARAMETERS)
def test_parameters(name: str) -> None:
    check(name)("AutoAL", AutoAL("fast", random_state=0))


@pytest.mark.parametrize("name", OF_FIT)
@pytest.mark.filterwarnings("ignore::autoal.errors.AutoALWarning", "ignore::sklearn.exceptions.ConvergenceWarning")
def test_fit(name: str) -> None:
    model = LogisticRegression(max_iter=50)
    check(name)("AutoAL", HalfLabeled(["random", "margin"], model=model, mode="uniform", random_state=0))
