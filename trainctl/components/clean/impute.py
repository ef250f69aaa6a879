"""Impute missing values with a statistic of the training rows."""

from trainctl.components.clean.base import Clean, Duplicates, Limit, Outliers, Rule, Strategy


def impute(
    *,
    strategy: Strategy,
    fill_value: float,
    outliers: Outliers,
    outlier_rule: Rule,
    outlier_limit: Limit,
    duplicates: Duplicates,
) -> Clean:
    r"""Impute missing inputs, column by column, with a statistic of the training rows; drop rows without a target.

    A missing category becomes the most frequent one (with ``constant``: no category). Outliers are clipped, or their
    training rows are dropped, before the statistic is computed; ``clip`` applies to every row, including later ones.
    Categories have no limits. Duplicates are dropped before the split, so that no row is in both the training and
    the test split.

    Args:
        strategy: ``mean``, ``median``, ``most_frequent`` (on a tie the smallest) or ``constant``.
        fill_value: The value for ``constant``, in the column's own unit.
        outliers: What is done with values beyond the limits: ``keep``, ``clip`` to the limit, or ``drop`` the row.
        outlier_rule: ``zscore``: :math:`|x - \mu| > k \sigma`; ``iqr``: :math:`x < Q_1 - k (Q_3 - Q_1)` or
            :math:`x > Q_3 + k (Q_3 - Q_1)`.
        outlier_limit: :math:`k` [standard deviations, or interquartile ranges]; null: 3 for ``zscore``, 1.5 for ``iqr``.
        duplicates: ``drop`` keeps only the first of rows that are equal in inputs and target.

    Returns:
        A cleaning that is fitted on the training rows after the split; its limits and fill values are saved in the
        checkpoint.

    Source: R. Little, D. Rubin, Statistical Analysis with Missing Data, 2002, section 4.2; equals scikit-learn's
    ``SimpleImputer``. J. Tukey, Exploratory Data Analysis, 1977 (limits by quartiles).
    """
    return Clean(
        missing="impute",
        strategy=strategy,
        fill_value=fill_value,
        outliers=outliers,
        rule=outlier_rule,
        limit=outlier_limit,
        duplicates=duplicates,
    )
