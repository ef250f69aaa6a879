"""Drop rows with missing values."""

from trainctl.components.clean.base import Clean, Duplicates, Limit, Outliers, Rule


def drop(*, outliers: Outliers, outlier_rule: Rule, outlier_limit: Limit, duplicates: Duplicates) -> Clean:
    r"""Drop every row with a missing value before the split; ``predict`` later rejects such rows.

    The limits for outliers are computed from the training rows only. ``outliers=drop`` drops rows from the training
    split only, while ``clip`` applies to every row, including later ones. Categories have no limits. Duplicates are
    dropped before the split, so that no row is in both the training and the test split.

    Args:
        outliers: What is done with values beyond the limits: ``keep``, ``clip`` to the limit, or ``drop`` the row.
        outlier_rule: ``zscore``: :math:`|x - \mu| > k \sigma`; ``iqr``: :math:`x < Q_1 - k (Q_3 - Q_1)` or
            :math:`x > Q_3 + k (Q_3 - Q_1)`.
        outlier_limit: :math:`k` [standard deviations, or interquartile ranges]; null: 3 for ``zscore``, 1.5 for ``iqr``.
        duplicates: ``drop`` keeps only the first of rows that are equal in inputs and target.

    Returns:
        A cleaning that is fitted on the training rows after the split; its limits are saved in the checkpoint.

    Source: R. Little, D. Rubin, Statistical Analysis with Missing Data, 2002, chapter 3 (complete cases); J. Tukey,
    Exploratory Data Analysis, 1977 (limits by quartiles).
    """
    return Clean(missing="drop", outliers=outliers, rule=outlier_rule, limit=outlier_limit, duplicates=duplicates)
