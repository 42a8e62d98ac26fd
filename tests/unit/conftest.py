"""How hypothesis works here: the same examples each time, and no time limit on one, since machines differ.

`--hypothesis-profile=search` looks for new ones.
"""

from hypothesis import settings

settings.register_profile("repeat", deadline=None, derandomize=True, database=None)
settings.register_profile("search", deadline=None, max_examples=2000)
settings.load_profile("repeat")
