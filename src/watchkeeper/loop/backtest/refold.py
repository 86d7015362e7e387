"""Evidence folded again from facts: after it was lost, or after the past was corrected.

Evidence is a function of the measured windows in their order. So it can be folded again from the stored profiles and
the measurements, and comes out the same to the last bit. Where it does not, the past has changed since: outcomes came
after their windows had matured, or a pipeline was mended and its windows measured again. To take the changed past is
a *revision*: one more chance to be wrong, so it goes on under a smaller budget (`Budget.revised`), and it is a fact with
a name and a reason.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from watchkeeper.domain.fact import Document, Fact
from watchkeeper.domain.watched import WatchedModel
from watchkeeper.errors import BadInput
from watchkeeper.loop.alerting.judging import AlertJudge
from watchkeeper.loop.alerting.kept_evidence import revision_of
from watchkeeper.loop.alerting.plan import AlertingPlan
from watchkeeper.loop.backtest.rule_trial import judged_again


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
    kept = {d.key: d for d in facts.documents("evidence", model=model.name, limit=1_000_000)}
    deque(judged_again(watch, model, AlertJudge(plan), scratch=scratch), maxlen=0)
    made = {d.key: d.body for d in scratch.facts.documents("evidence", model=model.name, limit=1_000_000)}
    shared = made.keys() & kept.keys()
    if any(_goes_on_from_another(kept[key].body, made[key]["baseline"]) for key in shared):
        raise BadInput(
            f"The baseline of {model.name!r} was changed: its evidence goes on from what was folded against the old one, "
            "which the windows alone do not tell.",
            "Nothing has to be done: every window since is judged against the new baseline.",
        )
    lost = sorted(made.keys() - kept.keys())
    changed = sorted(
        key for key in made.keys() & kept.keys() if _folded(made[key]) != _folded(kept[key].body)
    )
    write = [*lost, *(changed if reason else ())]
    now = watch.clock()
    documents = [
        Document(
            kind="evidence",
            key=key,
            body=made[key],
            model=model.name,
            updated_at=now,
            revision=kept[key].revision if key in kept else 0,
        )
        for key in write
    ]
    if reason and changed:
        revision += 1
        known = facts.document("revision", model.name)
        documents.append(
            Document(
                kind="revision",
                key=model.name,
                body={"revision": revision, "reason": reason, "by": actor},
                model=model.name,
                updated_at=now,
                revision=0 if known is None else known.revision,
            )
        )
    if documents:
        fact = Fact(
            kind="evidence.refolded",
            at=now,
            actor=actor,
            model=model.name,
            body={"lost": len(lost), "changed": changed[:100], "revision": revision, "reason": reason},
        )
        facts.append([fact], documents)
    return Refolded(
        same=len(shared) - len(changed),
        lost=len(lost),
        changed=tuple(changed),
        revision=revision,
        written=len(write),
    )


def _goes_on_from_another(body: dict[str, Any], baseline: str) -> bool:
    """Whether it is of another baseline, or was numbered on when *baseline* came (an epoch of a full memory is not)."""
    if body["baseline"] != baseline:
        return True
    if "state" in body:
        state = body["state"]
        return bool(1 < state["first"] <= state["rules"]["memory"])
    evidence = body["folded"]["evidence"]
    return not evidence["prior"] and evidence["folded"] > len(evidence["values"]) - evidence["reference"]


def _folded(body: dict[str, Any]) -> dict[str, Any]:
    """What was folded, without the budget that it is read against."""
    if "state" not in body:
        return body
    return {**body, "state": {k: v for k, v in body["state"].items() if k != "rules"}}
