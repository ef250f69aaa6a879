"""No regularizer."""

from trainctl.components.regularizer.none import none


def test_nothing_is_added_and_nothing_moved():
    assert none().penalty is None
    assert none().project is None
