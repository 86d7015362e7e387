"""The answer to one comparison: a verdict in words, the findings behind it, and the numbers behind those."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from watchkeeper.documents.drawing.picture import Picture
from watchkeeper.domain.finding import Finding
from watchkeeper.domain.measurement import Family, Measure, Measurement
from watchkeeper.domain.verdict import Verdict
from watchkeeper.errors import BadInput, nearest

CAUSES = frozenset({"type_changed", "missing_column", "extra_column", "became_constant"})
"""What explains the rest is said first: a column of another type has moved too, but that is not the news."""


def causes_first(findings: Iterable[Finding]) -> list[Finding]:
    """The findings of one column together, in the order of its gravest, and what explains the others first."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for f in findings:
        groups.setdefault((f.subject, f.segment), []).append(f)
    return [f for group in groups.values() for f in sorted(group, key=lambda f: f.measure not in CAUSES)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """Where one side's rows came from, and how many there were."""

    name: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WeakSegment:
    """A group of rows in which the model does worse: mean loss inside and outside, and what it costs."""

    where: str
    rows: int
    loss: float
    elsewhere: float
    share_of_excess: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "where": self.where,
            "rows": self.rows,
            "loss": self.loss,
            "loss_elsewhere": self.elsewhere,
            "share_of_excess": self.share_of_excess,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerColumn:
    """What a peer's own definition says of one column; ``score=None`` has its ``reason``."""

    name: str
    method: str
    score: float | None
    raw_score: str | None = None
    """The score in words, where it is not finite."""
    p_value: float | None = None
    threshold: float | None = None
    drifted: bool = False
    reason: str | None = None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; what is unknown is left out, but for the score."""
        out: dict[str, Any] = {
            "name": self.name,
            "method": self.method,
            "score": self.score,
            "drifted": self.drifted,
        }
        for key in ("raw_score", "p_value", "threshold", "reason", "note"):
            if (item := getattr(self, key)) not in (None, ""):
                out[key] = item
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerAnswer:
    """The answer of another tool to the same question, by its own definitions on the rows.

    ``drifted`` is its verdict on the whole table, None where it has no such thing.
    """

    peer: str
    title: str
    columns: tuple[PeerColumn, ...]
    drifted_columns: int
    drifted: bool | None = None
    drift_share: float | None = None

    @property
    def sentence(self) -> str:
        """Its answer in one line."""
        told = sum(c.score is not None for c in self.columns)
        said = f"By its own definitions {self.title} calls {self.drifted_columns} of {_plural(told, 'column')} drifted"
        if self.drifted is None:
            return f"{said}; it has no verdict on a whole table."
        return (
            f"{said}, and the table {'drifted' if self.drifted else 'not drifted'} "
            f"(from a share of {self.drift_share:g} on)."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "peer": self.peer,
            "sentence": self.sentence,
            "drifted_columns": self.drifted_columns,
            "drifted": self.drifted,
            "drift_share": self.drift_share,
            "columns": [c.to_dict() for c in self.columns],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnView:
    """One column as the report shows it. ``summary`` rows are (name, baseline, current) as numbers or text."""

    name: str
    kind: str
    role: str
    verdict: Verdict
    sentence: str
    weight: float
    picture: Picture | None = None
    summary: tuple[tuple[str, Any, Any], ...] = ()
    measurements: tuple[Measurement, ...] = ()
    missing: tuple[float, float] = (0.0, 0.0)
    """Share of values that are missing: baseline, current."""

    def moved(self) -> Measurement | None:
        """The measurement that carries the drift verdict."""
        return next((m for m in self.measurements if m.measure == "psi"), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        out: dict[str, Any] = {
            "name": self.name,
            "kind": self.kind,
            "role": self.role,
            "verdict": self.verdict.value,
            "sentence": self.sentence,
            "missing": {"baseline": self.missing[0], "current": self.missing[1]},
            "summary": [{"name": n, "baseline": b, "current": c} for n, b, c in self.summary],
            "measurements": [m.to_dict() for m in self.measurements],
        }
        if self.picture is not None:
            out["distribution"] = self.picture.to_dict()
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchAnswer:
    """What a comparison found; a `Report` is the same in the forms that people and machines read.

    ``verdict`` is the gravest over all findings; ``findings`` are ranked by what matters.
    """

    title: str
    reference: Side
    current: Side
    columns: tuple[ColumnView, ...]
    findings: tuple[Finding, ...]
    performance: tuple[Measurement, ...] = ()
    baseline_performance: tuple[Measurement, ...] = ()
    weak_segments: tuple[WeakSegment, ...] = ()
    joint: tuple[Measurement, ...] = ()
    """What was measured of all columns together, on samples."""
    compat: PeerAnswer | None = None
    measures: Mapping[str, Measure] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()
    created_at: str = ""
    elapsed_s: float | None = None
    version: str = ""
    edges_note: str = "taken from the baseline"
    false_discovery_rate: float = 0.05

    # ---- the answer in words -------------------------------------------------------------------------

    @property
    def verdict(self) -> Verdict:
        """Fail if anything failed; else error, inconclusive, pass, in that order."""
        return Verdict.worst(f.verdict for f in self.findings)

    def failed(self, family: Family | str | None = None) -> tuple[Finding, ...]:
        """The findings that failed, of one family or of all.

        Raises
        ------
        BadInput
            the family is not known.
        """
        if family is not None:
            known = [f.value for f in Family]
            if str(family) not in known:
                raise BadInput(
                    f"There is no family {str(family)!r}.{nearest(str(family), known)}",
                    f"Known: {', '.join(known)}.",
                )
        return tuple(
            f
            for f in self.findings
            if f.verdict is Verdict.FAIL and (family is None or f.family.value == str(family))
        )

    @property
    def headline(self) -> str:
        """The answer in one line."""
        drifted = self.failed(Family.DRIFT)
        moved = {f.subject for f in drifted if f.subject}
        quality = self.failed(Family.QUALITY)
        worse = self.failed(Family.PERFORMANCE)
        parts = []
        if worse:
            parts.append("the model got worse")
        if moved:
            parts.append(f"{len(moved)} of {_plural(len(self.columns), 'column')} moved")
        elif drifted:
            parts.append("the columns moved together")
        if quality:
            parts.append(_plural(len(quality), "data problem"))
        if parts:
            text = _listed(parts)
            return text[0].upper() + text[1:]
        if self.verdict is Verdict.PASS:
            return "Nothing that matters changed"
        if self.current.rows == 0:
            return "This batch is empty"
        unsure = sum(c.verdict in (Verdict.INCONCLUSIVE, Verdict.ERROR) for c in self.columns)
        if unsure > len(self.columns) / 2:
            return "Too little data to tell"
        if unsure:
            return (
                f"No change found, but {unsure:,} of {_plural(len(self.columns), 'column')} could not be told"
            )
        return "No change found, but some checks could not tell"

    @property
    def summary(self) -> str:
        """Two or three sentences: the gravest findings first, then what was looked at."""
        worse = sorted(self.failed(Family.PERFORMANCE), key=lambda f: bool(f.segment))
        said = [(f"Where {f.segment}: " if f.segment else "") + f.sentence for f in worse[:1]]
        drift = self.failed(Family.DRIFT)
        if drift:
            moved = list(dict.fromkeys(f.subject for f in drift if f.subject))
            names, rest = moved[:3], len(moved) - 3
            if rest > 0:
                names.append(f"{rest} more")
            if names:
                said.append(f"Furthest from the baseline: {_listed(names)}.")
            else:
                said.append(drift[0].sentence)
        quality = causes_first(self.failed(Family.QUALITY))
        if quality:
            first = quality[0]
            about = f"{first.subject}: " if first.subject and first.subject not in first.sentence else ""
            said.append(about + first.sentence)
        if not said:
            told = sum(f.verdict is Verdict.PASS for f in self.findings)
            said.append(
                f"{_plural(told, 'check')} of {len(self.findings):,} found no change that matters."
                if self.findings
                else "There was nothing to check."
            )
        unsure = sum(f.verdict is Verdict.INCONCLUSIVE for f in self.findings)
        if unsure:
            said.append(f"{_plural(unsure, 'check')} could not tell.")
        return " ".join(said)

    @property
    def tally_line(self) -> str:
        """How many columns moved, held, and could not be told."""
        tally: dict[Verdict, int] = {}
        for c in self.columns:
            tally[c.verdict] = tally.get(c.verdict, 0) + 1
        words = {
            Verdict.FAIL: "changed",
            Verdict.PASS: "steady",
            Verdict.INCONCLUSIVE: "cannot tell",
            Verdict.ERROR: "not measurable",
        }
        return ", ".join(f"{tally[v]:,} {w}" for v, w in words.items() if v in tally)

    def to_dict(self) -> dict[str, Any]:
        """Strict JSON values: no NaN, no infinity, no tuple; ``json.dumps(..., allow_nan=False)`` accepts it."""
        return {
            "format": "watchkeeper.batch_report/1",
            "title": self.title,
            "verdict": self.verdict.value,
            "headline": self.headline,
            "summary": self.summary,
            "reference": {"name": self.reference.name, "rows": self.reference.rows},
            "current": {"name": self.current.name, "rows": self.current.rows},
            "created_at": self.created_at,
            "elapsed_s": self.elapsed_s,
            "watchkeeper": self.version,
            "false_discovery_rate": self.false_discovery_rate,
            "findings": [_strict(f.to_dict()) for f in self.findings],
            "performance": {
                "baseline": [_strict(m.to_dict()) for m in self.baseline_performance],
                "current": [_strict(m.to_dict()) for m in self.performance],
            },
            "weak_segments": [_strict(s.to_dict()) for s in self.weak_segments],
            **({"joint": [_strict(m.to_dict()) for m in self.joint]} if self.joint else {}),
            **({} if self.compat is None else {"compat": _strict(self.compat.to_dict())}),
            "columns": [_strict(c.to_dict()) for c in self.columns],
            "notes": list(self.notes),
        }


def _strict(value: Any) -> Any:
    """Numpy scalars become Python's, and what JSON cannot say becomes null."""
    if isinstance(value, Mapping):
        return {str(k): _strict(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(v) for v in value]
    if hasattr(value, "item") and not isinstance(value, (str, bytes)):
        value = value.item()
    if isinstance(value, float):
        return value if value - value == 0 else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)


def verdict_word(verdict: str) -> str:
    """How a verdict on a column is said to a person."""
    return {"fail": "changed", "pass": "steady", "inconclusive": "cannot tell", "error": "not measured"}[
        verdict
    ]


def _plural(n: int, word: str) -> str:
    return f"{n:,} {word}" if n == 1 else f"{n:,} {word}s"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
