"""Lowercases the reviews and drops what is not a letter."""

import argparse
import json
import re

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("source")
parser.add_argument("--out", default="clean.jsonl")
args = parser.parse_args()

with open(args.source, encoding="utf-8") as source, open(args.out, "w", encoding="utf-8") as out:
    for count, line in enumerate(source, start=1):
        review = json.loads(line)
        text = re.sub(r"[^a-z ]+", " ", review["text"].lower())
        out.write(json.dumps({"text": text, "good": review["label"] == "good"}) + "\n")
print(f"{count} reviews in {args.out}")
