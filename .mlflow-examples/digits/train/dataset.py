"""Reads the prepared CSV and splits it the same way for training and evaluation."""

import csv

import numpy as np
from sklearn.model_selection import train_test_split


def load(path: str, seed: int):
    """Returns training and holdout pixels (n, 64) in 0..1 and labels (n,)."""
    with open(path, encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    table = np.array(rows, dtype=float)
    return train_test_split(table[:, :-1] / 16.0, table[:, -1].astype(int), test_size=0.25, random_state=seed)
