#!/usr/bin/python3
"""Recomputes a run outside the engine: recompute.py DB RUN CHECKPOINT

Reads a checkpoint (safetensors) and a logbook (plain SQL), runs the language model in double precision on every
probe sequence of the run's last step, and on the valid ones whose decisions were kept, and compares

  - the routing of every token and block with the relation `routing`: experts in slot order. A difference passes only
    where the probabilities at stake are within 1e-6 of each other (a tie; counted), and is then followed;
  - the logged gates with the probabilities, to the step of their codec;
  - every document's loss, probe and valid, with `document_loss`, to 1e-5 relative.

It shares no code with the engine; routers are written from their papers. Exit status 1: something differs.
Needs Debian's python3 and python3-numpy.
"""
import json
import math
import sqlite3
import sys

import numpy as np

TIE = 1e-6
NO_EXPERT = ([], [], 0.0)  # of a token that has none: it has no row


def read_checkpoint(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(int.from_bytes(f.read(8), "little")))
        data = f.read()
    settings = {k[7:]: v for k, v in header.pop("__metadata__").items() if k.startswith("config.")}
    tensors = {}
    for name, t in header.items():
        first, last = t["data_offsets"]
        if not name.startswith("adam."):
            tensors[name] = np.frombuffer(data[first:last], "<f4").astype(np.float64).reshape(t["shape"])
    return tensors, settings


def of_block(value, block):
    """Element of a list that differs by block; its last one serves all that follow."""
    items = value.split(",")
    return items[min(block, len(items) - 1)]


def rmsnorm(x, gain):
    return x / np.sqrt((x * x).mean(axis=1, keepdims=True) + 1e-5) * gain


def rotate(x):
    """x (T, heads, width), positions 0 .. T-1: pairs (i, i + width / 2) turn by position * 10000^(-2 i / width)."""
    half = x.shape[2] // 2
    angle = np.arange(len(x))[:, None] * 10000.0 ** (-np.arange(half) / half)
    cosine, sine = np.cos(angle)[:, None, :], np.sin(angle)[:, None, :]
    a, b = x[:, :, :half], x[:, :, half:]
    return np.concatenate([a * cosine - b * sine, a * sine + b * cosine], axis=2)


def attention(qkv, heads):
    length, width = len(qkv), qkv.shape[1] // 3 // heads
    q, k, v = (part.reshape(length, heads, width) for part in np.split(qkv, 3, axis=1))
    scores = np.einsum("ihc,jhc->hij", rotate(q), rotate(k)) / math.sqrt(width)
    scores[:, np.triu(np.ones((length, length), bool), 1)] = -np.inf
    p = np.exp(scores - scores.max(axis=2, keepdims=True))
    p /= p.sum(axis=2, keepdims=True)
    return np.einsum("hij,jhc->ihc", p, v).reshape(length, heads * width)


def feed_forward(x, into, out):
    gate, up = np.split(x @ into.T, 2, axis=1)
    return (gate / (1.0 + np.exp(-gate)) * up) @ out.T


class Model:
    def __init__(self, tensors, settings):
        self.t, self.s = tensors, settings
        self.heads = int(settings["model.heads"])
        self.layers = int(settings["model.layers"])
        self.router = settings["router.name"]

    def probabilities(self, block, x, ids):
        """(T, N) probabilities or raw scores, and which experts each token may use."""
        n = int(of_block(self.s["router.experts"], block))
        usable = np.ones((len(ids), n), bool)
        if self.router == "hash":
            table = self.t[f"layers.{block}.router.table"].astype(int)
            usable = table[ids][:, None] == np.arange(n)
            return usable.astype(float), usable
        z = x @ self.t[f"layers.{block}.router"].T
        if self.router == "bias":
            return 1.0 / (1.0 + np.exp(-z)), usable
        if self.router == "relu":
            return np.maximum(z, 0.0), z > 0
        if self.router == "mask":
            usable = self.t[f"layers.{block}.router.visible"][ids] > 0
            z = np.where(usable, z, -np.inf)
        p = np.exp(z - z.max(axis=1, keepdims=True))
        return p / p.sum(axis=1, keepdims=True), usable

    def preferences(self, block, x, p):
        """What experts are chosen by."""
        if self.router == "relu":
            return x @ self.t[f"layers.{block}.router"].T
        return p + self.t[f"layers.{block}.router.bias"] if self.router == "bias" else p

    def choose(self, block, p, usable):
        """Experts of one token in order of choice, and how far the choice was from another one."""
        order = np.lexsort((np.arange(len(p)), -p))
        if self.router == "relu":
            n, stake = int(usable.sum()), np.abs(p).min()
        elif self.router == "topp":
            total, threshold = np.cumsum(p[order]), float(np.float32(self.s["router.p"]))
            beyond = np.nonzero(total > threshold)[0]
            n = len(p) if threshold >= 1 or not len(beyond) else beyond[0] + 1
            stake = np.abs(total - threshold).min()
        else:
            n, stake = min(int(of_block(self.s["router.k"], block)), int(usable.sum())), math.inf
        return order[:n], stake

    def weights(self, block, token, p):
        """What the chosen experts' outputs are multiplied with."""
        visible = self.t.get(f"layers.{block}.router.visible")
        rare_gate = float(np.float32(self.s.get("mask.rare_gate", "0")))
        if visible is not None and rare_gate > 0 and visible[token].max() > 1:
            return rare_gate * p / p.sum()
        scale = float(np.float32(self.s["router.scale"])) if self.router == "bias" else 1.0
        shares = self.s["router.renormalize"] == "true" or self.router == "noisy_topk"
        return scale * (p / p.sum() if shares else p)

    def forward(self, ids, logged, report):
        """Losses of the tokens ids[1:], following `logged` (block -> experts by position) through ties."""
        inputs, targets = ids[:-1], ids[1:]
        x = self.t["embedding"][inputs]
        for block in range(self.layers):
            name = f"layers.{block}."
            qkv = rmsnorm(x, self.t[name + "norm1"]) @ self.t[name + "qkv"].T
            x = x + attention(qkv, self.heads) @ self.t[name + "projection"].T
            y = rmsnorm(x, self.t[name + "norm2"])
            x = x + self.experts(block, y, inputs, logged, report)
        logits = rmsnorm(x, self.t["norm"]) @ self.t["embedding"].T
        top = logits.max(axis=1)
        return top + np.log(np.exp(logits - top[:, None]).sum(axis=1)) - logits[np.arange(len(targets)), targets]

    def experts(self, block, y, ids, logged, report):
        name = f"layers.{block}."
        into, out = self.t[name + "experts.in"], self.t[name + "experts.out"]
        if self.router == "dense":
            return feed_forward(y, into[0], out[0])
        result = np.zeros_like(y)
        p, usable = self.probabilities(block, y, ids)
        weight = np.zeros_like(p)
        preferred = self.preferences(block, y, p)
        for i, token in enumerate(ids):
            chosen, stake = self.choose(block, preferred[i], usable[i])
            if logged is not None:
                chosen = report.compare(chosen, logged.get(block, {}).get(i, NO_EXPERT), p[i], preferred[i], stake)
            weight[i, chosen] = self.weights(block, token, p[i, chosen])
        for e in np.nonzero(weight.any(axis=0))[0]:
            rows = np.nonzero(weight[:, e])[0]
            result[rows] += weight[rows, e][:, None] * feed_forward(y[rows], into[e], out[e])
        if name + "shared.in" in self.t:
            result += feed_forward(y, self.t[name + "shared.in"], self.t[name + "shared.out"])
        return result


class Report:
    def __init__(self):
        self.tokens = self.ties = self.wrong = self.gates = self.wrong_gates = self.documents = self.wrong_losses = 0
        self.worst_gate = self.worst_loss = 0.0

    def compare(self, chosen, logged, p, preferred, stake):
        """Counts a token's decisions; returns the experts to go on with. p: gates; preferred: chosen by."""
        experts, gates, step = logged
        self.tokens += 1
        self.gates += len(gates)
        worst = np.abs(p[experts] - gates).max(initial=0.0)
        self.worst_gate = max(self.worst_gate, worst)
        self.wrong_gates += not worst <= step + 1e-5
        if list(chosen) == list(experts):
            return chosen
        common = min(len(chosen), len(experts))
        differs = next((i for i in range(common) if chosen[i] != experts[i]), None)
        at_stake = stake if differs is None else abs(preferred[chosen[differs]] - preferred[experts[differs]])
        if at_stake <= TIE and self.is_one_tie(chosen, experts, preferred, differs):
            self.ties += 1
            return experts
        self.wrong += 1
        return chosen

    @staticmethod
    def is_one_tie(chosen, experts, preferred, differs):
        """Behind the tie as well, every place must hold an expert that is as good as ours there."""
        if differs is None:
            return abs(len(chosen) - len(experts)) == 1
        return len(chosen) == len(experts) and all(
            abs(preferred[a] - preferred[b]) <= TIE for a, b in zip(chosen[differs:], experts[differs:]))

    def compare_loss(self, ours, theirs):
        self.documents += 1
        error = abs(ours - theirs) / abs(theirs)
        self.worst_loss = max(self.worst_loss, error)
        self.wrong_losses += not error <= 1e-5  # NaN is wrong

    def show(self):
        print(f"routing: {self.tokens} tokens and blocks, {self.ties} ties within {TIE:g}, {self.wrong} others differ")
        print(f"gates: {self.gates}, largest difference {self.worst_gate:.2g}, {self.wrong_gates} tokens beyond the codec's step")
        print(f"document_loss: {self.documents} documents, largest relative difference {self.worst_loss:.2g}, "
              f"{self.wrong_losses} beyond 1e-5")
        return 1 if self.wrong or self.wrong_gates or self.wrong_losses or not self.documents else 0


def read_ids(blob, n_tokens):
    return np.frombuffer(blob, "<u2" if len(blob) == 2 * (n_tokens + 1) else "<u4").astype(int)


def read_routing(db, run_id, split, step):
    """sequence -> block -> position -> (experts, gates, half a step of the gates' codec)."""
    bits = int(db.execute("SELECT value FROM run_config WHERE run_id = ? AND key = 'log.gate_bits'", (run_id,)).fetchone()[0])
    steps = {(s, l): scale / 16384 / (2 ** bits - 1) / 2 for s, l, scale in db.execute(
        "SELECT block_id / 1024, block_id % 1024, scale FROM routing_block JOIN sequence ON sequence_id = block_id / 1024"
        " WHERE run_id = ? AND split = ? AND step = ?", (run_id, split, step))}
    routing = {}
    for sequence, layer, position, expert, gate in db.execute(
            "SELECT sequence_id, layer, position, expert, gate FROM routing WHERE run_id = ? AND split = ? AND step = ?"
            " ORDER BY sequence_id, layer, position, slot", (run_id, split, step)):
        tokens = routing.setdefault(sequence, {}).setdefault(layer, {})
        tokens.setdefault(position, ([], [], steps[sequence, layer]))
        tokens[position][0].append(expert)
        tokens[position][1].append(gate)
    return routing


def check_split(db, run_id, model, split, report):
    step, = db.execute("SELECT max(step) FROM document_loss WHERE run_id = ? AND split = ?", (run_id, split)).fetchone()
    routing = read_routing(db, run_id, split, step) if model.router != "dense" else {}
    sums = {}
    for sequence, document, n_tokens, blob in db.execute(
            "SELECT sequence_id, document_id, n_tokens, tokens FROM sequence JOIN sample USING (sample_id)"
            " WHERE run_id = ? AND split = ? AND step = ? ORDER BY sequence_id", (run_id, split, step)).fetchall():
        losses = model.forward(read_ids(blob, n_tokens), routing.get(sequence, {}), report)
        sums[document] = sums.get(document, 0.0) + losses.sum()
    for document, loss in db.execute(
            "SELECT document_id, loss_sum FROM document_loss WHERE run_id = ? AND split = ? AND step = ?",
            (run_id, split, step)):
        if document in sums:  # a split's sequences are kept only when its decisions are
            report.compare_loss(sums[document], loss)


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    tensors, settings = read_checkpoint(sys.argv[3])
    db = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
    row = db.execute("SELECT run_id FROM run WHERE name = ?", (sys.argv[2],)).fetchone()
    if not row:
        sys.exit(f"no run '{sys.argv[2]}' in '{sys.argv[1]}'")
    report = Report()
    for split in ("probe", "valid"):
        check_split(db, row[0], Model(tensors, settings), split, report)
    sys.exit(report.show())


if __name__ == "__main__":
    main()
