"""Logs of routing as other engines write them, made here from known choices, and what became of them in a logbook.

    foreign_logs.py make FOLDER         writes a file of every format, and FOLDER/expected.json
    foreign_logs.py compare DB RUN FOLDER NAME
                                        every choice, gate, token and count of the run against expected.json's NAME

Shares no code with moescope: numpy, json, base64, zipfile, pickle and struct write; Python's sqlite3 reads.
"""
import base64
import io
import json
import pickle
import sqlite3
import struct
import sys
import types
import zipfile

import numpy as np

L, E, K = 3, 16, 4  # layers, experts, experts a token
expected = {}


def choices(rng, n, k=K, experts=E):
    """(n, L, k) distinct experts, in no order of their ids."""
    return np.stack([[rng.permutation(experts)[:k] for _ in range(L)] for _ in range(n)])


def expect(name, rows=(), loads=(), ids=()):
    """rows: (step, document, position, layer, slot, expert, gate or None); loads: (step, domain, layer, expert, n);
    ids: (document, position, token_id)."""
    expected[name] = {"rows": sorted(map(list, rows), key=lambda r: [str(r[1])] + [r[0]] + r[2:5]),
                      "loads": sorted(map(list, loads), key=str), "ids": sorted(map(list, ids), key=str)}


def rows_of(step, document, x, first=0, gates=None):
    return [(int(step), document, first + t, l, s, int(x[t, l, s]), None if gates is None else float(gates[t, l, s]))
            for t in range(x.shape[0]) for l in range(x.shape[1]) for s in range(x.shape[2]) if x[t, l, s] >= 0]


def megatron(folder, rng):
    rows, at = [], 0
    with open(folder + "/router_trace_rank0.jsonl", "w") as f:
        for step in range(3):
            for batch in range(2):
                x = choices(rng, 50 + batch)
                for l in range(L):
                    f.write(json.dumps({"step": step, "stage": "pre_dispatch", "block": "decoder", "layer": l, "rank": 0,
                                        "num_tokens": len(x), "topk": K, "top_indices": x[:, l].tolist()}) + "\n")
                rows += rows_of(step, "router_trace_rank0.jsonl", x, at)
                at += len(x)
    expect("megatron", rows)


def counts(folder, rng):
    loads = []
    files = [open(f"{folder}/tpe_rank{r}.jsonl", "w") for r in range(2)]
    for step in range(4):
        for l in range(L):
            n = rng.integers(0, 50, (2, 2, E // 2))  # rank, micro-batch, local expert
            for r in range(2):
                files[r].write(json.dumps({"iter": step, "block": "decoder", "layer": l, "tpe": n[r].tolist()}) + "\n")
            loads += [(step, None, l, e, int(n[e // (E // 2), :, e % (E // 2)].sum())) for e in range(E)]
    expect("counts", loads=loads)
    for f in files:
        f.close()


def npy64(x):
    b = io.BytesIO()
    np.save(b, x)
    return base64.b64encode(b.getvalue()).decode()


def answers(folder, rng):
    rows, ids = [], []
    with open(folder + "/vllm.jsonl", "w") as f:
        for i in range(30):
            n = int(rng.integers(20, 40))
            x, tokens = choices(rng, n), [int(t) for t in rng.integers(0, 90, n + 1)]
            if i == 3:
                x[:5] = -1
            name, kind = f"chat-{i}", np.int16 if i % 2 else np.int32
            f.write(json.dumps({"id": name, "domain": ["code", "prose"][i % 2], "prompt_token_ids": tokens[:8],
                                "choices": [{"index": 0, "text": "\u00e9\u2581\n", "token_ids": tokens[8:],
                                             "routed_experts": npy64(x.astype(kind))}]}) + "\n")
            rows += rows_of(0, name, x)
            ids += [(name, t, tokens[t]) for t in range(n)]
    expect("vllm", rows, ids=ids)
    prompt, answer = choices(rng, 12), choices(rng, 9)
    with open(folder + "/nested.json", "w") as f:
        json.dump([{"id": "one", "prompt_routed_experts": prompt.tolist(), "choices": [
            {"routed_experts": answer.tolist()}, {"routed_experts": None}]}], f, indent=1)
    expect("nested", rows_of(0, "one", prompt) + rows_of(0, "one#0", answer, 12))
    x = choices(rng, 21)
    with open(folder + "/sglang.json", "w") as f:
        json.dump({"meta_info": {"id": "q", "routed_experts": base64.b64encode(x.astype("<i4").tobytes()).decode()}}, f)
    expect("sglang-answer", rows_of(0, "q", x))
    rows = []
    with open(folder + "/headed.jsonl", "w") as f:  # NeMo RL's: the shape in front
        for kind in "uint8", "int16", "torch.uint16", "int32":
            x = choices(rng, 5)
            packed = base64.b64encode(x.astype(kind[-6:] if kind[0] == "t" else kind).tobytes()).decode()
            f.write(json.dumps({"id": kind, "routed_experts": f"nrlre1:{kind}:5x{L}x{K}:{packed}"}) + "\n")
            rows += rows_of(0, kind, x)
    expect("headed", rows)
    rows, ids = [], []
    with open(folder + "/c4_results.jsonl", "w") as f:
        for i in range(3):
            x, tokens = choices(rng, 32), [int(t) for t in rng.integers(0, 90, 32)]
            f.write(json.dumps({"input_ids": tokens, "predicted_token_ids": tokens,
                                "exp_ids": x.transpose(0, 2, 1).tolist()}) + "\n")
            rows += rows_of(0, f"c4_results:{i}", x)
            ids += [(f"c4_results:{i}", t, tokens[t]) for t in range(32)]
    expect("olmoe", rows, ids=ids)


# ---- torch.save without torch: the same pickle and zip, of stand-ins of the same names ----

def stand_ins():
    for name in ("torch", "torch._utils"):
        sys.modules[name] = types.ModuleType(name)
    def rebuild(*arguments):
        return arguments
    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    sys.modules["torch._utils"]._rebuild_tensor_v2 = rebuild
    for name in ("IntStorage", "LongStorage"):
        kind = type(name, (), {"__module__": "torch"})
        setattr(sys.modules["torch"], name, kind)
    return rebuild


class Tensor:
    def __init__(self, x):
        self.x = np.ascontiguousarray(x)


class Storage:
    def __init__(self, x):
        self.x = x


def save_pt(path, tree, rebuild):
    blobs = []

    class Pickler(pickle._Pickler):
        def persistent_id(self, o):
            if isinstance(o, Storage):
                blobs.append(o.x.tobytes())
                kind = "IntStorage" if o.x.dtype == np.int32 else "LongStorage"
                return ("storage", getattr(sys.modules["torch"], kind), str(len(blobs) - 1), "cpu", o.x.size)
            return None

        def reducer_override(self, o):
            return NotImplemented

    def reduce_tensor(o):
        stride = tuple(int(s // o.x.itemsize) for s in o.x.strides)
        return rebuild, (Storage(o.x), 0, o.x.shape, stride, False, {})
    Tensor.__reduce__ = reduce_tensor
    b = io.BytesIO()
    Pickler(b, protocol=2).dump(tree)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as z:
        z.writestr("archive/data.pkl", b.getvalue())
        z.writestr("archive/byteorder", "little")
        for i, blob in enumerate(blobs):
            z.writestr(f"archive/data/{i}", blob)
        z.writestr("archive/version", "3\n")


def recorder(folder, rng):
    rebuild = stand_ins()
    n = rng.integers(0, 40, (4, L, E)).astype(np.int32)
    n[2] = 0  # a place of the buffer that was never filled
    n[:, 1] = 0  # a dense layer
    save_pt(folder + "/stat.pt", {"rank": 0, "logical_count": Tensor(n), "average_utilization_rate_over_window": None},
            rebuild)
    passes = [0, 1, 3]
    expect("stat", loads=[(i, None, l, e, int(n[p, l, e])) for i, p in enumerate(passes) for l in (0, 2)
                          for e in range(E)])
    place = np.stack([rng.permutation(np.concatenate([np.arange(E), np.arange(4)])) for _ in range(L)])
    m = rng.integers(0, 40, (2, L, E + 4)).astype(np.int32)
    save_pt(folder + "/per_pass.pt", {"records": [
        {"forward_pass_id": 7 + i, "rank": 0, "gatherer_key": "primary", "global_physical_count": Tensor(m[i])}
        for i in range(2)], "last_physical_to_logical_map": Tensor(place.astype(np.int64))}, rebuild)
    expect("per_pass", loads=[(i, None, l, e, int(m[i, l][place[l] == e].sum())) for i in range(2) for l in range(L)
                              for e in range(E)])
    x = choices(rng, 20)
    ids = [int(t) for t in rng.integers(0, 90, 20)]
    back = [{int(e): p for p, e in enumerate(place[l])} for l in range(L)]
    physical = np.full((L, 20, 8), -1, np.int32)
    for l in range(L):
        physical[l, :, :K] = np.vectorize(back[l].get)(x[:, l])
    save_pt(folder + "/per_token.pt", {"records": [
        {"forward_pass_id": 0, "rank": 0, "gatherer_key": "primary", "input_ids": ids[:14], "positions": list(range(14)),
         "extend_seq_lens": [6, 8], "forward_mode": 1, "topk_ids_of_layer": Tensor(physical[:, :14]), "misc_objects": []},
        {"forward_pass_id": 1, "rank": 0, "gatherer_key": "primary", "input_ids": ids[14:], "positions": list(range(6)),
         "extend_seq_lens": None, "forward_mode": 2, "topk_ids_of_layer": Tensor(physical[:, 14:]), "misc_objects": []}],
        "last_physical_to_logical_map": Tensor(place.astype(np.int64))}, rebuild)
    expect("per_token", rows_of(0, "per_token:0#0", x[:6]) + rows_of(0, "per_token:0#1", x[6:14]) +
           rows_of(1, "per_token.pt", x[14:]),
           ids=[("per_token:0#0", t, ids[t]) for t in range(6)] + [("per_token:0#1", t, ids[6 + t]) for t in range(8)] +
           [("per_token.pt", t, ids[14 + t]) for t in range(6)])


# ---- arrays ----

def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def selected(z, how):
    """(T, L, E) scores: choices by rank, and their gates."""
    x = np.argsort(-z, -1, kind="stable")[..., :K]
    kept = np.take_along_axis(z, x, -1)
    gates = {"softmax-topk": np.take_along_axis(softmax(z), x, -1), "topk-softmax": softmax(kept),
             "sigmoid": 1 / (1 + np.exp(-kept))}[how]
    return x, gates


def safetensors(path, tensors):
    header, blobs, at = {}, [], 0
    for name, x, kind in tensors:
        b = x.tobytes()
        header[name] = {"dtype": kind, "shape": list(x.shape), "data_offsets": [at, at + len(b)]}
        at += len(b)
        blobs.append(b)
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def arrays(folder, rng):
    z = rng.normal(size=(60, L, E)).astype(np.float32)
    np.save(folder + "/tle.npy", z)
    np.save(folder + "/lte.npy", np.asfortranarray(z.transpose(1, 0, 2)))
    np.save(folder + "/probabilities.npy", softmax(z).transpose(1, 0, 2).astype(np.float32))
    for name, how in (("tle", "softmax-topk"), ("lte", "topk-softmax"), ("probabilities", "softmax-topk")):
        x, g = selected(z, how)
        expect(name, rows_of(0, name + ".npy", x, gates=g))
    ids, mask = rng.integers(1, 90, (4, 15)), np.ones((4, 15), np.int64)
    mask[1, 10:] = 0
    x, g = selected(z, "sigmoid")
    layers = {f"layer_{l}": z[:, l].reshape(4, 15, E) for l in range(L)}
    np.savez_compressed(folder + "/scores.npz", input_ids=ids, attention_mask=mask, **layers)
    rows, tokens = [], []
    for b in range(4):
        n = int(mask[b].sum())
        rows += rows_of(0, f"scores#{b}", x[15 * b:15 * b + n], gates=g[15 * b:15 * b + n])
        tokens += [(f"scores#{b}", t, int(ids[b, t])) for t in range(n)]
    expect("npz", rows, ids=tokens)
    np.save(folder + "/one_layer.npy", z[:, :1])
    x, g = selected(z[:, :1], "softmax-topk")
    expect("one-layer", rows_of(0, "one_layer.npy", x, gates=g))
    np.save(folder + "/batch.npy", z.transpose(1, 0, 2).reshape(L, 4, 15, E))  # each row is a document
    x, g = selected(z, "softmax-topk")
    expect("batch", sum((rows_of(0, f"batch#{b}", x[15 * b:15 * b + 15], gates=g[15 * b:15 * b + 15]) for b in range(4)), []))
    kind = np.repeat([5, 3, 5], 20)  # domains make documents where nothing else does
    np.savez(folder + "/domains.npz", domain_id=kind, **{f"layer_{l}": z[:, l] for l in range(L)})
    rows = []
    for d in 3, 5:
        rows += rows_of(0, f"domains: domain {d}", x[kind == d], gates=g[kind == d])
    expect("domains", rows)
    np.savez(folder + "/two.npz", a=z, b=z)
    np.savez(folder + "/one_twice.npz", layer_0=z[:, 0], **{"router_logits.0": z[:, 1]})
    np.savez(folder + "/kinds.npz", layer_0=z[:, 0], layer_1=softmax(z[:, 1]))
    half = softmax(z).astype(np.float16)  # which do not add up to 1
    np.save(folder + "/rounded.npy", half)
    x, _ = selected(half.astype(np.float32), "softmax-topk")
    expect("rounded", rows_of(0, "rounded.npy", x, gates=np.take_along_axis(half, x, -1).astype(np.float32)))
    owner = rng.integers(0, 3, 60) * (1 << 40)  # documents that come back go on
    np.savez(folder + "/mixed.npz", doc_id=owner, input_ids=np.arange(60), **{f"layer.{l}": z[:, l] for l in range(L)})
    x, g = selected(z, "softmax-topk")
    rows, tokens = [], []
    for d in sorted(set(owner)):
        mine = np.flatnonzero(owner == d)
        rows += rows_of(0, f"document {d}", x[mine], gates=g[mine])
        tokens += [(f"document {d}", i, int(t)) for i, t in enumerate(mine)]
    expect("comes-back", rows, ids=tokens)
    p = softmax(z[:, :1])
    p[40, 0] = [0.5] * E  # a row unlike the first ones
    np.save(folder + "/not_all.npy", np.repeat(p, 20, 0).astype(np.float32))
    np.savez(folder + "/wide_ids.npz", layer_0=z[:3, 0], input_ids=np.array([1, (1 << 33) + 1, 2]))
    half = (z.view(np.uint32) >> 16).astype(np.uint16)  # bfloat16
    safetensors(folder + "/router.safetensors", [(f"router_logits.{l}", np.ascontiguousarray(half[:, l]), "BF16")
                                                 for l in range(L)])
    x, g = selected((half.astype(np.uint32) << 16).view(np.float32), "softmax-topk")
    expect("safetensors", rows_of(0, "router.safetensors", x, gates=g))
    x = choices(rng, 5000)
    np.save(folder + "/routed.npy", x.astype(np.int16))
    expect("routed", rows_of(0, "routed.npy", x))
    n = rng.integers(0, 50, (3, L, E))
    safetensors(folder + "/rank0.safetensors", [(f"{10 * i}_{l}", n[i, l].astype(np.int64), "I64")
                                                for l in range(L) for i in (2, 0, 1)])
    with open(folder + "/meta_info.json", "w") as f:
        json.dump({"num_experts": E, "num_experts_per_token": K}, f)
    expect("tensorrt", loads=[(10 * i, None, l, e, int(n[i, l, e])) for i in range(3) for l in range(L)
                              for e in range(E)])


def gguf(path, n):
    def text(s):
        return struct.pack("<Q", len(s)) + s.encode()
    tensors = []
    for l in range(n.shape[0]):
        for which in ("gate", "up", "down"):
            tensors.append((f"blk.{l}.ffn_{which}_exps.weight.counts", n[l]))
        tensors.append((f"blk.{l}.ffn_gate_inp.weight.counts", np.array([n[l].sum() / K])))
    head = b"GGUF" + struct.pack("<Iqq", 3, len(tensors), 1) + text("general.type") + struct.pack("<i", 8) + text("imatrix")
    data = b""
    for name, x in tensors:
        head += text(name) + struct.pack("<Iqqi", 2, 1, len(x), 0) + struct.pack("<Q", len(data))
        data += x.astype("<f4").tobytes()
        data += b"\0" * (-len(data) % 32)
    with open(path, "wb") as f:
        f.write(head + b"\0" * (-len(head) % 32) + data)


def imatrix(folder, rng):
    loads, sums = [], np.zeros((L, E), int)
    for domain in ("code", "prose"):
        n = rng.integers(0, 50, (L, E)) * K
        gguf(f"{folder}/{domain}.gguf", n)
        sums += n
        loads += [(0, domain, l, e, int(n[l, e])) for l in range(L) for e in range(E)]
    expect("imatrix", loads=loads + [(0, None, l, e, int(sums[l, e])) for l in range(L) for e in range(E)])


# ---- tables, and what stands beside a log ----

def tables(folder, rng):
    x, rows = choices(rng, 40), []
    g = -np.sort(-rng.random((40, L, K)))
    with open(folder + "/table.csv", "w", newline="\r\n") as f:
        f.write("iteration,document,domain,block,position,slot,expert,gate\n")
        for step in range(2):
            for t in range(20):
                for l in range(L):
                    for s in range(K):
                        f.write(f'{step},"a ""b"", {step}",{"xy"[step]},{l},{t},{s},{x[20 * step + t, l, s]},'
                                f"{g[20 * step + t, l, s]:.6f}\n")
            rows += rows_of(step, f'a "b", {step}', x[20 * step:20 * step + 20], gates=g[20 * step:20 * step + 20])
    expect("csv", rows)
    with open(folder + "/table.jsonl", "w") as f:
        for l in range(L):
            for t in range(40):
                f.write(json.dumps({"layer_idx": l, "token_idx": t, "selected_ids": x[t, l].tolist(),
                                    "gate_weights": g[t, l].tolist()}) + "\n")
    expect("jsonl", rows_of(0, "table.jsonl", x, gates=g))
    n = rng.integers(0, 50, (L, E))
    with open(folder + "/old_sglang.csv", "w") as f:
        f.write("layer_id,expert_id,count\n")
        f.writelines(f"{l},{e},{n[l, e]}\n" for l in range(L) for e in range(E))
    expect("old-sglang", loads=[(0, None, l, e, int(n[l, e])) for l in range(L) for e in range(E)])
    x = choices(rng, 10)
    with open(folder + "/moe_trace.csv", "w") as f:
        f.write("layer,expert\n")
        for first, end in ((0, 6), (6, 10)):  # what passed together
            for l in range(L):
                f.writelines(f"{l},{e}\n" for t in range(first, end) for e in x[t, l])
    expect("moe-trace", rows_of(0, "moe_trace.csv", x))


def beside(folder, rng):
    x, ids = choices(rng, 100), rng.integers(0, 90, 101)
    np.save(folder + "/stream.npy", x.astype(np.int32))
    np.save(folder + "/ids.npy", ids)
    with open(folder + "/ids.txt", "w") as f:
        f.write("\n".join(map(str, ids)))
    with open(folder + "/documents.csv", "w") as f:
        f.write("document,domain,first,length,language\nd0,code,0,30,c\nd1,prose,30,50,en\nd2,code,80,20,c\n")
    with open(folder + "/documents.jsonl", "w") as f:
        for name, domain, first in (("d0", "code", 0), ("d1", "prose", 30), ("d2", "code", 80)):
            f.write(json.dumps({"document": name, "domain": domain, "first": first}) + "\n")
    rows, tokens = [], []
    for name, a, b in (("d0", 0, 30), ("d1", 30, 80), ("d2", 80, 100)):
        rows += rows_of(0, name, x[a:b])
        tokens += [(name, t - a, int(ids[t])) for t in range(a, b)]
    expect("stream", rows, ids=tokens)
    with open(folder + "/tokenizer.json", "w") as f:
        json.dump({"added_tokens": [{"id": 0, "content": "<s>", "special": True}],
                   "model": {"type": "BPE", "vocab": {**{f"\u0120w{i}": i for i in range(1, 80)},
                                                      "\u00e2\u0124\u00ac": 80, "\u00e2": 81}, "merges": ["a b"]}}, f)


def make(folder):
    rng = np.random.default_rng(1)
    for write in (megatron, counts, answers, recorder, arrays, imatrix, tables, beside):
        write(folder, rng)
    with open(folder + "/expected.json", "w") as f:
        json.dump(expected, f)


def compare(db, run, folder, name):
    want = json.load(open(folder + "/expected.json"))[name]
    q = sqlite3.connect(f"file:{db}?mode=ro", uri=True).execute
    key = (q("SELECT run_id FROM run WHERE name = ?", (run,)).fetchone()[0],)
    got = q('SELECT r.step, d.name, m."offset" + r.position, r.layer, r.slot, r.expert, r.gate FROM routing AS r '
            "JOIN sample AS m USING (sample_id) JOIN document AS d ON d.document_id = r.document_id "
            "WHERE r.run_id = ?", key).fetchall()
    got = [(a, d.rsplit("/", 1)[-1], *rest) for a, d, *rest in got]
    got = sorted(map(list, got), key=lambda r: [str(r[1])] + [r[0]] + r[2:5])
    assert len(got) == len(want["rows"]), f"{name}: {len(got)} choices, not {len(want['rows'])}"
    for a, b in zip(got, want["rows"]):
        assert a[:6] == b[:6], f"{name}: {a}, not {b}"
        assert (a[6] is None) == (b[6] is None) and (a[6] is None or abs(a[6] - b[6]) < 2e-4), f"{name}: {a}, not {b}"
    if want["loads"]:
        got = q("SELECT step, d.name, layer, expert, assignments FROM expert_load LEFT JOIN domain AS d USING (domain_id) "
                "WHERE run_id = ?", key).fetchall()
        got = [r for r in got if r[1] != "unknown"]
        assert sorted(map(list, got), key=str) == want["loads"], f"{name}: other counts"
    if want["ids"]:
        got = q('SELECT DISTINCT d.name, m."offset" + r.position, r.token_id FROM routing AS r JOIN sample AS m USING '
                "(sample_id) JOIN document AS d ON d.document_id = r.document_id WHERE r.run_id = ?", key).fetchall()
        got = {(d.rsplit("/", 1)[-1], p): i for d, p, i in got}
        for d, p, i in want["ids"]:
            assert got.get((d, p), i) == i, f"{name}: token {p} of {d} is {got[d, p]}, not {i}"
        assert len(got) >= len(want["ids"]) - 5, f"{name}: tokens are missing"
    print(f"{name}: {len(want['rows'])} choices, {len(want['loads'])} counts, {len(want['ids'])} tokens")


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2])
    else:
        compare(*sys.argv[2:6])
