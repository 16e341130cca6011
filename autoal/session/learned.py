"""What the labels of a session have brought: the model, its predictions, suspects, the outlook, the report."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from autoal.errors import AutoALError, AutoALWarning, InvalidInput
from autoal.rng import derive_seed
from autoal.session.ahead import labels_at_asks
from autoal.session.describe import describe_model
from autoal.session.fitting import Known, Trained, check_can_fit, kept, lacks_model, trained
from autoal.session.labels import Label
from autoal.session.looking import Looking
from autoal.session.names import alike, says_alike
from autoal.session.outlook import MOMENTS, Outlook, outlook_of
from autoal.session.predictions import check_out, predictions, write_frame
from autoal.session.state import Record, State
from autoal.session.suspects import NO_PROBABILITIES, find_suspects
from autoal.session.watching import rounds_of
from autoal.settings import integer
from autoal.stopping import DEFAULT, DEFAULT_REGRESSION, Rule, parse_rule

__all__ = ["Learned"]


class Learned(Looking):
    """The part of `Session` that fits its model."""

    def fit(self) -> Any:
        """The session's model, fitted on all labels, to keep: a scikit-learn estimator on the user's own labels, or the
        nn.Module in evaluation mode, whose outputs are the classes in the order of `classes=`, else sorted (with the
        standardisation around it where training had one); a ModelAdapter of another kind as it is.

        The same labels give the same model; `predict` is by this one. Raises InvalidInput where there are fewer than
        two labels or classes, where the session's model was not passed to `open`, or where batches were asked for with
        outputs of a model that this session does not have.
        """
        model = self._fitted(self._state())
        for sentence in model.says_of_codes():
            warnings.warn(sentence, AutoALWarning, stacklevel=2)
        return kept(model)

    def predict(self, out: str | os.PathLike[str] | None = None) -> pd.DataFrame:
        """What the model, fitted on all labels, says of every row of the pool, in its order; to `out` (.csv, .parquet)
        too, written whole or not at all.

        - `id`;
        - `label`: what people said, where they labeled the row; missing where they said that it is of no class; else
          the prediction, a class of the user's own type, or the value of a regression;
        - `predicted`: the prediction, for every row;
        - `confidence`: probability of the predicted class, not calibrated; left out, with a warning, where the model
          has no probabilities, and in a regression;
        - `labeled`: whether people labeled the row.

        Raises what `fit` raises, and InvalidInput or DataMissing for an `out` that cannot be, before any training.
        """
        path = None if out is None else check_out(out)
        state = self._state()
        model = self._fitted(state)
        frame = predictions(self._inputs(), model, state, self._ids)
        if model.known.num_classes and "confidence" not in frame:
            warnings.warn(f"{NO_PROBABILITIES}, and predictions come without confidence", AutoALWarning, stacklevel=2)
        if path is not None:
            write_frame(frame, path)
        return frame

    def suspects(self, n: int | None = None) -> pd.DataFrame:
        """Labels that held-out predictions contradict, the most suspicious first; with `n` the `n` most suspicious,
        whether contradicted or not.

        Of classes, by confident learning (Northcutt, Jiang and Chuang 2021): the confident joint (eq. 1 to 3) of
        held-out probabilities says how many labels are wrong, and so many are contradicted. Which ones, and the order,
        is by the margin of log probabilities, log p(label) - log p(likeliest other), which finds more than the paper's
        margin of probabilities does (baselines/results/suspects.md). Probabilities are means of three cross-validations
        of five parts, so this takes fifteen trainings. Classes with fewer than five labels are left out, with a
        warning. Columns: `id`, `label`, `suggested` (what it would be instead), `confidence` (probability of that),
        `label_confidence` (probability of the label), `contradicted`.

        Of a regression, where the residual of a held-out prediction is far from the others (modified z-score above
        3.5, Iglewicz and Hoaglin 1993): `id`, `label`, `suggested`, `score` (that z-score), `contradicted`.

        Class names that differ only in how they are written (`cat`, `Cat`) are warned of, and are in
        `.attrs["alike"]`. Raises InvalidInput where there are too few labels, and what `fit` raises.
        """
        n = None if n is None else integer(n, "n")
        if n is not None and n < 1:
            raise InvalidInput(f"got n={n}; wanted 1 or more labels, or None for all that are contradicted")
        state = self._state()
        labels = dict(state.labels)
        groups = alike(dict.fromkeys(labels.values()))
        if groups:
            warnings.warn(says_alike(groups), AutoALWarning, stacklevel=2)
        check_can_fit(self._manifest, state, self._model, self.folder)
        frame, said = find_suspects(
            self._inputs(), labels, self.task, self._ids, model=self._model, device=self._own_device,
            seed=self._manifest["seed"], most=n,
        )  # fmt: skip
        for sentence in said:
            warnings.warn(sentence, AutoALWarning, stacklevel=2)
        frame.attrs["alike"] = groups
        return frame

    def report(self, *, estimate: bool = True) -> Path:
        """Writes report.html into the folder, and labels.csv beside it; gives the page's path.

        With `estimate` the model is trained on five parts of the labels of each round, to say how good it was then:
        on labels that were chosen, which are no fair sample of the pool.
        """
        from autoal.session.report import write_report  # draws, and drawing takes a second to import

        return write_report(self, estimate=estimate)

    def outlook(self, labels: int | None = None, *, rule: str | Rule | None = None, estimate: bool = True) -> Outlook:
        """What the next `labels` labels may bring (as many as the latest batch, unless given), and whether it is
        reasonable to stop, in a sentence (`.says`) and in numbers; `.stop` is True, False, or None where it cannot be
        told yet, as with few labels.

        It goes by what the journal holds of every batch, and by cross-validation on the labels of the latest batches,
        which trains the model five times for a batch, once, and is left out where `estimate` is false: then the gain
        is known from audit points alone. The same journal gives the same outlook, kept while nothing is added.
        `rule` is one of `autoal.stopping.RULES`, or several, as text: "stable_predictions | budget(labels=500)"; where
        none is given, `autoal.stopping.DEFAULT`, which was measured (`DEFAULT_REGRESSION` in a regression, which was
        not).

        Raises UnknownName and ConfigError for a rule that is none, InvalidInput for `labels` below 1.
        """
        usual = DEFAULT_REGRESSION if self.task == "regression" else DEFAULT
        rule = usual if rule is None else parse_rule(rule)
        state = self._state()
        batch = len(state.asks[-1]["ids"]) if state.asks else 10
        ahead = batch if labels is None else integer(labels, "labels")
        if ahead < 1:
            raise InvalidInput(f"got labels={ahead}; wanted how many labels more the outlook is about, 1 or more")
        key = (self._seen, str(rule), ahead, estimate)
        if key not in self._looked:
            values, missing = self._values() if estimate else ({}, " without cross-validation")
            rounds = rounds_of(state, self._ids, values)
            self._looked = {
                key: outlook_of(
                    rounds, rule=rule, ahead=ahead, labels=len(state.labels), left=len(self) - state.taken,
                    task=self.task, missing=missing,
                )
            }  # fmt: skip
        return self._looked[key]

    def _values(self) -> tuple[dict[int, float], str]:
        """Cross-validated values by number of labels at the latest batches, or why there are none."""
        found = self.cross_validate(self.history()[2][:-1][-MOMENTS:])
        if isinstance(found, str):
            return {}, " without cross-validation: " + found[0].lower() + found[1:].rstrip(".")
        return {int(n): float(v) for n, v in zip(found["labels"], found["value"], strict=True)}, " yet"

    def history(self) -> tuple[Record, State, list[dict[int, Label]]]:
        """For the report: the manifest, the state, and what was labeled at each batch and now, by row."""
        state = self._state()
        now_labeled = state.labels
        then = labels_at_asks(self._folder.read()[0], self._ids)
        moments = [{row: now_labeled[row] for row in labels if row in now_labeled} for labels in then]
        return self._manifest, state, [*moments, dict(now_labeled)]

    def cross_validate(self, moments: Sequence[dict[int, Label]]) -> pd.DataFrame | str:
        """What the model is worth on the labels of each moment, or why that cannot be said."""
        from autoal.session.estimate import cross_validated

        lacks = lacks_model(self._manifest, self._state(), self._model)
        if lacks is not None:
            return f"It needs {lacks}."
        key = describe_model(self._model)
        try:
            return cross_validated(
                self._inputs(), list(moments), self.task, model=self._model,
                device=self._own_device, seed=self._manifest["seed"],
                key=key["digest"] if key else "", cache=self.folder / "estimates.json",
            )  # fmt: skip
        except AutoALError as error:  # a part of the labels that the model does not take is no reason for no page
            return f"The model could not be trained on a part of the labels: {error}"

    def _fitted(self, state: State) -> Trained:
        check_can_fit(self._manifest, state, self._model, self.folder)
        known = Known.of(state.labels, self.task, self._space.classes)
        seed = derive_seed(self._manifest["seed"], "fit")
        return trained(self._inputs(), known, model=self._model, device=self._own_device, seed=seed)
