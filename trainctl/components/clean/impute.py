"""Missing values are filled in with what the training rows say."""

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
    r"""Fill missing inputs column by column with a statistic of the training rows; rows without a target are dropped.

    A missing category is filled in with the most frequent one (with ``constant``: with none). Outliers are clipped,
    or their training rows dropped, before the statistic is taken; ``clip`` acts on every row, later ones too.
    Categories have no limits. Duplicates go before the split, so that no row is both learned from and tested on.

    Args:
        strategy: ``mean``, ``median``, ``most_frequent`` (the smallest of several) or ``constant``.
        fill_value: What ``constant`` fills in, in the column's own unit.
        outliers: What becomes of values beyond the limits: ``keep``, ``clip`` to the limit, or ``drop`` the row.
        outlier_rule: ``zscore``: :math:`|x - \mu| > k \sigma`; ``iqr``: :math:`x < Q_1 - k (Q_3 - Q_1)` or
            :math:`x > Q_3 + k (Q_3 - Q_1)`.
        outlier_limit: :math:`k` [standard deviations, or interquartile ranges]; null: 3 for ``zscore``, 1.5 for ``iqr``.
        duplicates: ``drop`` leaves only the first of rows that are equal in inputs and target.

    Returns:
        A cleaning that is fitted on the training rows after the split; limits and fill values go into the checkpoint.

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
