#!/usr/bin/python3
"""Trains a small Mixture-of-Experts language model in torch and writes its logbook: every token's routing decision.

    sh corpora/default.sh TEXT                      # 12 domains from Debian packages; or any text of your own:
    examples/train_moe.py TEXT --log log.db         # a folder DOMAIN/*.txt, or one file
    moescope check log.db && moescope report log.db -o report.html

The model is a transformer over bytes whose blocks are shaped as those of Mixtral; moescope.Watch finds them, so that
nothing in it knows of logbooks. --bench trains with and without logging in turns and says what it costs.
Needs Debian's python3-torch and python3-numpy.
"""
import argparse
import hashlib
import os
import statistics
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
import moescope

HELD_OUT = 25  # documents of a domain in each of valid and probe, where it has four times as many
PIECE = 2000  # bytes of a document, of a file that is cut into some


# ---- the model ----


class Expert(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.w1 = nn.Linear(width, hidden, bias=False)
        self.w2 = nn.Linear(hidden, width, bias=False)
        self.w3 = nn.Linear(width, hidden, bias=False)

    def forward(self, x):
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class SparseMoe(nn.Module):
    """Top-k of the softmax over all experts, then renormalised; keeps the logits for the balance loss."""

    def __init__(self, width, hidden, n_experts, top_k):
        super().__init__()
        self.top_k = top_k
        self.gate = nn.Linear(width, n_experts, bias=False)
        self.experts = nn.ModuleList(Expert(width, hidden) for _ in range(n_experts))

    def forward(self, x):
        flat = x.flatten(0, -2)
        self.logits = self.gate(flat)
        weights, chosen = self.logits.softmax(dim=-1).topk(self.top_k, dim=-1)
        weights = weights / weights.sum(dim=-1, keepdim=True)
        out = torch.zeros_like(flat)
        for e, expert in enumerate(self.experts):
            token, slot = (chosen == e).nonzero(as_tuple=True)
            if token.numel():
                out.index_add_(0, token, expert(flat[token]) * weights[token, slot, None])
        return out.view_as(x)


class Block(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.heads = o.heads
        self.before, self.between = nn.LayerNorm(o.width), nn.LayerNorm(o.width)
        self.qkv = nn.Linear(o.width, 3 * o.width, bias=False)
        self.out = nn.Linear(o.width, o.width, bias=False)
        self.block_sparse_moe = SparseMoe(o.width, o.hidden, o.experts, o.k)

    def attention(self, x):
        B, T, D = x.shape
        q, k, v = self.qkv(x).view(B, T, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-1, -2) / (D // self.heads) ** 0.5
        scores = scores.masked_fill(torch.ones(T, T, dtype=torch.bool).triu(1), float("-inf"))
        return self.out((scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(B, T, D))

    def forward(self, x):
        x = x + self.attention(self.before(x))
        return x + self.block_sparse_moe(self.between(x))


class Model(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.token = nn.Embedding(256, o.width)
        self.position = nn.Embedding(o.context, o.width)
        self.layers = nn.ModuleList(Block(o) for _ in range(o.layers))
        self.norm = nn.LayerNorm(o.width)

    def forward(self, ids):
        """ids (B, T + 1) -> loss of each prediction (B, T), nats."""
        x = self.token(ids[:, :-1]) + self.position.weight[: ids.shape[1] - 1]
        for layer in self.layers:
            x = layer(x)
        logits = F.linear(self.norm(x), self.token.weight) / x.shape[-1] ** 0.5
        return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view(ids.shape[0], -1)

    def balance_loss(self):
        """Of Switch, mean over blocks: 1 when loads and probabilities are even."""
        losses = []
        for layer in self.layers:
            moe = layer.block_sparse_moe
            p = moe.logits.softmax(dim=-1)
            share = p.topk(moe.top_k).indices.flatten().bincount(minlength=p.shape[1]).to(p.dtype)
            losses.append(p.shape[1] * (share / share.sum() * p.mean(dim=0)).sum())
        return torch.stack(losses).mean()


# ---- the text ----


def pieces(data):
    """A file as documents: at form feeds, else at ends of paragraphs about PIECE bytes apart."""
    if b"\f" in data:
        return [p for p in data.split(b"\f") if p.strip()]
    found, rest = [], data
    while len(rest) > 2 * PIECE:
        cut = rest.find(b"\n\n", PIECE) + 2
        if cut == 1 or cut > 2 * PIECE:
            cut = rest.find(b"\n", PIECE) + 1 or PIECE
        found.append(rest[:cut])
        rest = rest[cut:]
    return found + [rest]


def read_text(path):
    """[(domain, name, bytes)] of FOLDER/DOMAIN/*.txt, or of one file."""
    if os.path.isfile(path):
        domain, _ = os.path.splitext(os.path.basename(path))
        with open(path, "rb") as f:
            return [(domain, f"{domain}/{i}", p) for i, p in enumerate(pieces(f.read()))]
    found = []
    for domain in sorted(d.name for d in os.scandir(path) if d.is_dir()):
        for name in sorted(os.listdir(os.path.join(path, domain))):
            if name.endswith(".txt"):
                with open(os.path.join(path, domain, name), "rb") as f:
                    found += [(domain, f"{domain}/{name}" + (f"#{i}" if i else ""), p)
                              for i, p in enumerate(f.read().split(b"\f"))]
    return found


class Text:
    """Documents of at least a context, held out whole, by domain; (T + 1) bytes at a time."""

    def __init__(self, path, context, seed):
        self.context, random = context, np.random.default_rng(seed)
        found = [x for x in read_text(path) if len(x[2]) > context]
        self.domains = sorted({domain for domain, _, _ in found})
        if not found:
            sys.exit(f"train_moe.py: '{path}' has no document of more than {context} bytes (DOMAIN/*.txt, or a file)")
        self.bytes = [np.frombuffer(data, np.uint8) for _, _, data in found]
        self.split, self.of_domain = [""] * len(found), {d: [] for d in self.domains}
        for i, (domain, _, _) in enumerate(found):
            self.of_domain[domain].append(i)
        for members in self.of_domain.values():
            order = random.permutation(members)
            held = min(HELD_OUT, len(order) // 4)
            for place, i in enumerate(order):
                self.split[i] = "valid" if place < held else "probe" if place < 2 * held else "train"
        self.documents = [
            moescope.Document(name, domain, self.split[i], len(data), len(data) - 1, hashlib.sha256(data).hexdigest())
            for i, (domain, name, data) in enumerate(found)]
        self.random = np.random.default_rng(seed + 1)
        self.train = {d: [i for i in m if self.split[i] == "train"] for d, m in self.of_domain.items()}
        self.weight = {d: np.array([len(self.bytes[i]) // context for i in m], float) for d, m in self.train.items()}

    def tokens(self):
        counts = np.zeros(256, np.int64)
        for i, data in enumerate(self.bytes):
            if self.split[i] == "train":
                counts += np.bincount(data, minlength=256)
        return [moescope.Token(chr(b), "piece", int(n)) if 32 <= b < 127 else moescope.Token(f"<0x{b:02X}>", "byte", int(n))
                for b, n in enumerate(counts)]

    def piece(self, document, offset):
        return self.bytes[document][offset : offset + self.context + 1].astype(np.int64)

    def batch(self, n):
        """Domains in equal parts, pieces within them alike. (documents, offsets, ids (n, T + 1))"""
        documents, offsets = [], []
        for domain in self.random.choice(self.domains, n):
            w = self.weight[domain]
            i = self.train[domain][self.random.choice(len(w), p=w / w.sum())]
            documents.append(i)
            offsets.append(self.context * int(self.random.integers((len(self.bytes[i]) - 1) // self.context)))
        return documents, offsets, torch.from_numpy(np.stack([self.piece(i, o) for i, o in zip(documents, offsets)]))

    def held_out(self, split, n):
        """The first piece of each document, n at a time."""
        members = [i for i, s in enumerate(self.split) if s == split]
        for at in range(0, len(members), n):
            documents = members[at : at + n]
            yield documents, [0] * len(documents), torch.from_numpy(np.stack([self.piece(i, 0) for i in documents]))


# ---- training ----


class Trainer:
    def __init__(self, o):
        torch.manual_seed(o.seed)
        self.o, self.text, self.model = o, Text(o.text, o.context, o.seed), Model(o)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=o.learning_rate, betas=(0.9, 0.95), weight_decay=0.1)
        self.watch, self.seconds = moescope.Watch(self.model), 0.0

    def config(self):
        """By the names that moescope's own engine has for the same."""
        o, m = self.o, self.model
        all_of, experts = (sum(p.numel() for p in x.parameters()) for x in
                           (m, nn.ModuleList(b.block_sparse_moe.experts for b in m.layers)))
        active = all_of - experts + experts * o.k // o.experts
        return {"model": {"layers": o.layers, "width": o.width, "heads": o.heads, "context": o.context,
                          "parameters": all_of, "active_parameters": active,
                          "flops_per_token": 6 * active + 6 * o.layers * o.context * o.width},
                "router": {"name": "topk", "experts": o.experts, "k": o.k, "hidden": o.hidden, "renormalize": True},
                "loss": {"balance": o.balance},
                "train": {"steps": o.steps, "tokens_per_step": o.batch * o.context, "learning_rate": o.learning_rate},
                "data": {"corpus": o.text}}

    def begin_run(self, log):
        corpus = log.add_corpus(os.path.basename(os.path.normpath(self.o.text)), self.text.documents, self.text.tokens(),
                                vocabulary_name="bytes")
        return log.begin_run(self.o.name, corpus, moescope.layers_of(self.model), seed=self.o.seed, config=self.config(),
                             machine={"threads": torch.get_num_threads(), "torch": torch.__version__},
                             program=f"train_moe.py {moescope.version()}")

    def rate(self, step):
        warm, done = min(1, (step + 1) / 50), step / max(1, self.o.steps)
        return self.o.learning_rate * warm * (0.55 + 0.45 * np.cos(np.pi * done))

    def update(self, step, run=None):
        """One update; its pass is logged into the run."""
        begun = time.perf_counter()
        documents, offsets, ids = self.text.batch(self.o.batch)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate(step)
        if run is None:
            loss = self.model(ids)
        else:
            with self.watch:
                loss = self.model(ids)
        balance = self.model.balance_loss()
        lm_loss = loss.mean()
        total = lm_loss + self.o.balance * balance
        self.optimiser.zero_grad()
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        if run is not None:
            with run.step(step) as s:
                s.routed("train", documents, ids, loss, self.watch, offsets)
                seconds = time.perf_counter() - begun
                self.seconds += seconds
                for name, value in (("loss", total), ("lm_loss", lm_loss), ("balance_loss", balance), ("grad_norm", norm),
                                    ("learning_rate", self.rate(step)), ("seconds", self.seconds),
                                    ("tokens_per_second", loss.numel() / seconds)):
                    s.metric("train", name, value)
        return lm_loss.item()

    @torch.no_grad()
    def evaluate(self, s, split):
        """Into a step of the logbook; a mean loss over all tokens."""
        total, n = 0.0, 0
        for documents, offsets, ids in self.text.held_out(split, self.o.batch):
            with self.watch:
                loss = self.model(ids)
            s.routed(split, documents, ids, loss, self.watch, offsets)
            total, n = total + loss.sum().item(), n + loss.numel()
        if n:
            s.metric(split, "loss", total / n)
            s.metric(split, "lm_loss", total / n)
        return total / max(n, 1)

    def evaluations(self, run, step):
        o = self.o
        probe = step & (step - 1) == 0 or step % o.evaluate_every == 0 or step == o.steps
        if not probe:
            return
        with run.step(step) as s:
            self.evaluate(s, "probe")
            if step and (step % o.evaluate_every == 0 or step == o.steps):
                print(f"step {step}: valid {self.evaluate(s, 'valid'):.3f} nats a byte", file=sys.stderr)

    def train(self, run):
        for step in range(self.o.steps):
            self.evaluations(run, step)
            loss = self.update(step, run)
            if step % 20 == 0:
                print(f"step {step} of {self.o.steps}: {loss:.3f}", file=sys.stderr)
        self.evaluations(run, self.o.steps)


# ---- what logging costs ----

BLOCK = 2  # updates in a row, logged or not


def bench(trainer, run, pairs):
    """Blocks of updates with and without logging in turns, the order changing with each pair (so that what drifts
    falls on both alike): the median of their ratios, and its interval by order statistics."""
    step, ratios, means = 0, [], {True: [], False: []}
    for pair in range(-1, pairs):
        seconds = {}
        for logged in ((True, False) if pair % 2 else (False, True)):
            start = time.perf_counter()
            for _ in range(BLOCK):
                trainer.update(step, run if logged else None)
                step += 1
            seconds[logged] = (time.perf_counter() - start) / BLOCK
        if pair >= 0:  # the first is for warming up
            ratios.append(seconds[True] / seconds[False])
            for logged in means:
                means[logged].append(seconds[logged])
    ratios.sort()
    spread = int(0.98 * pairs**0.5 + 0.5)  # 95 %: pairs / 2 -+ 1.96 sqrt(pairs) / 2
    low, high = ratios[max(0, pairs // 2 - spread)], ratios[min(pairs - 1, (pairs - 1) // 2 + spread)]
    print(f"threads,pairs,seconds_off,seconds_on,ratio,low,high\n{torch.get_num_threads()},{pairs},"
          f"{statistics.median(means[False]):.4f},{statistics.median(means[True]):.4f},"
          f"{statistics.median(ratios):.4f},{low:.4f},{high:.4f}")


def options():
    p = argparse.ArgumentParser(description="Trains a small MoE language model and logs its routing.")
    p.add_argument("text", help="a folder DOMAIN/*.txt, or a file")
    p.add_argument("--log", required=True, metavar="DB", help="the logbook")
    p.add_argument("--name", default="torch", help="of the run")
    for name, default in (("steps", 200), ("seed", 0), ("layers", 4), ("width", 128), ("heads", 4), ("hidden", 256),
                          ("experts", 16), ("k", 2), ("context", 128), ("batch", 16), ("evaluate-every", 100),
                          ("threads", 0)):
        p.add_argument(f"--{name}", type=int, default=default, help=f"default {default}")
    p.add_argument("--balance", type=float, default=0.01, help="weight of the balance loss, default 0.01")
    p.add_argument("--learning-rate", type=float, default=0.002, help="default 0.002")
    p.add_argument("--bench", type=int, metavar="PAIRS", help="measure what logging costs, in so many pairs of blocks")
    return p.parse_args()


def main():
    o = options()
    if o.threads:
        torch.set_num_threads(o.threads)
    try:
        trainer = Trainer(o)
        with moescope.Logbook(o.log) as log, trainer.begin_run(log) as run:
            if o.bench:
                bench(trainer, run, o.bench)
            else:
                trainer.train(run)
    except KeyboardInterrupt:
        sys.exit(130)
    except (moescope.Error, OSError) as error:
        sys.exit(f"train_moe.py: {error}")


if __name__ == "__main__":
    main()
