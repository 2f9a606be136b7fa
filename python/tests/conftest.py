"""Uses the stand-in where the native module is not built yet."""

import importlib.util
import sys

if importlib.util.find_spec("bowline._native") is None:
    import stand_in

    sys.modules["bowline._native"] = stand_in
    import bowline

    bowline._native = stand_in
