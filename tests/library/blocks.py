"""python/moescope.py at the MoE blocks of torch models: blocks.py FOLDER. Blocks in the style of transformers' Mixtral,
OLMoE, Qwen-MoE and of its newer routers, written anew and small; each remembers what it chose. Exit status 1: what was
caught differs."""
import os
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "python"))
import moescope
import numpy as np
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

WIDTH, EXPERTS, B, T = 8, 6, 3, 5
failures = 0


def same(what, found, expected):
    global failures
    if found != expected:
        failures += 1
        print(f"{what}: {found!r}, not {expected!r}")


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(WIDTH, 4, bias=False), nn.Linear(4, WIDTH, bias=False)

    def forward(self, x):
        return self.down(torch.relu(self.up(x)))


def mix(x, experts, chosen, weights):
    out = torch.zeros_like(x)
    for e, expert in enumerate(experts):
        token, slot = torch.where(chosen == e)
        out.index_add_(0, token, expert(x[token]) * weights[token, slot, None])
    return out


class Mixtral(nn.Module):
    def __init__(self):
        super().__init__()
        self.num_experts, self.top_k = EXPERTS, 2
        self.gate = nn.Linear(WIDTH, EXPERTS, bias=False)
        self.experts = nn.ModuleList(Mlp() for _ in range(EXPERTS))

    def forward(self, hidden):
        x = hidden.view(-1, WIDTH)
        logits = self.gate(x)
        weights, self.chosen = torch.topk(logits.softmax(dim=1, dtype=torch.float), self.top_k, dim=-1)
        self.raw = weights
        return mix(x, self.experts, self.chosen, weights / weights.sum(-1, keepdim=True)).view_as(hidden), logits


class Olmoe(Mixtral):  # more experts a token, weights not made to sum to 1
    def __init__(self):
        super().__init__()
        self.top_k = 3

    def forward(self, hidden):
        x = hidden.view(-1, WIDTH)
        self.raw, self.chosen = torch.topk(self.gate(x).softmax(dim=1, dtype=torch.float), self.top_k, dim=-1)
        return (mix(x, self.experts, self.chosen, self.raw).view_as(hidden),)


class QwenMoe(Mixtral):  # an expert for all, behind a gate of its own
    def __init__(self):
        super().__init__()
        self.shared_expert, self.shared_expert_gate = Mlp(), nn.Linear(WIDTH, 1, bias=False)

    def forward(self, hidden):
        x = hidden.view(-1, WIDTH)
        out, logits = super().forward(hidden)
        return out + (torch.sigmoid(self.shared_expert_gate(x)) * self.shared_expert(x)).view_as(hidden), logits


class Router(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight, self.top_k = nn.Parameter(torch.randn(EXPERTS, WIDTH)), 2

    def forward(self, x):
        p = nn.functional.linear(x.view(-1, WIDTH), self.weight).softmax(dim=-1)
        self.raw, self.chosen = p.topk(self.top_k, dim=-1)
        return p, self.raw / self.raw.sum(-1, keepdim=True), self.chosen


class Fused(nn.Module):  # all experts in one tensor
    def __init__(self):
        super().__init__()
        self.num_experts, self.down = EXPERTS, nn.Parameter(torch.randn(EXPERTS, WIDTH, WIDTH))


class Newer(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate, self.experts = Router(), Fused()

    def forward(self, hidden):
        _, weights, self.chosen = self.gate(hidden)
        self.raw = self.gate.raw
        x = hidden.view(-1, WIDTH)
        out = torch.einsum("tk,tkoi,ti->to", weights, self.experts.down[self.chosen], x)
        return out.view_as(hidden), weights


class Model(nn.Module):
    """A dense block and four of experts."""

    def __init__(self, again=False):
        super().__init__()
        self.again = again
        self.layers = nn.ModuleList([nn.Module() for _ in range(5)])
        for layer, mlp in zip(self.layers, (Mlp(), Mixtral(), Olmoe(), QwenMoe(), Newer())):
            layer.mlp = mlp

    def forward(self, x):
        for layer in self.layers:
            out = checkpoint(layer.mlp, x) if self.again else layer.mlp(x)
            x = x + (out[0] if isinstance(out, tuple) else out)
        return x

    def moe(self):
        return [(i, self.layers[i].mlp) for i in range(1, 5)]


torch.manual_seed(1)
t32, t64 = torch.ones(3, 2), torch.arange(6)
same("a float32 tensor is read in place", moescope._array(t32, np.float32).ctypes.data, t32.data_ptr())
same("so is one with a gradient", moescope._array(t32.clone().requires_grad_(), np.float32).tolist(), [[1, 1]] * 3)
same("an int64 tensor is converted", moescope._array(t64, np.int32).dtype, np.int32)
same("bfloat16 is converted", moescope._array(t32.bfloat16(), np.float32).tolist(), [[1, 1]] * 3)

model = Model()
same("blocks", [(i, type(b).__name__) for i, b in moescope.moe_blocks(model)],
     [(1, "Mixtral"), (2, "Olmoe"), (3, "QwenMoe"), (4, "Newer")])
of_expert, of_fused = 2 * WIDTH * 4, WIDTH * WIDTH
same("layers", moescope.layers_of(model),
     [moescope.Layer(1, EXPERTS, 2, "topk", of_expert), moescope.Layer(2, EXPERTS, 3, "topk", of_expert),
      moescope.Layer(3, EXPERTS, 2, "topk", of_expert, 1, of_expert), moescope.Layer(4, EXPERTS, 2, "topk", of_fused)])


def caught(model, x):
    watch = moescope.Watch(model)
    with watch:
        y = model(x)
    if y.requires_grad:
        y.sum().backward()
    model(x)  # outside
    found = watch.take()
    watch.remove()
    return found


for again in (False, True):
    model = Model(again)
    x = torch.randn(B, T, WIDTH, requires_grad=again)
    found = caught(model, x)
    same("caught layers", [layer for layer, _ in found], [1, 2, 3, 4])
    for (layer, c), (_, block) in zip(found, model.moe()):
        name = type(block).__name__
        same(f"{name}: experts", c.experts.tolist(), block.chosen.tolist())
        same(f"{name}: gates", torch.allclose(c.gates, block.raw, atol=1e-6), True)
        same(f"{name}: probabilities", torch.allclose(c.probability.sum(-1), torch.ones(B * T)), True)
        same(f"{name}: no gradient is kept", c.probability.requires_grad, False)

try:
    moescope.Watch(Mlp())
    same("a model without experts", "watched", "refused")
except ValueError:
    pass

# ---- into a logbook ----

path = os.path.join(sys.argv[1], "blocks.db")
model, watch = Model(), None
watch = moescope.Watch(model)
documents = [moescope.Document(f"d{i}", f"domain{i % 2}", "probe", 10 * T, 10 * T) for i in range(B)]
with moescope.Logbook(path) as log:
    corpus = log.add_corpus("blocks", documents)
    with log.begin_run("blocks", corpus, moescope.layers_of(model)) as run, run.step(0) as s:
        with watch:
            model(torch.randn(B, T, WIDTH))
        s.routed("probe", range(B), torch.arange(B * (T + 1)).view(B, T + 1), torch.ones(B, T), watch)
db = sqlite3.connect(path)
for layer, block in model.moe():
    logged = [e for e, in db.execute("SELECT expert FROM routing WHERE layer = ? ORDER BY sequence_id, position, slot", [layer])]
    same(f"layer {layer} in the logbook", logged, block.chosen.flatten().tolist())
print("failed" if failures else "done")
sys.exit(failures > 0)
