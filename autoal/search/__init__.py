"""The search: SearchNet, FitNet, relaxed selection, episodes, and the bi-level step."""

from autoal.settings import PaperConfig, SearchConfig

__all__ = ["PaperConfig", "SearchConfig"]
