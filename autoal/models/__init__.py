"""Models behind one protocol: torch modules, scikit-learn estimators, precomputed outputs."""
