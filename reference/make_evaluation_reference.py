"""Writes test/fixtures/evaluation.json: what scikit-learn makes of features that a formula gives.

usage: /usr/bin/python3 reference/make_evaluation_reference.py [OUT.json]      (needs python3-sklearn and numpy)

Row i of a set with offset s is of class i % classes, but every eleventh has the next class's label. Column j of it is

    0.5 + sin(1.7 (class + 1) (j + 1)) + spread * (sin(0.37 (i + s) (j + 1) + j) + sin(1.3 (i + s) + 0.7 j j))

rounded to float32. Training sets have offset 0, test sets 1000. "paper" rows lose their own mean and get length 1. Logistic
regression minimises mean cross entropy + lambda / 2 |W|^2; k-NN weighs votes by exp(cosine similarity / temperature), and
without a temperature counts them. Predictions are a digit a row, "-" where the two best classes are within 1e-6.
"""

import json
import os
import sys

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier


def make(count, offset, classes, width, spread):
    i, j = np.mgrid[0:count, 0:width].astype(np.float64)
    label = i % classes
    noise = np.sin(0.37 * (i + offset) * (j + 1) + j) + np.sin(1.3 * (i + offset) + 0.7 * j * j)
    rows = (0.5 + np.sin(1.7 * (label + 1) * (j + 1)) + spread * noise).astype(np.float32).astype(np.float64)
    each = np.arange(count)
    return rows, (each + (each % 11 == 10)) % classes


def prepare(rows):
    centred = rows - rows.mean(axis=1, keepdims=True)
    return centred / np.linalg.norm(centred, axis=1, keepdims=True)


def logistic(train, test, classes, width, spread, preparation, intercept, penalty):
    x, y = make(train, 0, classes, width, spread)
    queries, answers = make(test, 1000, classes, width, spread)
    if preparation == "paper":
        x, queries = prepare(x), prepare(queries)
    model = LogisticRegression(
        fit_intercept=intercept, C=1 / (train * penalty), tol=1e-10, max_iter=1000000, multi_class="multinomial"
    ).fit(x, y)
    likelihood = model.predict_log_proba(x)[np.arange(train), y]
    objective = -likelihood.mean() + penalty / 2 * (model.coef_**2).sum()
    print(f"logistic {preparation} lambda {penalty:g}: objective {objective:.8f}, {model.n_iter_} iterations")
    return {
        "train": train, "test": test, "classes": classes, "width": width, "spread": spread,
        "preparation": preparation, "intercept": intercept, "lambda": penalty,
        "objective": float(f"{objective:.9g}"),
        "accuracy": round(model.score(queries, answers), 6),
        "weights": [float(f"{w:.6g}") for w in model.coef_[0, :4]],
    }  # fmt: skip


def digits(probabilities):
    two = np.sort(probabilities, axis=1)[:, -2:]
    tied = two[:, 1] - two[:, 0] < 1e-6
    return "".join("-" if t else str(c) for t, c in zip(tied, probabilities.argmax(axis=1)))


def neighbours(train, test, classes, width, spread, k, temperature):
    x, y = make(train, 0, classes, width, spread)
    queries, answers = make(test, 1000, classes, width, spread)
    weights = "uniform" if temperature is None else lambda distance: np.exp((1 - distance) / temperature)
    model = KNeighborsClassifier(n_neighbors=k, metric="cosine", algorithm="brute", weights=weights)
    others = cross_val_predict(model, x, y, cv=LeaveOneOut(), method="predict_proba")
    model.fit(x, y)
    found = model.predict_proba(queries)
    return {
        "train": train, "test": test, "classes": classes, "width": width, "spread": spread,
        "k": k, "temperature": temperature,
        "accuracy": round(float((found.argmax(axis=1) == answers).mean()), 6), "predictions": digits(found),
        "leaveOneOut": round(float((others.argmax(axis=1) == y).mean()), 6), "withoutSelf": digits(others),
    }  # fmt: skip


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    default = os.path.join(here, "..", "test", "fixtures", "evaluation.json")
    few = dict(train=40, test=200, classes=4, width=12, spread=0.9)
    many = dict(train=240, test=200, classes=5, width=16, spread=1.1)
    reference = {
        "logistic": [
            logistic(**few, preparation="paper", intercept=False, penalty=0.00025 / 40),
            logistic(**few, preparation="paper", intercept=False, penalty=1e-3),
            logistic(**many, preparation="paper", intercept=False, penalty=0.00025 / 240),
            logistic(**many, preparation="none", intercept=True, penalty=1e-2),
        ],
        "neighbours": [
            neighbours(train=90, test=80, classes=4, width=8, spread=0.8, k=k, temperature=t)
            for k, t in [(1, 0.07), (5, 0.07), (20, 0.07), (20, 0.5), (50, 0.02), (5, None), (20, None)]
        ],
    }
    with open(sys.argv[1] if len(sys.argv) > 1 else default, "w") as file:
        json.dump(reference, file, indent=2)
        file.write("\n")


main()
