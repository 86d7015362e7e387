"""Compare one batch with a baseline: profile, measure, judge, and say it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from watchkeeper.decisions.batch.batch_check import CheckPlan, judge_batch
from watchkeeper.documents.batch.answer import CAUSES, ColumnView, Side, WeakSegment
from watchkeeper.documents.batch.report import Report
from watchkeeper.documents.drawing.column_view import (
    change_in_words,
    missing_in_words,
    missing_share,
    picture_of,
    summary_of,
)
from watchkeeper.domain.classes import class_key
from watchkeeper.domain.expectation import Rule
from watchkeeper.domain.finding import Finding
from watchkeeper.domain.measurement import Family, Measure, Measurement
from watchkeeper.domain.schema import Kind, Role, Schema, Task
from watchkeeper.domain.verdict import Verdict
from watchkeeper.errors import BadInput, NotFound, WatchkeeperError, nearest
from watchkeeper.loop.batch.batch_measures import (
    FAMILIES,
    JOINT,
    extra_measures,
    measure_batch,
    named_by,
)
from watchkeeper.loop.batch.copies import CopyCount
from watchkeeper.loop.batch.expectations import read_expectations
from watchkeeper.loop.batch.profiling import Progress, baseline, is_baseline_file, load_baseline, profile
from watchkeeper.measures.catalogue import described_measures
from watchkeeper.measures.estimate.sampled import class_names, positive_of
from watchkeeper.measures.performance.weak_segments import coded, row_losses, weak_segments
from watchkeeper.stats.states.baseline import Baseline
from watchkeeper.stats.states.profile import ColumnProfile, Profile
from watchkeeper.stats.states.sample import Sample
from watchkeeper.stats.states.score_table import ScoreTable


def compare(
    reference: Any,
    current: Any,
    *,
    schema: Schema | None = None,
    roles: Mapping[str, str] | None = None,
    kinds: Mapping[str, str] | None = None,
    task: str | None = None,
    positive: str | None = None,
    columns: Sequence[str] | None = None,
    segments: Sequence[str | Sequence[str]] = (),
    checks: Mapping[str, float | None] | None = None,
    expectations: Any = (),
    families: Sequence[str] = FAMILIES,
    measures: Sequence[str] | None = None,
    multivariate: bool = False,
    duplicates: bool = False,
    compat: str | None = None,
    threshold: float = 0.5,
    false_discovery_rate: float = 0.05,
    encoding: str | None = None,
    missing: Sequence[str] | None = None,
    title: str = "Batch check",
    now: datetime | None = None,
    progress: Progress | None = None,
) -> Report:
    """Compare *current* with *reference*: what changed, and does it matter?

    Parameters
    ----------
    reference : a `Baseline`, a baseline's file, or rows: any frame, file, folder, glob, query or stream.
    current : rows, likewise, or a `Profile` made with the baseline's plan.
    schema, roles, kinds, task : what the columns are, where guessing is not wanted (not with a saved baseline).
    positive : the outcome that a binary model looks for; otherwise it is guessed, and a note says so.
    columns : look only at these.
    segments : columns (or lists of columns, crossed) by whose values performance is measured apart.
    checks : measure -> level that matters, ``"measure:column"`` for one column, None for off.
    expectations : what the values must satisfy, beside what the baseline shows: sentences such as
        ``"age between 0 and 120"``, `Expectation` objects, mappings, or the path of a file with them.
    families : any of "drift", "quality", "performance".
    measures : more measures by name, beside the default ones.
    multivariate : also compare the joint distribution, on samples (slower).
    duplicates : also count copies of whole rows; copies of ids are counted wherever there is an id column.
    compat : also say what "evidently", "nannyml", "whylogs", "deequ" or "alibi" would, by its own definitions.
        Both sides must be rows, and are read into memory.
    threshold : scores at or above it count as predicted positive where the decisions themselves are not known.
    false_discovery_rate : at most this share of the columns called drifted is wrong, on average.
    encoding : of text files, where it is not UTF-8.
    missing : words that stand for a missing value in text files, such as "NA"; found out where not given.
    now : what time it is, for the age of the newest row.

    Raises
    ------
    UnreadableSource
        a side cannot be read.
    BadInput, NotFound
        an argument cannot be used; the message says which and why.

    >>> report = compare({"age": [20, 30, 40] * 100}, {"age": [20, 30, 40] * 100})
    >>> report.verdict, report.headline
    (<Verdict.PASS: 'pass'>, 'Nothing that matters changed')
    """
    begun = time.perf_counter()
    _check_families(families)
    described = described_measures(FAMILIES)
    plan = CheckPlan.of(checks, known=described, false_discovery_rate=false_discovery_rate)
    extra = extra_measures([*(measures or ()), *named_by(checks)])
    expected = read_expectations(expectations)
    given, name = reference, _label(current, "this batch")
    if compat is not None:
        from watchkeeper.loop.batch.compat import check_peer, peer_answer, rows_of

        check_peer(compat)
        reference = rows_of(reference, "the baseline", compat, encoding, missing)
        current = rows_of(current, "this batch", compat, encoding, missing)
    before = _baseline(
        reference, schema, columns, roles, kinds, task, positive, segments, encoding, missing, progress
    )
    if not before.profile.rows:
        raise BadInput(
            f"{_name(given, before)} has no rows, so there is nothing to compare with.",
            "Give the rows that the model was trained on, or that were found to be good.",
        )
    unique = [e.column for e in expected if e.rule is Rule.UNIQUE]
    ids = [c.name for c in before.schema.of_role(Role.ID)]
    with CopyCount([*ids, *unique], rows=duplicates or "duplicate_rows" in extra) as copies:
        after = _current(current, before, columns, segments, encoding, missing, copies, progress)
        repeated = copies.result()
    _check_named(before, after, [e.column for e in expected], plan, described)
    found, earlier = measure_batch(
        before,
        after,
        families=families,
        extra=extra,
        expectations=expected,
        duplicates=repeated,
        now=(now or datetime.now(UTC)).astimezone(UTC),
        threshold=threshold,
        multivariate=multivariate or not JOINT.isdisjoint(extra),
    )
    findings = _explained(judge_batch(found, earlier, plan=plan, described=described), before.profile, after)
    return Report(
        title=title,
        reference=Side(name=_name(given, before), rows=round(before.profile.rows)),
        current=Side(name=name, rows=round(after.rows)),
        columns=_views(before.profile, after, findings, found),
        findings=findings,
        performance=tuple(m for m in found if described[m.measure].family is Family.PERFORMANCE),
        baseline_performance=tuple(m for m in earlier if described[m.measure].family is Family.PERFORMANCE),
        joint=tuple(m for m in found if m.measure in JOINT and not m.subject),
        weak_segments=_weakest(after, before.plan.positive_class) if "performance" in families else (),
        compat=None if compat is None else peer_answer(compat, reference, current, before.schema),
        measures=described,
        notes=tuple(dict.fromkeys([*before.profile.notes, *after.notes, *_unread(checks, findings)])),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        elapsed_s=round(time.perf_counter() - begun, 3),
        version=_version(),
        edges_note=_edges_note(before),
        false_discovery_rate=false_discovery_rate,
    )


# ---- the two sides ----------------------------------------------------------------------------------


def _baseline(
    reference: Any,
    schema: Schema | None,
    columns: Sequence[str] | None,
    roles: Mapping[str, str] | None,
    kinds: Mapping[str, str] | None,
    task: str | None,
    positive: str | None,
    segments: Sequence[str | Sequence[str]],
    encoding: str | None,
    missing: Sequence[str] | None,
    progress: Progress | None,
) -> Baseline:
    made = reference if isinstance(reference, Baseline) else None
    if isinstance(reference, Profile):
        made = Baseline.of_profile(reference, source={"kind": "profile"})
    elif made is None and is_baseline_file(reference):
        made = load_baseline(reference)
    if made is None:
        return baseline(
            reference,
            schema=schema,
            columns=columns,
            roles=roles,
            kinds=kinds,
            task=task,
            positive=positive,
            segments=segments,
            encoding=encoding,
            missing=missing,
            progress=progress,
        )
    if schema is not None or kinds is not None:
        raise BadInput(
            "A saved baseline has its schema already.",
            "Give the schema where the baseline is taken, not here.",
        )
    made = made.with_positive(positive, "The comparison")
    changed = made.schema
    if roles:
        changed = changed.with_roles(roles)
    if task is not None:
        changed = replace(changed, task=_task(task))
    if changed is not made.schema:
        made = replace(
            made, plan=replace(made.plan, schema=changed), profile=replace(made.profile, schema=changed)
        )
    if columns is not None:
        for name in columns:
            made.schema[name]
        kept = set(columns)
        made = replace(
            made,
            plan=replace(made.plan, schema=_only(made.schema, kept)),
            profile=_only_profile(made.profile, kept),
        )
    return made


def _only(schema: Schema, kept: set[str]) -> Schema:
    return replace(schema, columns=tuple(c for c in schema.columns if c.name in kept))


def _only_profile(made: Profile, kept: set[str]) -> Profile:
    return replace(
        made,
        schema=_only(made.schema, kept),
        columns={n: c for n, c in made.columns.items() if n in kept},
    )


def _task(word: str) -> Task:
    try:
        return Task(word)
    except ValueError:
        known = [t.value for t in Task]
        raise BadInput(
            f"{word!r} is not a task.{nearest(word, known)}", f"Known: {', '.join(known)}."
        ) from None


def _current(
    current: Any,
    before: Baseline,
    columns: Sequence[str] | None,
    segments: Sequence[str | Sequence[str]],
    encoding: str | None,
    missing: Sequence[str] | None,
    copies: CopyCount,
    progress: Progress | None,
) -> Profile:
    """The batch on the baseline's plan; columns that only one side has are told by the quality measures."""
    if is_baseline_file(current):
        current = load_baseline(current)
    if isinstance(current, Baseline):
        current = current.profile
    if isinstance(current, Profile):
        return current if columns is None else _only_profile(current, set(columns))
    from watchkeeper.rows.infer import infer
    from watchkeeper.rows.sources import open_source

    plan = before.plan
    opened = open_source(current, schema=before.schema, encoding=encoding, missing=missing)
    if segments:
        entries = tuple((s,) if isinstance(s, str) else tuple(s) for s in segments)
        for entry in entries:
            for name in entry:
                before.schema[name]
        plan = replace(plan, segments=entries)
    there = list(opened.available)
    if columns is not None:
        there = [n for n in there if n in set(columns)]
        opened = opened.select(there)
    known = set(before.schema.names)
    extra = [n for n in there if n not in known]
    schema = before.schema
    seen = infer(opened.arrow_schema).schema
    other = [n for n in there if n in known and _stored_as(seen[n].dtype) != _stored_as(schema[n].dtype)]
    if opened.rereadable and (extra or other):
        # Only what the baseline does not know needs a look at its rows.
        seen = infer(opened).schema
    if extra and columns is None:
        # Columns that the baseline does not know are profiled too, so that the report can show them.
        schema = replace(
            schema, columns=(*schema.columns, *(replace(seen[n], role=Role.FEATURE) for n in extra))
        )
    changed = [
        replace(schema[n], dtype=seen[n].dtype)
        for n in there
        if n in known and seen[n].dtype != schema[n].dtype
    ]
    made = profile(opened, plan=replace(plan, schema=schema), schema=schema, copies=copies, progress=progress)
    present = set(there)
    if _types_are_told(before):
        # A text file has no types: text of which every value is what the file was taken for has not changed.
        fits = {n for n, c in made.columns.items() if not c.misfits}
        as_before = [n for n in other if n in fits and _stored_as(seen[n].dtype) == "text"]
        seen = seen.with_columns([schema[n] for n in as_before])
        changed = [c for c in changed if c.name not in as_before]
    # What the batch's own types were is kept in its schema, for the measure of changed types.
    return replace(
        made,
        schema=_only(schema.with_columns(changed), present),
        columns={n: _typed(c, seen) for n, c in made.columns.items() if n in present},
    )


def _check_named(
    before: Baseline,
    after: Profile,
    expected: Sequence[str],
    plan: CheckPlan,
    described: Mapping[str, Measure],
) -> None:
    """A column that neither side has was misspelt; one that only the batch lacks is a finding."""
    known = {*before.schema.names, *after.columns}
    checked = [
        s for m, s in plan.exceptions if m in described and described[m].family is not Family.PERFORMANCE
    ]
    for name in (*expected, *checked):
        if name and name not in known:
            raise NotFound(f"Neither side has a column {name!r}.{nearest(name, known)}")


def _types_are_told(baseline: Baseline) -> bool:
    """Whether the baseline's types were found out from a text file."""
    from watchkeeper.rows.files import kind_by_name

    return kind_by_name(Path(str(baseline.source.get("path", "")))) == "csv"


def _typed(column: ColumnProfile, seen: Schema) -> ColumnProfile:
    """With the type that the batch itself has; its kind only where it is stored as something else altogether.

    A kind is partly a guess (categories or text?), and a guess that comes out differently is no changed type.
    """
    if column.name not in seen:
        return column
    now, then = seen[column.name], column.column
    kind = now.kind if _stored_as(now.dtype) != _stored_as(then.dtype) else then.kind
    return replace(column, column=replace(then, dtype=now.dtype, kind=kind))


def _stored_as(dtype: str) -> str:
    for word, names in (
        ("number", ("int", "uint", "float", "double", "halffloat", "decimal")),
        ("text", ("string", "large_string", "utf8", "str", "dictionary", "binary", "large_binary")),
        ("time", ("timestamp", "date", "time", "duration")),
        ("list", ("list", "fixed_size_list", "large_list")),
    ):
        if dtype.startswith(names):
            return word
    return dtype


# ---- the report's parts -----------------------------------------------------------------------------


def _unread(checks: Mapping[str, float | None] | None, findings: Sequence[Finding]) -> list[str]:
    """A check that somebody asked for and that had nothing to read must not pass for a check that held."""
    judged = {f.measure for f in findings} | {f"{f.measure}:{f.subject}" for f in findings}
    return [
        f"The check {key!r} had nothing to judge here: no column of this batch holds what it reads."
        for key, level in (checks or {}).items()
        if level is not None and key not in judged
    ]


def _explained(findings: Sequence[Finding], before: Profile, after: Profile) -> tuple[Finding, ...]:
    """Say of each column that moved what moved, before the number that proves it."""
    out = []
    told = {f.subject for f in findings if f.measure == "missing_drift" and f.verdict is Verdict.FAIL}
    for f in findings:
        if f.family is Family.DRIFT and f.verdict is Verdict.FAIL and f.subject in before.columns:
            sides = before.columns[f.subject], after.columns[f.subject]
            words = "" if f.measure == "missing_drift" else _safely(change_in_words, *sides)
            late = sides[0].column.role is Role.OUTCOME  # what is still to come is not missing
            if not late and (f.measure == "missing_drift" or f.subject not in told):
                words = "; ".join(filter(None, (_safely(missing_in_words, *sides), words)))
            if words:
                f = replace(f, sentence=f"{words[0].upper()}{words[1:]}. {f.sentence}")
        out.append(f)
    return tuple(out)


def _views(
    before: Profile, after: Profile, findings: Sequence[Finding], found: Sequence[Measurement]
) -> tuple[ColumnView, ...]:
    by_subject: dict[str, list[Finding]] = {}
    for f in findings:
        if not f.segment:
            by_subject.setdefault(f.subject, []).append(f)
    measured: dict[str, list[Measurement]] = {}
    for m in found:
        if not m.segment:
            measured.setdefault(m.subject, []).append(m)
    views = []
    names = [*before.columns, *(n for n in after.columns if n not in before.columns)]
    for name in names:
        left = before.columns.get(name) or ColumnProfile(column=after.columns[name].column)
        right = after.columns.get(name) or ColumnProfile(column=left.column)
        column = left.column
        mine = by_subject.get(name, [])
        verdict, sentence, weight = _said(column.kind, mine)
        views.append(
            ColumnView(
                name=name,
                kind=column.kind.value,
                role=column.role.value,
                verdict=verdict,
                sentence=sentence,
                weight=weight,
                picture=_safely(picture_of, left, right),
                summary=_safely(summary_of, left, right) or (),
                measurements=tuple(m for m in measured.get(name, []) if m.measure != "expectation"),
                missing=(missing_share(left), missing_share(right)),
            )
        )
    order = list(Verdict)
    return tuple(sorted(views, key=lambda v: (-order.index(v.verdict), -v.weight)))


def _said(kind: Kind, mine: Sequence[Finding]) -> tuple[Verdict, str, float]:
    if not mine:
        if kind is Kind.UNKNOWN:
            return Verdict.ERROR, "Nothing of it can be measured but its nulls; the notes say why.", 0.0
        return Verdict.PASS, "No check reads this column.", 0.0
    verdict = Verdict.worst(f.verdict for f in mine)
    # Of a steady column the distance says most; "no infinite values" says nothing.
    gravest = max((f for f in mine if f.verdict is verdict), key=lambda f: (f.weight, f.measure == "psi"))
    failed = sorted((f for f in mine if f.verdict is Verdict.FAIL), key=lambda f: f.measure not in CAUSES)
    told = [f.sentence for f in failed][:3] or [gravest.sentence]
    if verdict is Verdict.PASS and gravest.measure != "psi" and not gravest.weight:
        told = [f"{len(mine)} checks found nothing." if len(mine) > 1 else gravest.sentence]
    return verdict, " ".join(told), max(f.weight for f in mine)


def _safely(make: Any, left: ColumnProfile, right: ColumnProfile) -> Any:
    """A picture that cannot be drawn is left out; it must not take the report with it."""
    try:
        return make(left, right)
    except (WatchkeeperError, ArithmeticError, ValueError, IndexError):
        return None


def _weakest(after: Profile, positive: str | None) -> tuple[WeakSegment, ...]:
    sample, schema = after.sample, after.schema
    outcome = schema.first(Role.OUTCOME)
    if (
        not isinstance(sample, Sample)
        or outcome is None
        or outcome.name not in sample.columns
        or schema.task is None
    ):
        return ()
    predicted = _predicted(schema, sample)
    table = after.performance.get("score_table")
    if predicted is None or (isinstance(table, ScoreTable) and table.no_probabilities is not None):
        return ()
    actual = sample.columns[outcome.name]
    try:
        if schema.task is Task.BINARY:
            losses = row_losses(schema.task, predicted, _truth(actual, positive))
        elif schema.task is Task.MULTICLASS:
            sides = (
                [None if n is None else class_key(n) for n in class_names(v)] for v in (predicted, actual)
            )
            losses = row_losses(schema.task, *(np.array(list(side), dtype=object) for side in sides))
        else:
            losses = row_losses(schema.task, predicted, actual)
        columns = {
            c.name: coded(c.name, sample.columns[c.name])
            for c in schema.of_role(Role.FEATURE, Role.SEGMENT)
            if c.name in sample.columns
            and c.kind in (Kind.NUMERIC, Kind.INTEGER, Kind.BOOLEAN, Kind.CATEGORICAL)
        }
        # Every pair is searched; past this many columns the single ones are worth more than the wait.
        found = weak_segments(columns, losses, depth=2 if len(columns) <= 40 else 1, most=5)
    except (WatchkeeperError, ArithmeticError, ValueError, TypeError):
        return ()
    return tuple(
        WeakSegment(
            where=s.name,
            rows=s.rows,
            loss=s.mean_loss,
            elsewhere=s.rest_loss,
            share_of_excess=s.share_of_loss,
        )
        for s in found
    )


def _predicted(schema: Schema, sample: Sample) -> Any:
    score = next((c for c in schema.of_role(Role.SCORE) if c.score_of is None), None)
    prediction = schema.first(Role.PREDICTION)
    wanted = score if schema.task is Task.BINARY and score is not None else prediction
    return None if wanted is None or wanted.name not in sample.columns else sample.columns[wanted.name]


def _truth(actual: Any, positive: str | None) -> list[float]:
    """1 where the outcome is *positive* (None: the usual class), 0 elsewhere, NaN where it is not known."""
    names = class_names(actual)
    yes = positive_of({name for name in names if name is not None}, positive)
    return [float("nan") if name is None else float(name == yes) for name in names]


# ---- words --------------------------------------------------------------------------------------------


def _check_families(families: Sequence[str]) -> None:
    for family in families:
        if family not in FAMILIES:
            raise BadInput(
                f"{family!r} is not something that can be checked.{nearest(family, FAMILIES)}",
                f"Known: {', '.join(FAMILIES)}.",
            )


def _name(reference: Any, made: Baseline) -> str:
    if isinstance(reference, (str, Path)) and not str(reference).startswith(("sql:", "duckdb:")):
        return Path(reference).name or str(reference)
    return made.name or _label(reference, "the baseline")


def _label(source: Any, otherwise: str) -> str:
    if isinstance(source, (str, Path)):
        text = str(source)
        return text if text.startswith(("sql:", "duckdb:")) else (Path(text).name or text)
    name = getattr(source, "name", None)
    if isinstance(name, str) and name:
        return name
    kind = type(source)
    library = kind.__module__.partition(".")[0]
    if isinstance(source, (Baseline, Profile)):
        return otherwise
    return kind.__name__ if library == "builtins" else f"{library} {kind.__name__}"


def _edges_note(before: Baseline) -> str:
    exact = sum(1 for e in before.edges.values() if e.exact)
    return (
        f"taken from the baseline; {exact:,} of {len(before.edges):,} numeric columns are counted value by value"
        if before.edges
        else "not needed"
    )


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("watchkeeper")
    except PackageNotFoundError:
        return "from source"
