"""A pytest plugin that runs scikit-learn's own tests with the classes of bowline in place of scikit-learn's.

    PYTHONPATH=python/tests python -m pytest -p sklearn_suite --pyargs sklearn.feature_extraction.tests.test_text

Replaces the names in each test module that imports them, and reports how many cases the engine served.
"""

import pytest
import served as served_calls
import sklearn
import sklearn.feature_extraction.text as text

import bowline
from bowline import _native

NAMES = ("CountVectorizer", "TfidfVectorizer", "HashingVectorizer")
SCIKIT_LEARNS = {name: getattr(text, name) for name in NAMES}

calls = served_calls.Calls()
served: set[str] = set()
cases = 0
patched: set[str] = set()


def pytest_configure(config):
    served_calls.install(_native, calls)


def pytest_collection_modifyitems(items):
    for module in {item.module for item in items}:
        for name, theirs in SCIKIT_LEARNS.items():
            if getattr(module, name, None) is theirs:
                setattr(module, name, getattr(bowline, name))
                patched.add(module.__name__)
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is not None:
            for argument, value in callspec.params.items():
                callspec.params[argument] = _ours(value)


def _ours(value):
    """Replaces the classes, and instances of them, among the parameters of a test."""
    for name, theirs in SCIKIT_LEARNS.items():
        if value is theirs:
            return getattr(bowline, name)
        if type(value) is theirs:
            return getattr(bowline, name)(**value.get_params(deep=False))
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return type(value)(_ours(element) for element in value)
    return value


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    global cases
    before = calls.count
    try:
        return (yield)
    finally:
        cases += 1
        if calls.count > before:
            served.add(item.nodeid)


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(
        f"scikit-learn {sklearn.__version__}: the engine served {len(served)} of {cases} cases; "
        f"classes replaced in {', '.join(sorted(patched)) or 'no module'}"
    )
