"""Reference model R in PyTorch, on the batch that bench/step trains on: what a training step takes there.

Written as well as PyTorch allows on processors: fused projections, attention by batched matrix products, decisions
sorted by expert so that each expert is three products on rows that lie together, AdamW over few large tensors. The
first losses are printed, so that one sees that both train the same model on the same text.

    OPENBLAS_CORETYPE=Cooperlake python3 bench/rivals/torch_moe.py --blocks 5

Prints JSON: gflop and tokens of a step, seconds of each, GFLOP/s of sgemm (2048 x 2048 x 2048, best of three, as in
bench/step) beside each, losses before each of the first updates, and what with.
"""

import argparse
import glob
import json
import math
import os
import sys
import time

# OpenBLAS for OpenMP shares PyTorch's threads. The plain one has its own beside them, and with two of each on two
# cores that wait for work in a loop a step takes several times as long: there PyTorch's go to sleep at once.
SHARING = glob.glob("/usr/lib/*/openblas-openmp")
THREADS = {"LD_LIBRARY_PATH": SHARING[0]} if SHARING else {"OMP_WAIT_POLICY": "passive"}
# Memory that is given back to the system with every large tensor comes back as pages to be cleared.
MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_ARENA_MAX": "1",
}


def tune():
    """Starts anew with what has to be in the environment before libraries are loaded; what is set there, stays."""
    if any(name not in os.environ for name in MEMORY):
        threads = {} if "LD_LIBRARY_PATH" in os.environ else THREADS
        os.execve(sys.executable, [sys.executable, *sys.argv], {**threads, **MEMORY, **os.environ})


tune()

try:
    import torch
    from torch import nn
    from torch.nn import functional as F
except ImportError:
    sys.exit("torch_moe.py: PyTorch is missing; Debian has it: apt-get install python3-torch libopenblas0-openmp")

LAYERS, WIDTH, HEADS, CONTEXT, VOCABULARY, TOKENS = 4, 256, 4, 256, 8192, 4096
EXPERTS, CHOSEN, HIDDEN = 16, 2, 512
BALANCE, Z, RATE, DECAY, CLIP = 0.01, 0.001, 1e-4, 0.1, 1.0
WARM_UP = 3  # steps; bench/step shows the loss of the last of them

# ---- the batch of bench/shared/made_up.c ----

MASK = (1 << 64) - 1


def splitmix(state):
    state = (state + 0x9E3779B97F4A7C15) & MASK
    z = state
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return state, z ^ (z >> 31)


class Random:
    """base/random.c: xoshiro256++, of which a batch takes two numbers a token."""

    def __init__(self, seed, stream):
        state = splitmix(seed)[1] ^ stream
        self.s = []
        for _ in range(4):
            state, value = splitmix(state)
            self.s.append(value)

    def bits(self):
        s = self.s
        sum_ = (s[0] + s[3]) & MASK
        result = ((((sum_ << 23) | (sum_ >> 41)) & MASK) + s[0]) & MASK
        t = (s[1] << 17) & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = ((s[3] << 45) | (s[3] >> 19)) & MASK
        return result

    def below(self, n):  # n a power of two: no draw is refused
        return self.bits() % n


def made_up_batch():
    r = Random(1, 0)
    pairs = torch.tensor([[r.below(VOCABULARY), r.below(VOCABULARY)] for _ in range(TOKENS)])
    return pairs[:, 0].contiguous(), pairs[:, 1].contiguous()


# ---- the model ----


def rotary_tables():
    half = WIDTH // HEADS // 2
    angles = torch.arange(CONTEXT)[:, None] * 10000.0 ** (-torch.arange(half) / half)[None, :]
    return torch.cos(angles).repeat(1, 2), torch.sin(angles).repeat(1, 2)


def rotate(x, cosine, sine):
    a, b = x.chunk(2, dim=-1)
    return x * cosine + torch.cat((-b, a), dim=-1) * sine


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * self.weight


def matrix(*shape, deviation=0.02):
    return nn.Parameter(torch.randn(*shape) * deviation)


class Attention(nn.Module):
    def __init__(self, residual):
        super().__init__()
        self.qkv = matrix(3 * WIDTH, WIDTH)
        self.projection = matrix(WIDTH, WIDTH, deviation=residual)
        self.register_buffer("mask", torch.full((CONTEXT, CONTEXT), -math.inf).triu(1), persistent=False)
        for name, table in zip(("cosine", "sine"), rotary_tables()):
            self.register_buffer(name, table, persistent=False)

    def forward(self, x):  # (T, D)
        sequences, head = x.shape[0] // CONTEXT, WIDTH // HEADS
        qkv = F.linear(x, self.qkv).view(sequences, CONTEXT, 3, HEADS, head).permute(2, 0, 3, 1, 4)
        qk = rotate(qkv[:2], self.cosine, self.sine).reshape(2, sequences * HEADS, CONTEXT, head)
        v = qkv[2].reshape(sequences * HEADS, CONTEXT, head)
        scores = torch.baddbmm(self.mask.expand(sequences * HEADS, -1, -1), qk[0], qk[1].transpose(1, 2),
                               alpha=head**-0.5)
        y = torch.bmm(torch.softmax(scores, dim=-1), v)
        y = y.view(sequences, HEADS, CONTEXT, head).transpose(1, 2).reshape(-1, WIDTH)
        return F.linear(y, self.projection)


class Experts(nn.Module):
    def __init__(self, residual):
        super().__init__()
        self.router = matrix(EXPERTS, WIDTH)
        self.into = matrix(EXPERTS, 2 * HIDDEN, WIDTH)
        self.out = matrix(EXPERTS, WIDTH, HIDDEN, deviation=residual)

    def forward(self, x):  # (T, D) -> (T, D), balance and z loss
        logits = F.linear(x, self.router)
        probability = torch.softmax(logits, dim=-1)
        gate, expert = torch.topk(probability, CHOSEN, dim=-1)
        expert, order = torch.sort(expert.view(-1), stable=True)
        token = torch.div(order, CHOSEN, rounding_mode="floor")
        count = torch.bincount(expert, minlength=EXPERTS)
        rows = x.index_select(0, token).split(count.tolist())
        y = torch.cat([self.one(r, i, o) for r, i, o in zip(rows, self.into.unbind(), self.out.unbind())])
        y = y * gate.view(-1).index_select(0, order)[:, None]
        balance = EXPERTS * (count / expert.numel() * probability.mean(0)).sum()
        z = torch.logsumexp(logits, dim=-1).square().mean()
        return torch.zeros_like(x).index_add_(0, token, y), BALANCE * balance + Z * z

    @staticmethod
    def one(x, into, out):
        gate, value = F.linear(x, into).chunk(2, dim=-1)
        return F.linear(F.silu(gate) * value, out)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        residual = 0.02 / math.sqrt(2 * LAYERS)
        self.norm1, self.attention = Norm(), Attention(residual)
        self.norm2, self.experts = Norm(), Experts(residual)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        y, loss = self.experts(self.norm2(x))
        return x + y, loss


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = matrix(VOCABULARY, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = Norm()

    def forward(self, tokens, targets):
        x, other = F.embedding(tokens, self.embedding), 0.0
        for block in self.blocks:
            x, loss = block(x)
            other = other + loss
        loss = F.cross_entropy(F.linear(self.norm(x), self.embedding), targets)
        return loss, other


def gflop():
    """Of a step: model_flops_per_token of engine/model.c."""
    active = WIDTH * VOCABULARY + LAYERS * (
        4 * WIDTH**2 + 3 * WIDTH * CHOSEN * HIDDEN + EXPERTS * WIDTH)
    return 1e-9 * TOKENS * (6 * active + 12 * LAYERS * CONTEXT * WIDTH / 2)


# ---- training ----


class Trainer:
    def __init__(self):
        torch.manual_seed(1)
        self.model = Model()
        self.tokens, self.targets = made_up_batch()
        plain = [p for n, p in self.model.named_parameters() if n.endswith("norm.weight") or ".norm" in n
                 or n == "embedding"]
        others = [p for p in self.model.parameters() if all(p is not q for q in plain)]
        groups = [{"params": plain, "weight_decay": 0.0}, {"params": others, "weight_decay": DECAY}]
        self.optimiser = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.95), foreach=True)

    def step(self):
        loss, other = self.model(self.tokens, self.targets)
        self.optimiser.zero_grad(set_to_none=True)
        (loss + other).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimiser.step()
        return loss.item()


def limit():
    a, b, c = torch.rand(3, 2048, 2048).unbind()
    best = math.inf
    for _ in range(3):
        start = time.monotonic()
        torch.mm(a, b, out=c)
        best = min(best, time.monotonic() - start)
    return 2e-9 * 2048**3 / best


def blas():
    """The library that is in use."""
    with open("/proc/self/maps", encoding="ascii") as maps:
        paths = {line.split()[-1] for line in maps if "libopenblas" in line}
    return ", ".join(sorted(os.path.realpath(path) for path in paths)) or "not OpenBLAS"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--blocks", type=int, default=20, help="steps to time (default 20)")
    parser.add_argument("--threads", type=int, default=0, help="0: one per core")
    parser.add_argument("--profile", action="store_true", help="show where a step goes, time nothing")
    args = parser.parse_args()
    torch.set_num_threads(args.threads or os.cpu_count())
    torch.set_num_interop_threads(1)
    trainer = Trainer()
    losses = [trainer.step() for _ in range(WARM_UP)]
    if args.profile:
        with torch.profiler.profile() as p:
            trainer.step()
        print(p.key_averages().table(sort_by="self_cpu_time_total", row_limit=25))
        return
    seconds, limits = [], []
    for _ in range(args.blocks):
        limits.append(limit())
        time.sleep(0.05)  # as in bench/step: threads that still look for work would take a core from the step
        start = time.monotonic()
        trainer.step()
        seconds.append(time.monotonic() - start)
    print(json.dumps({"torch": torch.__version__, "blas": blas(), "threads": torch.get_num_threads(), "gflop": gflop(),
                      "tokens": TOKENS, "losses": losses, "seconds": seconds,
                      "limits": limits}))


main()
