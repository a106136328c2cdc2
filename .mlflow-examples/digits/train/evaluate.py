"""Scores the chosen model on the holdout rows: accuracy, and the time of one prediction."""

import argparse
import json
import time

import joblib

from dataset import load

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--seed", type=int, default=7)
args = parser.parse_args()

model = joblib.load("model.joblib")
_, test_x, _, test_y = load("clean.csv", args.seed)

times = []
for row in test_x[:50]:
    start = time.perf_counter()
    model.predict(row.reshape(1, -1))
    times.append(1000 * (time.perf_counter() - start))
report = {"accuracy": model.score(test_x, test_y), "latency_ms": sorted(times)[len(times) // 2]}
with open("report.json", "w", encoding="utf-8") as file:
    json.dump(report, file)
print(f"{type(model).__name__}: accuracy {report['accuracy']:.3f}, {report['latency_ms']:.2f} ms a prediction")
