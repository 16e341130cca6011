"""What an annotator gets: of each point that is asked for something to look at, for a table or for Label Studio."""

from autoal.tasks.label_studio import label_config, looks_of, tasks_of
from autoal.tasks.showing import Show, distinct_names, plain, show_of, show_pool, show_rows

__all__ = [
    "Show",
    "distinct_names",
    "label_config",
    "looks_of",
    "plain",
    "show_of",
    "show_pool",
    "show_rows",
    "tasks_of",
]
