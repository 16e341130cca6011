"""The search: SearchNet, FitNet, relaxed selection, episodes, and the bi-level step."""
