"""Hypothesis profiles for the harness's own tests: the default is repeatable, `deep` looks further."""

from hypothesis import settings

settings.register_profile("default", deadline=None, derandomize=True)
settings.register_profile("deep", deadline=None, max_examples=2000)
settings.load_profile("default")
