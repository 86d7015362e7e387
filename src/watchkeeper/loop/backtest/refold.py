"""Evidence folded again from facts: after it was lost, or after the past was corrected.

Evidence is a function of the measured windows in their order. So it can be folded again from the stored profiles and
the measurements, and comes out the same to the last bit. Where it does not, the past has changed since: outcomes came
after their windows had matured, or a pipeline was mended and its windows measured again. To take the changed past is
a *revision*: one more chance to be wrong, so it goes on under a smaller budget (`Budget.revised`), and it is a fact with
a name and a reason.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Any, TypedDict

from watchkeeper.domain.watched import WatchedModel
from watchkeeper.errors import BadInput
from watchkeeper.loop.alerting.judging import AlertJudge
from watchkeeper.loop.alerting.kept_evidence import EVIDENCE, REVISION, Fold, Revision, revision_of
from watchkeeper.loop.alerting.plan import AlertingPlan
from watchkeeper.loop.backtest.rule_trial import judged_again
from watchkeeper.loop.records.facts import FactKind
from watchkeeper.loop.records.records import Kept, Records, write


class Refolding(TypedDict):
    """How much was lost, which series changed, and the revision from then on."""

    lost: int
    changed: list[str]
    revision: int
    reason: str


EVIDENCE_REFOLDED = FactKind("evidence.refolded", Refolding)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refolded:
    """What came out: how many series were the same, lost, or changed; and the revision from now on (0: none)."""

    same: int
    lost: int
    changed: tuple[str, ...]
    revision: int
    """That of the evidence that is kept now."""
    written: int
    """Series whose evidence was written."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "same": self.same,
            "lost": self.lost,
            "changed": list(self.changed),
            "revision": self.revision,
            "written": self.written,
        }


def refold(
    watch: Any, model: WatchedModel, plan: AlertingPlan, *, scratch: Any, actor: str, reason: str = ""
) -> Refolded:
    """Fold the evidence of *model* again; write what was lost, and with a *reason* what has changed, as a revision.

    Alerts are left as they are: the next window is judged by the new evidence.

    Parameters
    ----------
    scratch : an empty ledger, in which the windows are judged again.
    reason : why the past was corrected; empty: only what was lost is written.

    Raises
    ------
    BadInput
        the baseline was changed since evidence began.
    """
    facts = watch.ledger.facts
    revision = revision_of(facts, model.name)
    kept = {k.key: k for k in Records(facts, EVIDENCE).all(model=model.name)}
    deque(judged_again(watch, model, AlertJudge(plan), scratch=scratch), maxlen=0)
    made = {k.key: k.value for k in Records(scratch.facts, EVIDENCE).all(model=model.name)}
    shared = made.keys() & kept.keys()
    if any(_goes_on_from_another(kept[key].value, made[key].baseline) for key in shared):
        raise BadInput(
            f"The baseline of {model.name!r} was changed: its evidence goes on from what was folded against the old one, "
            "which the windows alone do not tell.",
            "Nothing has to be done: every window since is judged against the new baseline.",
        )
    lost = sorted(made.keys() - kept.keys())
    changed = sorted(key for key in shared if _folded(made[key]) != _folded(kept[key].value))
    to_write = [*lost, *(changed if reason else ())]
    now = watch.clock()
    records: list[Kept[Any]] = [
        kept[key].to(made[key]) if key in kept else EVIDENCE.new(made[key]) for key in to_write
    ]
    if reason and changed:
        revision += 1
        new = Revision(model=model.name, revision=revision, reason=reason, by=actor)
        known = Records(facts, REVISION).get(model.name)
        records.append(REVISION.new(new) if known is None else known.to(new))
    if records:
        said: Refolding = {
            "lost": len(lost),
            "changed": changed[:100],
            "revision": revision,
            "reason": reason,
        }
        write(facts, [EVIDENCE_REFOLDED(said, at=now, actor=actor, model=model.name)], records, now=now)
    return Refolded(
        same=len(shared) - len(changed),
        lost=len(lost),
        changed=tuple(changed),
        revision=revision,
        written=len(to_write),
    )


def _goes_on_from_another(fold: Fold, baseline: str) -> bool:
    """Whether it is of another baseline, or was numbered on when *baseline* came (an epoch of a full memory is not)."""
    if fold.baseline != baseline:
        return True
    if fold.state is not None:
        return bool(1 < fold.state["first"] <= fold.state["rules"]["memory"])
    evidence = (fold.folded or {})["evidence"]
    if "first" in evidence:
        return bool(evidence["first"])
    return not evidence["prior"] and evidence["folded"] > len(evidence["values"]) - evidence["reference"]


def _folded(fold: Fold) -> Fold:
    """What was folded, without the budget that it is read against."""
    if fold.state is None:
        return fold
    return replace(fold, state={k: v for k, v in fold.state.items() if k != "rules"})
