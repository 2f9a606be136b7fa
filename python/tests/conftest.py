"""Fixtures for the tests of the Python package."""

import pytest
import served as served_calls

from bowline import _engine, _native


@pytest.fixture
def served(monkeypatch):
    """The calls that the engine served during the test."""
    calls = served_calls.Calls()
    served_calls.install(_native, calls, monkeypatch.setattr)
    _engine.hashing_transformer.cache_clear()
    yield calls
    _engine.hashing_transformer.cache_clear()
