"""Counts the calls that the engine serves."""

from typing import Any


class Calls:
    """Number of calls of the native module that succeeded."""

    def __init__(self) -> None:
        self.count = 0


def counted(kind: Any, name: str, calls: Calls) -> Any:
    """Returns a stand-in of a native class that counts the calls of one method that succeed."""

    class Counted:
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._native = kind(*args, **kwargs)

        def __getattr__(self, attribute: str) -> Any:
            if attribute.startswith("__"):
                raise AttributeError(attribute)
            return getattr(self._native, attribute)

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = getattr(self._native, name)(*args, **kwargs)
        calls.count += 1
        return result

    setattr(Counted, name, call)
    return Counted


def install(native: Any, calls: Calls, set_attribute: Any = setattr) -> None:
    """Replaces the two classes of the native module that read texts."""
    for kind, name in (("Counts", "add"), ("Transformer", "transform")):
        set_attribute(native, kind, counted(getattr(native, kind), name, calls))
