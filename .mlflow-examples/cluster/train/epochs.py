"""Fits a line by gradient descent, and saves where it is after each epoch."""

import argparse
import json
import pathlib
import time

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--epochs", type=int, default=60)
parser.add_argument("--state", type=pathlib.Path, default=pathlib.Path("state"))
parser.add_argument("--seconds", type=float, default=0.25, help="of an epoch")
args = parser.parse_args()

points = [(x / 20, 2 * x / 20 + 1) for x in range(20)]
args.state.mkdir(exist_ok=True)
saved = args.state / "epoch.json"
state = json.loads(saved.read_text()) if saved.exists() else {"epoch": 0, "slope": 0.0, "start": 0.0}
first = state["epoch"]
print(f"from epoch {first}", flush=True)

loss = 0.0
while state["epoch"] < args.epochs:
    for _ in range(100):
        wrong = [(state["slope"] * x + state["start"] - y, x) for x, y in points]
        state["slope"] -= 0.5 * sum(w * x for w, x in wrong) / len(points)
        state["start"] -= 0.5 * sum(w for w, _ in wrong) / len(points)
    loss = sum(w * w for w, _ in wrong) / len(points)
    state["epoch"] += 1
    time.sleep(args.seconds)
    # Under another name first: what is saved is never half a state.
    new = args.state / "new"
    new.write_text(json.dumps(state))
    new.rename(saved)
    print(f"epoch {state['epoch']} loss {loss:.6f}", flush=True)

with open("metrics.json", "w", encoding="utf-8") as file:
    json.dump({"loss": loss, "resumed_from": first}, file)
print(f"slope {state['slope']:.2f}, {first} of {args.epochs} epochs from a checkpoint")
