"""The measures of how good predictions are, one line each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from watchkeeper.domain.measurement import Direction, Family, Measure
from watchkeeper.measures.entry import Entry
from watchkeeper.measures.performance.accuracy import accuracy, balanced_accuracy
from watchkeeper.measures.performance.average_precision import average_precision
from watchkeeper.measures.performance.brier import brier
from watchkeeper.measures.performance.calibration_error import expected_calibration_error
from watchkeeper.measures.performance.error_quantiles import error_quantiles, median_absolute_error
from watchkeeper.measures.performance.lift import lift
from watchkeeper.measures.performance.log_loss import log_loss, multiclass_log_loss
from watchkeeper.measures.performance.mcc import mcc
from watchkeeper.measures.performance.mean_errors import bias, mae, mse, rmse
from watchkeeper.measures.performance.multiclass import average, per_class
from watchkeeper.measures.performance.percentage_errors import mape, smape
from watchkeeper.measures.performance.precision_recall import f1, precision, recall, specificity
from watchkeeper.measures.performance.r2 import r2
from watchkeeper.measures.performance.roc_auc import roc_auc, roc_auc_ovr, roc_auc_per_class
from watchkeeper.measures.performance.weak_segments import weakest_segments

_LOWER, _HIGHER = Direction.LOWER_IS_WORSE, Direction.HIGHER_IS_WORSE


def _entry(
    function: Callable[..., Any],
    reads: str,
    title: str,
    sentence: str,
    reference: str,
    *,
    name: str = "",
    direction: Direction = _LOWER,
    unit: str = "",
    low: float | None = 0.0,
    high: float | None = 1.0,
    default: bool = True,
) -> Entry:
    measure = Measure(
        name=name or function.__name__,
        family=Family.PERFORMANCE,
        title=title,
        unit=unit,
        direction=direction,
        sentence=sentence,
        low=low,
        high=high,
    )
    return Entry(measure=measure, function=function, reads=reads, default=default, reference=reference)


_SOKOLOVA = "Sokolova and Lapalme 2009"

CATALOGUE: tuple[Entry, ...] = (
    # -- decisions: a score table at a threshold, or a confusion ("decisions" is either) --------------------
    _entry(accuracy, "decisions", "Accuracy", "Share of predictions that were right.", _SOKOLOVA),
    _entry(balanced_accuracy, "decisions", "Balanced accuracy", "Mean of recall and specificity.",
           "Brodersen et al. 2010"),
    _entry(precision, "decisions", "Precision", "Share of positive predictions that were right.",
           "van Rijsbergen 1979"),
    _entry(recall, "decisions", "Recall", "Share of positive outcomes that were predicted.",
           "van Rijsbergen 1979"),
    _entry(specificity, "decisions", "Specificity", "Share of negative outcomes that were predicted as such.",
           _SOKOLOVA),
    _entry(f1, "decisions", "F1", "Harmonic mean of precision and recall.", "van Rijsbergen 1979"),
    _entry(mcc, "decisions", "Matthews correlation",
           "Agreement of decisions and outcomes, all four counts considered.", "Matthews 1975", low=-1.0),
    # -- scores ---------------------------------------------------------------------------------------------
    _entry(roc_auc, "score_table", "ROC AUC", "How often a positive row is scored above a negative one.",
           "DeLong et al. 1988"),
    _entry(average_precision, "score_table", "Average precision",
           "Area under the precision-recall curve, as steps.", "Boyd et al. 2013"),
    _entry(log_loss, "score_table", "Log loss", "How surprised the model was by what happened.",
           "Good 1952", direction=_HIGHER, unit="nats", high=None),
    _entry(brier, "score_table", "Brier score", "Mean squared difference of score and outcome.",
           "Brier 1950", direction=_HIGHER),
    _entry(expected_calibration_error, "score_table", "Calibration error",
           "How far scores are from the shares of positives that they announce.", "Naeini et al. 2015",
           direction=_HIGHER),
    _entry(lift, "score_table", "Lift", "How much better than chance the best-scored rows are.",
           "Berry and Linoff 1997", unit="times", high=None),
    # -- several classes --------------------------------------------------------------------------------------
    _entry(roc_auc_ovr, "score_tables", "ROC AUC, mean over classes",
           "Mean of the classes' areas, each against the rest.", "Hanley and McNeil 1982"),
    _entry(roc_auc_per_class, "score_tables", "ROC AUC of each class",
           "How often a row of the class is scored above another.", "Hanley and McNeil 1982", default=False),
    _entry(multiclass_log_loss, "score_tables", "Log loss",
           "How surprised the model was by what happened.", "Good 1952", direction=_HIGHER, unit="nats",
           high=None),
    *(
        _entry(partial(per_class, name=name) if how == "per_class" else partial(average, name=name, how=how),
               "confusion", f"{title}, {said}", f"{title} {meaning}.", _SOKOLOVA, name=f"{name}_{how}",
               default=how in ("per_class", "macro"))
        for name, title in (("precision", "Precision"), ("recall", "Recall"), ("f1", "F1"))
        for how, said, meaning in (
            ("per_class", "each class", "of each class"),
            ("macro", "macro", "as the plain mean over classes"),
            ("micro", "micro", "of all rows pooled"),
            ("weighted", "weighted", "as the mean over classes, weighted by their rows"),
        )
    ),
    # -- numbers ----------------------------------------------------------------------------------------------
    _entry(rmse, "residuals", "RMSE", "Root of the mean squared error.", "Willmott and Matsuura 2005",
           direction=_HIGHER, unit="outcome", high=None),
    _entry(mse, "residuals", "MSE", "Mean squared error.", "Willmott and Matsuura 2005",
           direction=_HIGHER, unit="outcome²", high=None, default=False),
    _entry(mae, "residuals", "MAE", "Mean absolute error.", "Willmott and Matsuura 2005",
           direction=_HIGHER, unit="outcome", high=None),
    _entry(bias, "residuals", "Bias", "Mean of predicted minus actual; positive is too high.",
           "Willmott and Matsuura 2005", direction=Direction.NEITHER, unit="outcome", low=None, high=None),
    _entry(r2, "residuals", "R²", "Share of the outcome's variance that the model explains.",
           "Kvålseth 1985", low=None),
    _entry(mape, "residuals", "MAPE", "Mean absolute error as a share of the outcome.",
           "Hyndman and Koehler 2006", direction=_HIGHER, high=None),
    _entry(smape, "residuals", "sMAPE", "Mean absolute error as a share of outcome and prediction.",
           "Makridakis 1993", direction=_HIGHER, high=2.0, default=False),
    _entry(median_absolute_error, "residuals", "Median absolute error", "Half of the errors are smaller.",
           "Hyndman and Fan 1996", direction=_HIGHER, unit="outcome", high=None),
    _entry(error_quantiles, "residuals", "Error quantiles", "How wrong the worst predictions are.",
           "Hyndman and Fan 1996", direction=_HIGHER, unit="outcome", high=None, default=False),
    # -- where --------------------------------------------------------------------------------------------------
    _entry(weakest_segments, "coded_losses", "Weak segment", "Segments that cause the most loss.",
           "Chung et al. 2019", name="weak_segment", direction=_HIGHER, high=None, default=False),
)  # fmt: skip
"""What each line's function reads: ``score_table`` one `ScoreTable`; ``score_tables`` a dict of them by class;
``decisions`` a `ScoreTable` or a `Confusion`; ``confusion``, ``residuals``; ``coded_losses`` codes and losses."""
