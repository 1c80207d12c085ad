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

# ---- routers that choose otherwise ----


class Scored(nn.Module):
    """A router as DeepSeek-V3's: sigmoid scores, chosen by what a bias adds to them; its output in many shapes."""

    def __init__(self, gives, biased=True):
        super().__init__()
        self.weight, self.gives = nn.Parameter(torch.randn(EXPERTS, WIDTH)), gives
        if biased:
            self.register_buffer("e_score_correction_bias", torch.randn(EXPERTS))
        self.buffer = torch.zeros(B * T, 2, dtype=torch.long)

    def forward(self, x):
        logits = nn.functional.linear(x.view(-1, WIDTH), self.weight)
        scores = logits.sigmoid()
        self.chosen = (scores + getattr(self, "e_score_correction_bias", 0)).topk(2, dim=-1).indices
        self.raw = scores.gather(-1, self.chosen)
        weights = self.raw / self.raw.sum(-1, keepdim=True)
        self.buffer.copy_(self.chosen)
        self.shown = {"indices": self.buffer, "int32": self.chosen.int(), "weights": weights, "scores": scores,
                      "logits": logits, "loss": logits.sum(), "none": None, "mask": scores > 0.5, "softmax": logits.softmax(-1),
                      "onehot": (scores > 0.5).long(), "text": "x", "few": self.chosen[1:]}
        parts = [self.shown[part] for part in self.gives.split()]
        return parts[0] if len(parts) == 1 else tuple(parts)


class Sigmoid(nn.Module):
    def __init__(self, gate, **names):
        super().__init__()
        self.gate, self.experts, self.top_k = gate, Fused(), 2
        for name, value in names.items():
            setattr(self, name, value)

    def forward(self, hidden):
        out = self.gate(hidden)
        self.gate.__dict__.get("buffer", torch.zeros(1)).zero_()
        return out


def scored(gives, choose=None, **names):
    block = Sigmoid(Scored(gives, **names))
    watch = moescope.Watch(block, choose=choose)
    with torch.no_grad(), watch:
        block(torch.randn(B, T, WIDTH))
    return block.gate, watch.take()[0][1]


for gives, gates, probability in (
        ("indices weights", "weights", None), ("weights indices", "weights", None), ("int32 weights none", "weights", None),
        ("indices weights loss", "weights", None), ("indices", None, None), ("scores weights indices", "raw", None),
        ("logits weights indices", "weights", None), ("softmax weights indices", "of softmax", "softmax")):
    gate, c = scored(gives)
    same(f"{gives}: experts", c.experts.tolist(), gate.chosen.tolist())
    expected = {"weights": lambda: gate.shown["weights"], "raw": lambda: gate.raw, None: lambda: None,
                "of softmax": lambda: gate.shown["softmax"].gather(-1, gate.chosen)}[gates]()
    same(f"{gives}: gates", c.gates is expected or torch.equal(c.gates, expected), True)
    same(f"{gives}: probability", c.probability is None if probability is None else
         torch.equal(c.probability, gate.shown[probability]), True)
gate, c = scored("logits weights indices", biased=False)
same("logits beside indices", torch.allclose(c.probability, gate.shown["softmax"]), True)
same("gates of logits beside indices", torch.allclose(c.gates, gate.shown["softmax"].gather(-1, gate.chosen)), True)
gate, c = scored("softmax", biased=False)
same("a softmax alone", (torch.equal(c.probability, gate.shown["softmax"]),
                         torch.equal(c.gates, c.probability.topk(2).values)), (True, True))


def wrong(what, words, body):
    try:
        body()
    except ValueError as error:
        same(what, (words, words in str(error)), (words, True))
    else:
        same(what, "done", "refused")


for gives, words, biased in (
        ("logits", "(e_score_correction_bias); pass choose=", True), ("scores loss", "pass choose=", True),
        ("scores", "neither logits nor probabilities; pass choose=", False),
        ("scores mask", "nor indices", False), ("text", "nor indices", False), ("loss", "nor indices", False),
        ("logits onehot", "no indices of 2", False), ("scores few", "indices of 14 tokens, scores of 15", False)):
    wrong(gives, words, lambda: scored(gives, biased=biased))
for names, words in (({"e_score_correction_bias": nn.Parameter(torch.zeros(EXPERTS))}, "e_score_correction_bias"),
                     ({"n_group": 2}, "n_group=2"),
                     ({"config": type("Config", (), {"scoring_func": "sigmoid"})}, "scoring_func='sigmoid'")):
    block = Sigmoid(nn.Linear(WIDTH, EXPERTS, bias=False), **names)
    wrong(f"at once, {words}", f"({words}); pass choose=", lambda: moescope.Watch(block))
    moescope.Watch(block, choose=moescope.softmax_topk)
moescope.Watch(Sigmoid(nn.Linear(WIDTH, EXPERTS), n_group=1, config=type("Config", (), {"scoring_func": "softmax"})))


def by_bias(logits, k, gate):
    scores = logits.sigmoid()
    experts = (scores + gate.e_score_correction_bias).topk(k, dim=-1).indices
    return experts, scores.gather(-1, experts), None


for gives in ("logits", "logits weights none", "logits onehot mask"):
    gate, c = scored(gives, by_bias)
    same(f"choose with the gate, of {gives}", (c.experts.tolist(), c.gates.tolist()),
         (gate.chosen.tolist(), gate.raw.tolist()))
    gate, c = scored(gives, lambda logits, k, largest=True: ((-logits).topk(k).indices, None, None))
    same(f"choose without it, of {gives}", c.experts.tolist(), (-gate.shown["logits"]).topk(2).indices.tolist())
gate, c = scored("logits weights indices", lambda logits, k: ((-logits).topk(k).indices, None, None))
same("choose rather than indices", c.experts.tolist(), (-gate.shown["logits"]).topk(2).indices.tolist())
wrong("choose without logits", "no scores of 6 experts for choose=", lambda: scored("indices weights", by_bias))
wrong("a choice of fewer", "gates: shape (14, 2), not (15, 2)",
      lambda: scored("logits", lambda logits, k: (logits.topk(k).indices, logits.topk(k).values[1:], None)))

block = Mixtral()
with torch.no_grad():
    block.gate.weight.abs_().mul_(0.1)
watch = moescope.Watch(block)
with torch.no_grad(), watch:
    block(torch.rand(B, T, WIDTH))
same("logits that lie between 0 and 1", torch.allclose(watch.take()[0][1].gates, block.raw, atol=1e-6), True)

# ---- a softmax in 16 bits ----

for dtype, width in ((torch.bfloat16, 128), (torch.float16, 64)):
    p = (3 * torch.randn(50, width)).softmax(-1).to(dtype)
    kind, kept = moescope._distribution(p)
    sums = bool((kept.sum(-1) - 1).abs().max() < 2e-6)
    same(f"a softmax in {dtype}", (kind, kept.dtype, sums, torch.allclose(kept, p.float(), atol=1e-2)),
         ("probabilities", torch.float32, True, True))
same("logits in bfloat16", moescope._distribution(torch.randn(9, 4).bfloat16())[0], "logits")
same("more than 1", moescope._distribution(torch.tensor([[1.5, -0.5], [1, 0]]))[0], "logits")
same("zeros", moescope._distribution(torch.zeros(3, 4))[1].tolist(), [[0.25] * 4] * 3)
same("scores", moescope._distribution(torch.tensor([[0.5, 0.25]]))[0], "scores")

# ---- blocks within wrappers, and their numbers ----


class Wrapper(nn.Module):  # as those of gradient checkpointing and FSDP
    def __init__(self, module):
        super().__init__()
        self._checkpoint_wrapped_module = module

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self._checkpoint_wrapped_module, name)

    def forward(self, *arguments):
        return self._checkpoint_wrapped_module(*arguments)


model = Model()
for layer in model.layers:
    layer.mlp = Wrapper(Wrapper(layer.mlp))
same("wrapped blocks", [(i, type(b).__name__) for i, b in moescope.moe_blocks(model)],
     [(1, "Mixtral"), (2, "Olmoe"), (3, "QwenMoe"), (4, "Newer")])
same("what they choose", [c.experts.tolist() for _, c in caught(model, torch.randn(B, T, WIDTH))] != [], True)
for names, layers in ((["layers.3.mlp", "layers.5.mlp"], [3, 5]), (["layers.3.mlp._wrapped2.m"], [3]),
                      (["model.layers.0.1"], [0]),
                      (["encoder.block.1.layer.1.mlp", "encoder.block.3.layer.1.mlp"], [1, 3]),
                      (["stages.0.blocks.1", "stages.0.blocks.3", "stages.1.blocks.5"], [1, 3, 5]),
                      (["encoder.layers.1.mlp", "encoder.layers.3.mlp", "decoder.layers.1.mlp"], [0, 1, 2]),
                      (["layer3.moe", "layer4.moe"], [3, 4]), (["moe"], [0]), ([], [])):
    same(f"layers of {names}", moescope._layer_numbers(names), layers)

# ---- passes: one each, and what a backward pass repeats is none ----

model, watch = Model(), None
watch = moescope.Watch(model)
with watch:
    model(torch.randn(B, T, WIDTH))
    wrong("a second pass", "layer 1 routed twice", lambda: model(torch.randn(B, T, WIDTH)))
for again in (False, True):
    model = Model(again)
    watch, router = moescope.Watch(model), moescope.Watch()
    model.layers[1].mlp.register_forward_hook(lambda block, *_: router.record(1, block.chosen, n_experts=EXPERTS))
    with watch, router:
        for i in range(2):  # all of it within: the backward pass of the first comes before the second
            y = model(torch.randn(B, T, WIDTH, requires_grad=True))
            chosen = [b.chosen.tolist() for _, b in model.moe()]
            found = watch.take() if i == 0 else None
            recorded = router.take()
            y.sum().backward()
            same("caught after a backward pass", [c.experts.tolist() for _, c in found or watch.take()], chosen)
            same("recorded in a forward pass", [c.experts.tolist() for _, c in recorded], chosen[:1])
            same("recorded in a backward pass", router.take(), [])

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
