"""Writes scikit-learn's digits as a CSV: 64 pixel columns and the label."""

import argparse
import csv

from sklearn.datasets import load_digits

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", default="clean.csv")
args = parser.parse_args()

digits = load_digits()
with open(args.out, "w", newline="", encoding="utf-8") as file:
    writer = csv.writer(file)
    writer.writerow([f"p{i}" for i in range(64)] + ["label"])
    for pixels, label in zip(digits.data, digits.target):
        writer.writerow([int(p) for p in pixels] + [int(label)])
print(f"{len(digits.target)} rows in {args.out}")
