"""A watched model or function answers as before, and what it answered is recorded."""

import asyncio
import dataclasses
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from watchkeeper.capture.batch_rows import table_in
from watchkeeper.capture.events import Batch, Prediction
from watchkeeper.capture.journal import journals, read_after
from watchkeeper.capture.recorder import Recorder
from watchkeeper.capture.watching import watch
from watchkeeper.capture.wrapping import wrap
from watchkeeper.errors import BadInput


def rows_in(path):
    """Every recorded prediction as one dict, however it was recorded."""
    rows = []
    for journal in journals(path):
        for _, events in read_after(journal):
            for event in events:
                if isinstance(event, Prediction):
                    rows.append({"id": event.id, "features": event.features, "prediction": event.prediction,
                                 "score": event.score, "error": event.error, "latency_s": event.latency_s})  # fmt: skip
                elif isinstance(event, Batch):
                    taken = set(event.roles.values())
                    scores = {
                        r.partition(":")[2]: c for r, c in event.roles.items() if r.startswith("score:")
                    }
                    for row in table_in(event).to_pylist():
                        score = {k: row[c] for k, c in scores.items()} or row.get(event.roles.get("score"))
                        rows.append({"id": row[event.roles["id"]], "features": {k: v for k, v in row.items() if k not in taken},
                                     "prediction": row.get(event.roles.get("prediction")), "score": score,
                                     "error": event.error, "latency_s": event.latency_s})  # fmt: skip
    return rows


@pytest.fixture(scope="module")
def data():
    dice = np.random.default_rng(3)
    X = pd.DataFrame(
        {"age": dice.normal(40, 9, 300), "score": dice.normal(size=300), "id": dice.integers(0, 9, 300)}
    )
    return (
        X,
        (X.age + 5 * X.score > 41).to_numpy(),
        np.where(X.age > 45, "old", np.where(X.score > 0, "mid", "low")),
    )


@pytest.mark.filterwarnings("ignore:X (has|does not have) :UserWarning")
class TestModels:
    @pytest.mark.parametrize("count", [1, 5, 300])
    @pytest.mark.parametrize("form", ["frame", "matrix", "lists"])
    def test_predict_answers_as_before_and_is_recorded(self, tmp_path, data, count, form):
        X, y, _ = data
        model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X.to_numpy(), y)
        rows = {"frame": X[:count], "matrix": X[:count].to_numpy(), "lists": X[:count].to_numpy().tolist()}[
            form
        ]
        watched = wrap(model, "m", 1, path=tmp_path)
        answer = watched.predict(rows)
        assert np.array_equal(answer, model.predict(X[:count].to_numpy()))
        watched.watch_recorder.close()
        told = rows_in(tmp_path)
        assert [row["id"] for row in told] == list(watched.last_ids)
        assert [row["prediction"] for row in told] == answer.tolist()
        names = ["age", "score", "id"] if form == "frame" else ["x0", "x1", "x2"]
        assert [list(row["features"].values()) for row in told] == X[:count].to_numpy().tolist()
        assert list(told[0]["features"]) == names
        assert all(row["latency_s"] > 0 for row in told)

    @pytest.mark.parametrize("count", [3, 200])
    def test_probabilities_of_two_classes_are_one_score(self, tmp_path, data, count):
        X, y, _ = data
        model = LogisticRegression().fit(X, y)
        watched = wrap(model, "m", 1, path=tmp_path)
        answer = watched.predict_proba(X[:count])
        watched.watch_recorder.close()
        told = rows_in(tmp_path)
        assert [row["score"] for row in told] == answer[:, 1].tolist()
        assert [row["prediction"] for row in told] == model.predict(X[:count]).tolist()

    @pytest.mark.parametrize("count", [3, 200])
    def test_probabilities_of_many_classes_are_told_by_name(self, tmp_path, data, count):
        X, _, kind = data
        model = LogisticRegression(max_iter=1000).fit(X, kind)
        watched = wrap(model, "m", 1, path=tmp_path, scores=True)
        assert np.array_equal(watched.predict(X[:count]), model.predict(X[:count]))
        watched.watch_recorder.close()
        told = rows_in(tmp_path)
        expected = model.predict_proba(X[:count])
        assert [list(row["score"].values()) for row in told] == expected.tolist()
        assert set(told[0]["score"]) == {"low", "mid", "old"}
        assert [row["prediction"] for row in told] == model.predict(X[:count]).tolist()

    def test_it_stays_a_model_to_scikit_learn(self, tmp_path, data):
        X, y, _ = data
        watched = wrap(LogisticRegression(C=0.5), "m", 1, path=tmp_path)
        assert watched.fit(X, y) is watched.__wrapped__
        assert watched.C == 0.5
        assert watched.get_params() == watched.__wrapped__.get_params()
        assert is_classifier(watched)
        assert watched.score(X, y) == watched.__wrapped__.score(X, y)
        assert "coef_" in dir(watched)
        watched.C = 2.0
        assert watched.__wrapped__.C == 2.0
        assert not hasattr(watched, "no_such_thing")
        assert cross_val_score(clone(watched.__wrapped__), X, y, cv=3).shape == (3,)

    def test_a_pipeline_keeps_its_steps_and_a_callable_is_callable(self, tmp_path):
        pipeline = wrap(make_pipeline(StandardScaler(), LinearRegression()), path=tmp_path)
        assert len(pipeline) == 2
        assert isinstance(pipeline[1], LinearRegression)
        assert not callable(pipeline)

    def test_it_may_be_pickled(self, tmp_path, data):
        X, y, _ = data
        watched = wrap(LinearRegression().fit(X, y), "m", 1, path=tmp_path)
        copy = pickle.loads(pickle.dumps(watched))
        assert np.array_equal(copy.predict(X[:50]), watched.predict(X[:50]))
        copy.watch_recorder.close()
        watched.watch_recorder.close()
        assert len(rows_in(tmp_path)) == 100

    def test_ids_may_be_given(self, tmp_path, data):
        X, y, _ = data
        watched = wrap(LinearRegression().fit(X, y), "m", 1, path=tmp_path)
        watched.predict(X[:20], watch_ids=[f"order-{i}" for i in range(20)])
        watched.predict(X[:2], watch_ids=["a", "b"])
        assert watched.last_ids == ("a", "b")
        watched.watch_recorder.close()
        assert [row["id"] for row in rows_in(tmp_path)] == [*(f"order-{i}" for i in range(20)), "a", "b"]

    @pytest.mark.parametrize("count", [2, 100])
    def test_an_error_of_the_model_is_recorded_and_raised(self, tmp_path, data, count):
        X, y, _ = data
        watched = wrap(LinearRegression().fit(X, y), "m", 1, path=tmp_path)
        with pytest.raises(ValueError, match="features"):
            watched.predict(np.ones((count, 7)))
        watched.watch_recorder.close()
        told = rows_in(tmp_path)
        assert len(told) == count
        assert told[0]["error"].startswith("ValueError: ")
        assert watched.watch_recorder.stats().errors == count

    def test_an_error_does_not_quote_what_is_redacted(self, tmp_path):
        class Talkative:
            def predict(self, rows):
                raise ValueError(f"cannot read {rows}")

        watched = wrap(Talkative(), path=tmp_path, drop=["name"])
        with pytest.raises(ValueError, match="Ada"):
            watched.predict([{"name": "Ada"}])
        watched.watch_recorder.close()
        assert [(row["error"], row["features"]) for row in rows_in(tmp_path)] == [("ValueError", {})]

    def test_input_that_cannot_be_recorded_does_not_harm_the_answer(self, tmp_path):
        class Odd:
            def predict(self, rows):
                return "fine"

        watched = wrap(Odd(), path=tmp_path)
        assert watched.predict(object()) == "fine"
        assert watched.watch_recorder.stats().dropped == 1


@dataclasses.dataclass
class House:
    area: float
    rooms: int


class TestFunctions:
    def test_arguments_are_the_features(self, tmp_path):
        @watch("price", 2, path=tmp_path)
        def price(area, rooms=2, *more, **rest):
            "What a house costs."
            return 1000 * area

        assert price(70, rooms=3) == 70_000
        assert price(1, 2, 3, garden=True) == 1000
        assert (price.__name__, price.__doc__) == ("price", "What a house costs.")
        price.watch_recorder.close()
        assert [row["features"] for row in rows_in(tmp_path)] == [
            {"area": 70, "rooms": 3}, {"area": 1, "rooms": 2, "more0": 3, "garden": True},
        ]  # fmt: skip
        assert [row["prediction"] for row in rows_in(tmp_path)] == [70_000, 1000]

    def test_results_with_a_score_and_id(self, tmp_path):
        @watch("m", 1, path=tmp_path)
        def predict(features):
            return {"prediction": "a", "score": 0.7, "id": "mine", "other": 1}

        predict({"x": 1})
        predict.watch_recorder.close()
        (row,) = rows_in(tmp_path)
        assert (row["id"], row["features"], row["prediction"], row["score"]) == ("mine", {"x": 1}, "a", 0.7)

    def test_extract_and_features_may_be_functions(self, tmp_path):
        @watch("m", 1, path=tmp_path, features=lambda house: dataclasses.asdict(house),
               extract=lambda result: {"prediction": result[0], "score": result[1]})  # fmt: skip
        def predict(house):
            return ("cheap", 0.25)

        assert predict(House(70.0, 3)) == ("cheap", 0.25)
        predict.watch_recorder.close()
        (row,) = rows_in(tmp_path)
        assert (row["features"], row["prediction"], row["score"]) == (
            {"area": 70.0, "rooms": 3},
            "cheap",
            0.25,
        )

    def test_methods_leave_self_out(self, tmp_path):
        class Model:
            @watch("m", 1, path=tmp_path)
            def predict(self, x):
                return -x

        assert Model().predict(3) == -3
        Model.predict.watch_recorder.close()
        assert rows_in(tmp_path)[0]["features"] == {"x": 3}

    def test_coroutines_at_the_same_time(self, tmp_path):
        recorder = Recorder("m", 1, path=tmp_path)

        @watch(recorder)
        async def predict(x):
            await asyncio.sleep(0)
            if x == 3:
                raise ValueError("three")
            return x * 2

        async def main():
            return await asyncio.gather(*(predict(x) for x in range(5)), return_exceptions=True)

        answers = asyncio.run(main())
        assert [a for a in answers if isinstance(a, int)] == [0, 2, 4, 8]
        recorder.close()
        told = {row["features"]["x"]: (row["prediction"], row["error"]) for row in rows_in(tmp_path)}
        assert told == {
            0: (0, None),
            1: (2, None),
            2: (4, None),
            3: (None, "ValueError: three"),
            4: (8, None),
        }

    def test_an_extract_that_fails_does_not_harm_the_answer(self, tmp_path):
        @watch("m", 1, path=tmp_path, extract=lambda result: result["missing"])
        def predict(x):
            return {"y": x}

        assert predict(1) == {"y": 1}
        assert predict.watch_recorder.stats().dropped == 1

    def test_a_generator_is_refused(self, tmp_path):
        with pytest.raises(BadInput, match="generator"):

            @watch("m", 1, path=tmp_path)
            def stream(x):
                yield x
