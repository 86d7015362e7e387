"""Write the three files that the guide in README.md watches: a month to compare with, three days of predictions
(something happens on the third), and what became of the customers.

    python examples/make_churn_files.py            into the current folder
"""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

rng = np.random.default_rng(7)


def customers(rows, *, euro_cents=1):
    """Customers, what the model said of each (``prediction``, ``score``), and whether they ``left``."""
    age = rng.integers(18, 80, rows)
    spend = np.round(rng.lognormal(3.2, 0.6, rows), 2)
    plan = rng.choice(["basic", "plus", "family"], rows, p=[0.6, 0.3, 0.1])
    left = rng.random(rows) < chance(age, spend)
    seen = np.round(spend * euro_cents, 2)  # what the model is given
    score = chance(age, seen)
    return {"age": age, "spend": seen, "plan": plan, "prediction": score > 0.5, "score": score, "left": left}


def chance(age, spend):
    return 1 / (1 + np.exp(np.minimum(0.03 * age + 0.04 * spend - 1.5, 50)))


pq.write_table(pa.table(customers(20_000)), "january.parquet")

first = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=3)
days = []
for day in range(3):
    table = pa.table(customers(4_000, euro_cents=100 if day == 2 else 1))  # from now on it is sent in cents
    at = [first + timedelta(days=day, seconds=s) for s in np.sort(rng.uniform(0, 86_400, 4_000))]
    names = [f"c{day}-{i}" for i in range(4_000)]
    days.append(table.append_column("customer", pa.array(names)).append_column("scored_at", pa.array(at)))
scored = pa.concat_tables(days)
pq.write_table(scored.drop_columns(["left"]), "scored.parquet")
pq.write_table(scored.select(["customer", "left"]), "labels.parquet")
