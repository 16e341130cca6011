"""The batch that needs no learning: description of the pool, space, composition, foreign points."""
