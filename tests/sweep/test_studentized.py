"""Critical values of the studentized range are those of scipy, which takes longer to import than a sweep to judge."""

import subprocess
import sys
from pathlib import Path

import pytest
from scipy.stats import studentized_range

from trainctl.sweep.studentized import critical_range


@pytest.mark.parametrize("level", [0.05, 0.03])
@pytest.mark.parametrize(("groups", "freedom"), [(2, 1), (2, 4), (3, 1.5), (3, 4), (20, 4), (20, 76), (48, 200)])
def test_critical_values_agree_with_scipy(groups, freedom, level):
    assert studentized_range.sf(critical_range(groups, freedom, level), groups, freedom) == pytest.approx(
        level, rel=1e-4
    )


def test_thousands_of_groups_have_a_critical_value():
    values = [critical_range(groups, 40_000, 0.05) for groups in (10, 100, 1000, 10_000)]
    assert values == sorted(values)
    assert 8.4 < values[-1] < 8.5


def test_scipy_stats_is_not_imported():
    code = (
        "import sys; from trainctl.sweep.studentized import critical_range\n"
        "critical_range(20, 76, 0.05); assert 'scipy.stats' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
