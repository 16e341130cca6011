"""Random calls with odd inputs: each must end in a valid answer or in an AutoALError.

`python -m tests.campaign --seed N --calls M` makes them by hand, and again. Every case is a function of the seed and of
its number alone.
"""
