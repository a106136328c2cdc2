"""Trains a bag-of-words classifier and scores it by cross-validation."""

import json
import sys

import joblib
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

with open(sys.argv[1], encoding="utf-8") as file:
    rows = [json.loads(line) for line in file]
texts, labels = [r["text"] for r in rows], [int(r["good"]) for r in rows]
model = make_pipeline(TfidfVectorizer(), LogisticRegression(C=10))
f1 = cross_val_score(model, texts, labels, cv=5, scoring="f1").mean()
joblib.dump(model.fit(texts, labels), "model.joblib")
with open("metrics.json", "w", encoding="utf-8") as file:
    json.dump({"f1": f1, "reviews": len(rows)}, file)
print(f"f1 {f1:.3f} over {len(rows)} reviews")
