from __future__ import annotations

import pytest

from interp.errors import InterpError


@pytest.fixture
def mistakes(read):
    """line -> what is said of it, by the reader of recipes that a test file calls `read`"""

    def make(text, *overrides):
        with pytest.raises(InterpError) as refused:
            read(text, *overrides)
        told = {}
        for line in str(refused.value).split("\n"):
            place, _, message = line.partition(".yaml:")[2].partition(": ")
            told.setdefault(int(place), []).append(message)
        return told

    return make
