"""In every test: what a handler of ipywidgets swallows fails it."""

import logging

import pytest


@pytest.fixture(autouse=True)
def no_swallowed_errors(caplog):
    """ipywidgets logs what a handler raises and goes on; here that is a failure."""
    with caplog.at_level(logging.WARNING):
        yield
    assert not [record.getMessage() for record in caplog.records if "Exception in" in record.getMessage()]
