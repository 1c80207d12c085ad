#!/usr/bin/python3
"""Recomputes what moescope collapse says of a run: recompute_collapse.py DB RUN PROGRAM

Reads the loads of training (plain SQL), pools them into windows, computes every figure with numpy from its formula
in docs/metrics.md, applies the rule to them, and compares with what PROGRAM (bin/moescope-collapse) prints:

  - tables `load` and `steps`: every figure of every window and step, single and smoothed, to 1e-9;
  - table `experts`: every share;
  - table `onset`: state, onset and the figures of the last window;
  - the probe's loads of the last pass against its decisions in the relation `routing`, counted one by one;
  - table `router`: the probe's first choices against those of step 0.

It shares no code with moescope. Exit status 1: something differs. Needs Debian's python3 and python3-numpy.
"""
import json
import math
import sqlite3
import subprocess
import sys

import numpy as np

ENTROPY, EFFECTIVE, TOP, DEAD, EVERYTHING = 0.5, 0.5, 0.9, 0.5, 0.9
LASTING, TOKENS_PER_EXPERT, WINDOWS = 3, 50, 100


def entropy(q):
    q = q[q > 0]
    return float(-(q * np.log(q)).sum())


def least_entropy(k):
    """Of floor(k) experts that have every token and one that has the rest."""
    shares = np.array([1.0] * math.floor(k) + [k - math.floor(k)])
    return entropy(shares / k)


def figures(load, tokens):
    n, total = len(load), load.sum()
    q, k, mean = load / total, load.sum() / tokens, load.mean()
    h = entropy(q)
    span = math.log(n) - least_entropy(k)
    ranks = np.arange(1, n + 1)
    return {
        "entropy": h,
        "normalized_entropy": (h - least_entropy(k)) / span if span > 1e-12 else None,
        "effective_experts": math.exp(h),
        "max_violation": load.max() / mean - 1,
        "cv": load.std() / mean,
        "gini": ((2 * ranks - n - 1) * np.sort(load)).sum() / (n * total),
        "top_share": load.max() / tokens,
        "dead": int((load == 0).sum()),
        "starved": int((load < 0.1 * mean).sum()),
        "tokens": tokens,
        "experts_per_token": k,
    }


def in_breach(f, n, varies):
    if f["tokens"] < TOKENS_PER_EXPERT * n:
        return None
    if varies and f["experts_per_token"] >= EVERYTHING * n:
        return True
    k = f["experts_per_token"] / n
    h = f["normalized_entropy"]
    return ((h is not None and h < ENTROPY) or (k <= 0.25 and f["effective_experts"] < EFFECTIVE * n)
            or (k <= 0.5 and f["top_share"] > TOP) or f["dead"] >= DEAD * n)


class Run:
    def __init__(self, db, name):
        self.db = db
        self.id, = db.execute("SELECT run_id FROM run WHERE name = ?", (name,)).fetchone()
        self.planned, = db.execute("SELECT value FROM run_config WHERE run_id = ? AND key = 'train.steps'", (self.id,)).fetchone()
        self.layers = {l: (n, k) for l, n, k in db.execute(
            "SELECT layer, n_experts, k FROM moe_layer WHERE run_id = ?", (self.id,))}
        self.load = self.read_loads()
        self.tokens = self.read_tokens()
        self.steps = sorted(self.load)

    def read_loads(self):
        """step -> layer -> (asked for, refused)."""
        loads = {}
        for step, layer, expert, accepted, dropped in self.db.execute(
                "SELECT step, layer, expert, assignments, dropped FROM expert_load"
                " WHERE run_id = ? AND split = 'train' AND domain_id IS NULL", (self.id,)):
            n = self.layers[layer][0]
            asked, refused = loads.setdefault(step, {}).setdefault(layer, (np.zeros(n), np.zeros(n)))
            asked[expert], refused[expert] = accepted + dropped, dropped
        return loads

    def read_tokens(self):
        total = dict(self.db.execute(
            "SELECT step, value FROM metric WHERE run_id = ? AND split = 'train' AND name = 'tokens'", (self.id,)))
        return {step: total[step] - total.get(step - 1, 0) for step in total}

    def tokens_of(self, layer, steps):
        k = self.layers[layer][1]
        return sum(self.load[s][layer][0].sum() / k if k else self.tokens[s] for s in steps)

    def pooled(self, layer, steps):
        return sum(self.load[s][layer][0] for s in steps)

    def windows(self):
        """Lists of steps: the fewest that are a hundredth of the run and hold enough tokens for every layer."""
        windows, window = [], []
        for step in self.steps:
            window.append(step)
            if (window[-1] - window[0] + 1) * WINDOWS >= int(self.planned) and all(
                    self.tokens_of(l, window) >= TOKENS_PER_EXPERT * n for l, (n, _) in self.layers.items()):
                windows.append(window)
                window = []
        return windows

    def states(self, windows):
        """layer -> (state, onset or None)."""
        result = {}
        for layer, (n, k) in self.layers.items():
            judged = [(w[0], in_breach(figures(self.pooled(layer, w), self.tokens_of(layer, w)), n, k is None))
                      for w in windows]
            judged = [(step, breach) for step, breach in judged if breach is not None]
            at_end = []
            for step, breach in judged:
                at_end = at_end + [step] if breach else []
            if k == n:
                result[layer] = "no_choice", at_end[0] if at_end else None
            elif not judged:
                result[layer] = "no_data", None
            elif not any(breach for _, breach in judged):
                result[layer] = "healthy", None
            elif not at_end:
                result[layer] = "transient", None
            else:
                result[layer] = "censored" if len(at_end) < LASTING else "collapsed", at_end[0]
        return result


class Report:
    def __init__(self):
        self.compared, self.wrong, self.worst = 0, 0, 0.0

    def compare(self, what, ours, theirs):
        self.compared += 1
        if isinstance(ours, (str, type(None))) or isinstance(theirs, (str, type(None))):
            same = ours == theirs
        else:
            error = abs(ours - theirs) / max(1.0, abs(ours))
            self.worst = max(self.worst, error)
            same = error <= 1e-9
        if not same:
            self.wrong += 1
            if self.wrong <= 10:
                print(f"{what}: {theirs}, recomputed {ours}")

    def compare_row(self, what, ours, row, prefix=""):
        for name, value in ours.items():
            if prefix + name in row:
                self.compare(f"{what} {prefix + name}", value, row[prefix + name])


def ask(program, path, name, table):
    return json.loads(subprocess.run([program, path, "--run", name, "--format", "json", "--table", table],
                                     check=True, capture_output=True).stdout)


def compare_windows(run, windows, answer, report):
    report.compare("windows", len(windows) * len(run.layers), len(answer))
    for row, (w, layer) in zip(answer, [(w, l) for w in windows for l in sorted(run.layers)]):
        ours = figures(run.pooled(layer, w), run.tokens_of(layer, w))
        breach = in_breach(ours, run.layers[layer][0], run.layers[layer][1] is None)
        single = [figures(run.load[s][layer][0], run.tokens_of(layer, [s]))["normalized_entropy"] for s in w]
        known = [h for h in single if h is not None]
        ours.update(step=w[0], layer=layer, last_step=w[-1], breach=None if breach is None else int(breach),
                    dropped=sum(run.load[s][layer][1].sum() for s in w),
                    lowest_step=min(known, default=None), highest_step=max(known, default=None))
        report.compare_row(f"window {w[0]}, layer {layer}", ours, row)


def compare_experts(run, windows, answer, report):
    shares = iter(answer)
    for w in windows:
        for layer, (n, _) in sorted(run.layers.items()):
            ours = run.pooled(layer, w) / run.tokens_of(layer, w)
            for expert in range(n):
                row = next(shares)
                report.compare_row(f"window {w[0]}, layer {layer}, expert {expert}",
                                   {"step": w[0], "layer": layer, "expert": expert, "share": ours[expert]}, row)
    report.compare("shares", None, next(shares, None))


def compare_steps(run, n_smoothed, answer, report):
    report.compare("steps", len(run.steps) * len(run.layers), len(answer))
    rows = iter(answer)
    for i, step in enumerate(run.steps):
        last = run.steps[max(0, i + 1 - n_smoothed):i + 1]
        for layer in sorted(run.layers):
            row = next(rows)
            what = f"step {step}, layer {layer}"
            report.compare_row(what, figures(run.load[step][layer][0], run.tokens_of(layer, [step])), row)
            report.compare_row(what, figures(run.pooled(layer, last), run.tokens_of(layer, last)), row, "smooth_")


def compare_states(run, windows, answer, report):
    states = run.states(windows)
    for row in answer:
        layer = row["layer"]
        state, onset = states[layer]
        last = figures(run.pooled(layer, windows[-1]), run.tokens_of(layer, windows[-1]))
        report.compare_row(f"layer {layer}", dict(last, state=state, onset_step=onset), row)


def first_choices(run, step):
    return {(sample, position, layer): expert for sample, position, layer, expert in run.db.execute(
        "SELECT sample_id, position, layer, expert FROM routing"
        " WHERE run_id = ? AND split = 'probe' AND step = ? AND slot = 0", (run.id, step))}


def compare_probe(run, answer, report):
    step, = run.db.execute("SELECT max(step) FROM sequence WHERE run_id = ? AND split = 'probe'", (run.id,)).fetchone()
    if step is None:
        return
    counted = run.db.execute(
        "SELECT layer, expert, count(*) FROM routing WHERE run_id = ? AND split = 'probe' AND step = ? GROUP BY layer, expert",
        (run.id, step)).fetchall()
    logged = {(l, e): a for l, e, a in run.db.execute(
        "SELECT layer, expert, assignments + dropped FROM expert_load"
        " WHERE run_id = ? AND split = 'probe' AND step = ? AND domain_id IS NULL", (run.id, step))}
    for layer, expert, decisions in counted:
        report.compare(f"probe, layer {layer}, expert {expert}", decisions, logged.pop((layer, expert)))
    report.compare("probe, experts without decisions", 0, sum(logged.values()))
    before, now = first_choices(run, 0), first_choices(run, step)
    for row in answer:
        same = [before[key] == now[key] for key in now if key[2] == row["layer"] and key in before]
        if same and step > 0:
            report.compare(f"layer {row['layer']}, agreement with step 0", float(np.mean(same)), row["agreement_with_start"])


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    path, name, program = sys.argv[1:]
    run, report = Run(sqlite3.connect(f"file:{path}?mode=ro", uri=True), name), Report()
    windows = run.windows()
    compare_windows(run, windows, ask(program, path, name, "load"), report)
    compare_experts(run, windows, ask(program, path, name, "experts"), report)
    compare_steps(run, len(windows[0]), ask(program, path, name, "steps"), report)
    compare_states(run, windows, ask(program, path, name, "onset"), report)
    compare_probe(run, ask(program, path, name, "router"), report)
    print(f"{name}: {len(run.steps)} steps, {len(windows)} windows, {len(run.layers)} layers; {report.compared} figures, "
          f"largest relative difference {report.worst:.2g}, {report.wrong} differ")
    sys.exit(1 if report.wrong or not report.compared else 0)


if __name__ == "__main__":
    main()
