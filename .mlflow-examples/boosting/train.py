"""Boosts trees on scikit-learn's diabetes data and keeps a checkpoint every ten rounds."""

import argparse
import json
import os
import pathlib
import signal

import xgboost
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--rounds", type=int, default=60)
parser.add_argument("--kill-at", type=int, default=0)
parser.add_argument("--checkpoints", type=pathlib.Path, default=pathlib.Path("checkpoints"))
args = parser.parse_args()

data = load_diabetes()
train_x, test_x, train_y, test_y = train_test_split(data.data, data.target, random_state=7)
train, test = xgboost.DMatrix(train_x, train_y), xgboost.DMatrix(test_x, test_y)

args.checkpoints.mkdir(exist_ok=True)
saved = sorted(args.checkpoints.glob("*.ubj"))
model = xgboost.Booster(model_file=saved[-1]) if saved else None
start = model.num_boosted_rounds() if model else 0
print(f"starting from round {start}", flush=True)

done = start
while done < args.rounds:
    step = min(10, args.rounds - done)
    if args.kill_at and start == 0 and done + step > args.kill_at:
        print(f"killed in round {args.kill_at}", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    model = xgboost.train({"eta": 0.1, "max_depth": 2}, train, num_boost_round=step, xgb_model=model)
    done += step
    # Written beside and renamed, so that a kill never leaves half a checkpoint.
    part = args.checkpoints / ".part.ubj"
    model.save_model(part)
    part.rename(args.checkpoints / f"{done:04}.ubj")

rmse = float(model.eval(test).split(":")[1])
model.save_model("model.ubj")
with open("metrics.json", "w", encoding="utf-8") as file:
    json.dump({"rmse": rmse, "rounds": model.num_boosted_rounds(), "resumed_from": start}, file)
print(f"rmse {rmse:.2f} after {done} rounds, {start} of them from a checkpoint")
