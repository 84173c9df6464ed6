"""Each test of linalg draws the same numbers, in whatever order tests run."""

import linalg_shared
import pytest


@pytest.fixture(autouse=True)
def _the_same_numbers_in_any_order() -> None:
    linalg_shared.start_anew()
