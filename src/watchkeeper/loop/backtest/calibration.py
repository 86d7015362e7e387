"""Calibrate: what the rules would have said of the baseline's own windows, and of shifts that were put into them.

The baseline's windows are replayed as they were, shuffled by window and shuffled by block, through the rules of the
model, the preset's and the owner's own: any alarm there is false. Then a shift of a known size is put into one
column, or into the measured performance, and the windows until it is found are counted. The same windows go through
what others fire on by default.

Shuffled means drawn with replacement, so that any number of windows can be replayed from few, within the season
where a rule has one. All columns of a window stay together. What was done is kept in a state file after every
part; each part has random numbers of its own, so that a run that was interrupted ends as one that was not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from watchkeeper.documents.calibration_report import (
    OURS,
    RIVALS,
    Calibration,
    FalseAlarms,
    Found,
    Option,
    time_words,
)
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.errors import BadInput
from watchkeeper.loop.alerting.plan import AlertingPlan
from watchkeeper.loop.backtest.calibration_replay import SETTLE, WORSE, Replayer, number_of
from watchkeeper.loop.records.facts import FactKind
from watchkeeper.loop.records.records import Kind, Records
from watchkeeper.ports.ledger import FactStore
from watchkeeper.stats.evidence.column_evidence import EFFECT_WINDOWS, FEWEST_WINDOWS
from watchkeeper.stats.evidence.injection import Shift
from watchkeeper.stats.intervals import clopper_pearson, wilson
from watchkeeper.stats.states.baseline import Baseline

Progress = Callable[[str, int, int], None]
"""Called as ``progress(stage, parts done, parts in all)``."""

SHIFTS: tuple[Shift, ...] = (
    Shift("location", 0.1),
    Shift("location", 0.2),
    Shift("location", 0.5),
    Shift("scale", 1.2),
    Shift("scale", 1.5),
    Shift("missing", 0.02),
    Shift("missing", 0.1),
    Shift("moved", 0.05),
    Shift("lost", 0.05),
)
POWER = 0.9
SOON = 10
"""A shift should be found within so many windows in nine of ten runs: what the recommendation aims at."""
_FORMAT = "watchkeeper.calibration_state/1"


def calibrate(
    baseline: Baseline,
    *,
    model: WatchedModel | None = None,
    plan: AlertingPlan | None = None,
    windows: int = 100,
    runs: int = 200,
    within: int = 30,
    shifts: Sequence[Shift] = SHIFTS,
    target: Shift | None = None,
    seed: int = 0,
    state: str | Path | None = None,
    progress: Progress | None = None,
    now: datetime | None = None,
) -> Calibration:
    """Replay *baseline* through the rules of *model*.

    Parameters
    ----------
    model, plan : as the watch has them; without, the preset for the baseline's schema.
    windows : how many windows after the baseline each deployment without a shift has.
    runs : deployments of each way of shuffling; half as many runs of each shift.
    within : how many windows a shift is given to be found.
    target : the shift that cadence, sample size and baseline length are recommended for (.2 sd of location).
    state : a file that keeps what was done; removed when all is done.

    Raises
    ------
    BadInput
        the baseline has too few windows of its own, or no column that could be watched.
    """
    if windows < 1 or runs < 10 or within < 2:
        raise BadInput("Calibrating needs at least 1 window, 10 runs, and 2 windows to find a shift in.")
    replayer = Replayer(baseline, model, plan, windows=windows, within=within, seed=seed)
    if target is None:
        target = Shift("location", 0.2) if any(g.ordered for g in replayer.groups) else Shift("moved", 0.05)
    wanted = tuple(s for s in shifts if any(s.fits(ordered=g.ordered) for g in replayer.groups))
    parts = replayer.parts(runs, wanted, target)
    kept = _State(state, replayer.key(runs, wanted, target))
    for number, (label, part) in enumerate(parts.items()):
        if label not in kept.parts:
            if progress:
                progress(label.partition("/")[0], number, len(parts))
            kept.keep(label, part(np.random.default_rng([seed, number_of(label)])))
    if progress:
        progress("done", len(parts), len(parts))
    made = _result(replayer, kept.parts, runs, wanted, target, now or datetime.now(UTC))
    kept.drop()
    return made


# ---- the answer ---------------------------------------------------------------------------------------


def _result(
    replayer: Replayer,
    parts: Mapping[str, dict[str, Any]],
    runs: int,
    shifts: Sequence[Shift],
    target: Shift,
    now: datetime,
) -> Calibration:
    """Put the parts together."""
    false, by_rule = _false_alarms(parts)
    labels = [s.words for s in shifts]
    labels += [f"performance {w:g} worse" for w in WORSE] if replayer.performance_rules() else []
    found = [f for label in labels for f in _found(replayer, label, _together(parts, label))]
    tried = [_option(replayer, option, parts[f"option {n}/0"]) for n, option in enumerate(replayer.options())]
    rows = float(np.median([p.rows for p in replayer.own.profiles]))
    rules = [
        {
            "name": r.name,
            "kind": r.kind,
            "pages": r.severity.pages,
            "replayed": r.name not in replayer.left_out,
            **({"why_not": replayer.left_out[r.name]} if r.name in replayer.left_out else {}),
        }
        for r in replayer.rules
    ]
    as_it_was = parts.get("as it was/0")
    return Calibration(
        model=replayer.model.name,
        baseline={
            "name": replayer.baseline.name,
            "rows": replayer.baseline.profile.rows,
            "windows": replayer.count,
            "rows_per_window": rows,
            "window_s": replayer.length.total_seconds(),
            "columns": len(replayer.columns),
            "correlated_columns": 0 if as_it_was is None else as_it_was["correlated"],
        },
        options={
            "seed": replayer.seed,
            "runs": runs,
            "windows": replayer.windows,
            "within": replayer.within,
            "settle": SETTLE,
            "block": replayer.block,
            "stated": replayer.budget.total,
        },
        rules=tuple(rules),
        false_alarms=tuple(false),
        found=tuple(found),
        by_rule=by_rule,
        tried=tuple(tried),
        target=target.words,
        recommendation=tuple(_recommendation(replayer, tried, false, as_it_was, target)),
        notes=tuple(_notes(replayer, as_it_was)),
        created_at=now.astimezone(UTC).isoformat(timespec="seconds"),
    )


def _false_alarms(
    parts: Mapping[str, dict[str, Any]],
) -> tuple[list[FalseAlarms], dict[str, dict[str, float]]]:
    false: list[FalseAlarms] = []
    by_rule: dict[str, dict[str, float]] = {}
    for how in ("as it was", "by window", "by block"):
        mine = _together(parts, how)
        if not mine:
            continue
        deployments = sum(p["runs"] for p in mine)
        total = mine[0]["windows"]
        for procedure in (*OURS, *RIVALS):
            firsts = [f for p in mine for f in p["firsts"][procedure]]
            alarmed = sum(f > 0 for f in firsts)
            false.append(
                FalseAlarms(
                    how=how,
                    procedure=procedure,
                    deployments=deployments,
                    alarmed=alarmed,
                    chance=clopper_pearson(alarmed, deployments),
                    windows=total,
                    alarmed_windows=sum(p["alarmed"][procedure] for p in mine) / (deployments * total),
                )
            )
        for rule in mine[0]["rules"]:
            fired = sum(f > 0 for p in mine for f in p["rules"][rule])
            by_rule.setdefault(rule, {})[how] = fired / deployments
    return false, by_rule


def _found(replayer: Replayer, label: str, mine: Sequence[dict[str, Any]]) -> list[Found]:
    out = []
    for procedure in (*OURS, *RIVALS):
        delays = [d for p in mine for d in p["delays"].get(procedure, ())]
        if not delays:
            continue
        middle, low, high = _median(delays)
        hits = sum(d > 0 for d in delays)
        out.append(
            Found(
                shift=label,
                procedure=procedure,
                runs=len(delays),
                found=hits,
                power=wilson(hits, len(delays)),
                windows=replayer.within,
                delay=middle,
                delay_low=low,
                delay_high=high,
            )
        )
    return out


def _option(replayer: Replayer, option: Mapping[str, Any], part: Mapping[str, Any]) -> Option:
    delays = part["delays"]
    hits = sum(0 < d <= SOON for d in delays)
    return Option(
        what=option["what"],
        merged=option["merged"],
        rows=part["rows"],
        baseline_windows=option["baseline"],
        runs=len(delays),
        found=hits,
        power=wilson(hits, len(delays)),
        delay=_median(delays)[0],
        length_s=replayer.length.total_seconds() * option["merged"],
    )


def _recommendation(
    replayer: Replayer,
    tried: Sequence[Option],
    false: Sequence[FalseAlarms],
    as_it_was: Mapping[str, Any] | None,
    target: Shift,
) -> list[str]:
    """Cadence, sample size, baseline length; each with its reason, and what was not reached."""
    own = tried[0]
    aim = f"{target.words} in one column, found within {SOON} windows in {POWER:.0%} of runs"

    def good(option: Option) -> bool:
        return option.found >= POWER * option.runs

    out = []
    cadences = [o for o in tried if o.what in ("as it is", "cadence") and o.delay_s is not None]
    best = min(cadences, key=lambda o: o.delay_s or 0.0, default=None)
    if best is None:
        out.append(
            f"Cadence: none of the lengths tried finds {target.words} in half of the runs. Days differ by more "
            "than that, or windows are too small: declare a season, or watch for larger shifts."
        )
    else:
        took = time_words(best.delay_s or 0.0)
        reached = (
            "" if good(best) else f" Within {SOON} windows it finds {best.found / best.runs:.0%} of them."
        )
        out.append(
            f"Cadence: judge windows of {time_words(best.length_s)}; half of the "
            f"shifts ({target.words}) are found within {took}.{reached}"
        )
    sizes = sorted((o for o in tried if o.what in ("as it is", "rows")), key=lambda o: o.rows)
    enough = next((o for o in sizes if good(o)), None)
    if enough is None:
        out.append(
            f"Sample size: {aim}, is not reached with up to {sizes[-1].rows:,.0f} rows a window. Larger windows are "
            "drawn from these windows' shares, their noise included, so that is the cautious answer: either windows "
            "differ by more than that, or the baseline's are too small to tell. Take one of longer windows."
        )
    else:
        now_rows = "fewer than now" if enough.rows < own.rows else "more than now"
        kept = "as now" if enough is own else f"{now_rows}, {own.rows:,.0f}"
        out.append(f"Sample size: {enough.rows:,.0f} rows a window ({kept}): the fewest tried for {aim}.")
    lengths = sorted(
        (o for o in tried if o.what in ("as it is", "baseline")), key=lambda o: o.baseline_windows
    )
    quick = min((o.delay for o in lengths if o.delay is not None), default=None)
    fits = [o for o in lengths if quick is not None and o.delay is not None and o.delay <= quick + 1]
    fits = [o for o in fits if good(o)] or fits
    wanted = fits[0].baseline_windows if fits else 100
    why = "a longer one finds it at most one window sooner" if fits else "nothing shorter found it"
    if fits and fits[0] is lengths[-1]:
        why = "the longest tried, and a shorter one finds it more than one window later"
    if as_it_was is not None and as_it_was["correlated"] and wanted < 100:
        wanted, why = 100, "windows of some columns are correlated, which takes 100 to correct"
    out.append(f"Baseline: {wanted} windows ({replayer.count} now); {why}.")
    block = next((f for f in false if (f.how, f.procedure) == ("by block", "paging")), None)
    whole = next((f for f in false if (f.how, f.procedure) == ("by window", "paging")), None)
    if block and whole and block.chance.low > whole.chance.high:
        out.append(
            f"Season: shuffled by block the rules alarm in {block.alarmed} of {block.deployments} deployments, by "
            f"window in {whole.alarmed}: windows depend on their neighbours or on the calendar. Declare a season "
            'for the rule (season = "weekday"), or judge longer windows.'
        )
    return out


def _notes(replayer: Replayer, as_it_was: Mapping[str, Any] | None) -> Iterable[str]:
    if replayer.count < FEWEST_WINDOWS:
        yield (
            f"The rules need {FEWEST_WINDOWS} baseline windows and there are {replayer.count}: what is said here would "
            f"hold with {FEWEST_WINDOWS} like them."
        )
    if as_it_was is None:
        yield (
            f"As it was: not replayed, since {FEWEST_WINDOWS + EFFECT_WINDOWS} windows are needed and there are "
            f"{replayer.count}."
        )
    elif as_it_was["correlated"]:
        yield (
            f"Windows of {as_it_was['correlated']} of {len(replayer.columns)} columns are correlated from one to the "
            "next: shuffling by window hides that, by block keeps some of it."
        )
    yield (
        "Location and spread are shifted on the scale of normal scores: standard deviations of a normal column, "
        "and the same change of ranks in any other."
    )
    yield (
        "Rules that remember are silent once they have fired; a shift that comes after a false alarm of theirs "
        "counts as not found."
    )


def _median(delays: Sequence[float]) -> tuple[float | None, float | None, float | None]:
    """The median of all runs, and its 95% interval by order statistics; None is beyond what was replayed.

    >>> _median([3.0] * 9 + [0.0])
    (3.0, 3.0, 3.0)
    """
    from scipy.stats import binom

    ordered = np.sort([d if d > 0 else np.inf for d in delays])
    n = len(ordered)
    low = int(binom.ppf(0.025, n, 0.5))
    picks = (float(np.median(ordered)), float(ordered[max(low - 1, 0)]), float(ordered[min(n - low, n - 1)]))
    a, b, c = (p if isfinite(p) else None for p in picks)
    return a, b, c


def _together(parts: Mapping[str, dict[str, Any]], label: str) -> list[dict[str, Any]]:
    return [part for name, part in parts.items() if name.rpartition("/")[0] == label]


# ---- keeping on ------------------------------------------------------------------------------------------


class _State:
    """What was done, in a file; a file of another question is begun anew."""

    def __init__(self, path: str | Path | None, key: str) -> None:
        self.path, self.key = None if path is None else Path(path), key
        self.parts: dict[str, dict[str, Any]] = {}
        if self.path is not None and self.path.exists():
            try:
                raw = json.loads(self.path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                raw = {}
            if raw.get("format") == _FORMAT and raw.get("key") == key:
                self.parts = raw["parts"]

    def keep(self, label: str, part: dict[str, Any]) -> None:
        """Write *part*, whole or not at all."""
        self.parts[label] = part
        if self.path is None:
            return
        text = json.dumps({"format": _FORMAT, "key": self.key, "parts": self.parts})
        new = self.path.with_name(self.path.name + ".part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(text, encoding="utf-8")
            new.replace(self.path)
        except OSError as cause:
            raise BadInput(
                f"What was calibrated so far cannot be kept in {self.path}: {cause.strerror or cause}.",
                "Name another file with --state.",
            ) from cause

    def drop(self) -> None:
        """All is done."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def keep_calibration(facts: FactStore, made: Calibration, *, now: datetime) -> None:
    """Write the newest calibration of a model to the ledger, for pages and for whoever asks later."""
    said: ModelCalibrated = {
        "options": dict(made.options),
        "recommendation": list(made.recommendation),
    }
    fact = MODEL_CALIBRATED(said, at=now, actor="user", model=made.model)
    Records(facts, CALIBRATION).put(made, fact, now=now)


class ModelCalibrated(TypedDict):
    """What a calibration was asked for, and what it recommends."""

    options: dict[str, Any]
    recommendation: list[str]


MODEL_CALIBRATED = FactKind("model.calibrated", ModelCalibrated)
CALIBRATION = Kind("calibration", Calibration, key="model", model="model")
