"""No logger beside the run's own files."""

from trainctl.components.logger.none import none


def test_nothing_is_written(tmp_path):
    logger = none()
    logger.log(1, {"val/loss": 0.5})
    logger.close()
    assert list(tmp_path.iterdir()) == []
