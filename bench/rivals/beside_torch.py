"""bench/step and torch_moe.py in turns: how long a training step of reference model R takes in either.

    python3 bench/rivals/beside_torch.py --step build/release/bench/step

A round is a few steps of one, then of the other, in processes of their own; every other round begins with the other.
Ratios are within rounds: their medians, and intervals by ranks alone (95 % or more from six rounds on).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

TORCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch_moe.py")


def ask(command, **environment):
    result = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True, check=False)
    if result.returncode != 0:
        sys.exit(result.returncode)
    return json.loads(result.stdout)


def median(x):
    """With the interval of bench/shared/median.c."""
    x, n, out = sorted(x), len(x), 0
    chance = total = 0.5**n
    while 2 * (total + chance * (n - out) / (out + 1)) <= 0.05:
        chance *= (n - out) / (out + 1)
        total += chance
        out += 1
    return statistics.median(x), x[out], x[n - 1 - out]


def step_round(args):
    rows = {row["part"]: row for row in ask([args.step, "--quiet", "--blocks", str(args.blocks), "--threads",
                                             str(args.threads), "--format", "json"])}
    return {"ms": rows["the whole step"]["ms"], "share": rows["its operations at sgemm's limit"]["value"],
            "threads": rows["the whole step"]["threads"],
            "loss": rows["loss before the third update, nats"]["value"]}


def torch_round(args):
    r = ask([sys.executable, TORCH, "--blocks", str(args.blocks), "--threads", str(args.threads)],
            **({"LD_LIBRARY_PATH": args.blas} if args.blas else {}))
    share = statistics.median(r["gflop"] / (s * limit) for s, limit in zip(r["seconds"], r["limits"]))
    return {"ms": 1e3 * statistics.median(r["seconds"]), "share": share, "loss": r["losses"][2], **r}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--step", default="build/release/bench/step", help="the program")
    parser.add_argument("--rounds", type=int, default=7, help="default 7")
    parser.add_argument("--blocks", type=int, default=4, help="steps of either in a round (default 4)")
    parser.add_argument("--threads", type=int, default=0, help="0: one per core")
    parser.add_argument("--blas", help="a folder with another libblas.so.3, for PyTorch alone")
    parser.add_argument("--json", help="the same as JSON, in a file")
    args = parser.parse_args()
    ours, theirs = [], []
    for i in range(args.rounds):
        turn = [(step_round, ours), (torch_round, theirs)]
        for one, results in turn[:: -1 if i % 2 else 1]:
            results.append(one(args))
        print(f"round {i + 1} of {args.rounds}", file=sys.stderr)
    torch = theirs[0]
    ratio = median([b["ms"] / a["ms"] for a, b in zip(ours, theirs)])
    print(f"Reference model R, {torch['gflop']:.1f} GFLOP a step of {torch['tokens']} tokens, "
          f"{ours[0]['threads']} threads; PyTorch {torch['torch']} with {torch['blas']}\n")
    shares = median([a["share"] / b["share"] for a, b in zip(ours, theirs)])
    print("            ms a step  tokens/s  GFLOP/s  share of sgemm's limit  loss before the third update")
    rows = []
    for name, results in ("moescope", ours), ("PyTorch", theirs):
        ms = statistics.median(r["ms"] for r in results)
        rows.append({"who": name, "ms": ms, "tokens_per_second": 1e3 * torch["tokens"] / ms,
                     "gflops": 1e3 * torch["gflop"] / ms, "share": statistics.median(r["share"] for r in results),
                     "loss": results[0]["loss"]})
        print(f"{name:10}  {ms:9.1f}  {rows[-1]['tokens_per_second']:8.0f}  {rows[-1]['gflops']:7.1f}  "
              f"{rows[-1]['share']:22.3f}  {rows[-1]['loss']:.4f}")
    print(f"\nPyTorch takes {ratio[0]:.2f} [{ratio[1]:.2f}, {ratio[2]:.2f}] times as long. Moescope's share of sgemm's "
          f"limit, each measured\nin its own process, is {shares[0]:.2f} [{shares[1]:.2f}, {shares[2]:.2f}] times PyTorch's.")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as out:
            json.dump({"ratio": ratio, "ratio_of_shares": shares, "rows": rows, "rounds": {"moescope": ours, "PyTorch": theirs}}, out, indent=1)


main()
