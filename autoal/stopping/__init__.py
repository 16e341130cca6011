"""When to stop: rules, one a file, that read a few numbers a round and never a test label.

`a & b` stops when both do, `a | b` when one of them does.
"""

from autoal.stopping.audit_clean import AuditClean
from autoal.stopping.base import Rule, Verdict
from autoal.stopping.budget import Budget
from autoal.stopping.classification_change import ClassificationChange
from autoal.stopping.expected_gain import ExpectedGain, expected_gain
from autoal.stopping.parse import parse
from autoal.stopping.record import Round
from autoal.stopping.selected_accuracy import SelectedAccuracy
from autoal.stopping.settled_predictions import SettledPredictions
from autoal.stopping.stable_predictions import StablePredictions
from autoal.stopping.uncertainty import MaximumUncertainty, MinimumExpectedError, OverallUncertainty

__all__ = ["DEFAULT", "DEFAULT_REGRESSION", "RULES", "Round", "Rule", "Verdict", "expected_gain", "parse_rule"]

RULES: dict[str, type[Rule]] = {
    rule.name: rule
    for rule in (
        StablePredictions,
        SettledPredictions,
        ClassificationChange,
        ExpectedGain,
        OverallUncertainty,
        MaximumUncertainty,
        MinimumExpectedError,
        SelectedAccuracy,
        AuditClean,
        Budget,
    )
}
"""name -> rule."""

DEFAULT: Rule = SettledPredictions() & SelectedAccuracy(least=0.7)
"""The rule a session goes by where none is named: of those tried on the development sets the one that saved most on the
validation sets at less than half a point in nine scenarios of ten, with every model and size of batch
(baselines/results/stopping.md)."""
DEFAULT_REGRESSION: Rule = SettledPredictions()
"""The same in a regression, where no answer is right or wrong. Not measured there."""


def parse_rule(rule: str | Rule) -> Rule:
    """A rule, or the text of one: `stable_predictions(threshold=0.98) & budget(labels=100)`.

    Raises UnknownName for a rule or a parameter that does not exist, ConfigError for anything else that is wrong.

    >>> str(parse_rule("budget(labels=200) & (classification_change | stable_predictions(threshold=0.98))"))
    'budget(labels=200) & (classification_change | stable_predictions(threshold=0.98))'
    """
    return rule if isinstance(rule, Rule) else parse(rule, RULES)
