"""Write the three files that the guide in README.md watches: a month to compare with, six days of predictions
(something happens on the fourth), and what became of the customers.

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


def day(number, rows, **options):
    """One day's customers, with an id and the time when each was scored; day 0 is the first of the watched days."""
    at = [first + timedelta(days=number, seconds=s) for s in np.sort(rng.uniform(0, 86_400, rows))]
    names = [f"c{number}-{i}" for i in range(rows)]
    table = pa.table(customers(rows, **options))
    return table.append_column("customer", pa.array(names)).append_column("scored_at", pa.array(at))


first = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=6)
month = pa.concat_tables([day(number, 1_000) for number in range(-31, 0)])
pq.write_table(month, "january.parquet")

# From the fourth day on, what customers spend is sent in cents.
scored = pa.concat_tables([day(number, 2_000, euro_cents=100 if number >= 3 else 1) for number in range(6)])
pq.write_table(scored.drop_columns(["left"]), "scored.parquet")
pq.write_table(scored.select(["customer", "left"]), "labels.parquet")
