"""Trains one model and writes it with its metrics and parameters."""

import argparse
import json

import joblib
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.svm import SVC

from dataset import load

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--model", choices=["logreg", "forest", "svm"], required=True)
parser.add_argument("--c", type=float, default=1.0, help="how much the model may bend: C, or trees / 100")
parser.add_argument("--seed", type=int, default=7)
args = parser.parse_args()

models = {
    "logreg": lambda: LogisticRegression(C=args.c, max_iter=500),
    "forest": lambda: RandomForestClassifier(n_estimators=max(10, int(100 * args.c)), random_state=args.seed),
    "svm": lambda: SVC(C=args.c, probability=True, random_state=args.seed),
}
train_x, test_x, train_y, test_y = load("clean.csv", args.seed)
model = models[args.model]().fit(train_x, train_y)

metrics = {
    "accuracy": model.score(test_x, test_y),
    "loss": log_loss(test_y, model.predict_proba(test_x)),
}
joblib.dump(model, "model.joblib")
with open("metrics.json", "w", encoding="utf-8") as file:
    json.dump(metrics, file)
with open("params.json", "w", encoding="utf-8") as file:
    json.dump(vars(args), file)
print(f"{args.model} c={args.c}: accuracy {metrics['accuracy']:.3f}, loss {metrics['loss']:.3f}")
