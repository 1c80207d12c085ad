#!/usr/bin/python3
"""Files as other engines write them, and what is in them: foreign.py KIND FOLDER.

Every NAME comes with NAME.expected, a line for each array and each note:

    array NAME TYPE DIMENSIONS | SHAPE | VALUES    (NAME - where it is empty; values in C order)
    note KEY TEXT

numpy writes .npy and .npz, torch (kind "torch") .pt; the rest is laid out here by hand, byte after byte, so that
nothing of moescope vouches for itself. Exit status 3: the writer is not installed.
"""

import io
import json
import pickle
import random
import struct
import sys
import types
import zipfile
from collections import OrderedDict

kind, folder = sys.argv[1:]


def store(name, content, arrays, notes=()):
    with open(f"{folder}/{name}", "wb") as f:
        f.write(content)
    expect(name, arrays, notes)


def expect(name, arrays, notes=()):
    with open(f"{folder}/{name}.expected", "w", encoding="utf-8") as f:
        for array, dtype, shape, values in arrays:
            words = " ".join(repr(v) if isinstance(v, float) else str(int(v)) for v in values)
            f.write(f"array {array or '-'} {dtype} {len(shape)} | {' '.join(map(str, shape))} | {words}\n")
        for key, text in notes:
            f.write(f"note {key} {text}\n")


def of_numpy(name, x):
    """An array as a line of what is expected."""
    short = {"b": "bool", "i": f"i{8 * x.itemsize}", "u": f"u{8 * x.itemsize}", "f": f"f{8 * x.itemsize}"}
    return name, short[x.dtype.kind], x.shape, x.ravel().tolist()


def samples():
    """Arrays of every kind of number, with what lies at its ends."""
    import numpy as np

    rng = np.random.default_rng(7)
    for dtype in "b1 i1 u1 i2 u2 i4 u4 i8 u8".split():
        ends = [False, True] if dtype == "b1" else [np.iinfo(dtype).min, np.iinfo(dtype).max]
        x = rng.integers(0, 2 if dtype == "b1" else 100, (5, 3, 2)).astype(dtype)
        x.ravel()[:2] = ends
        yield dtype, x
    for dtype in "f2 f4 f8".split():
        x = rng.normal(0, 100, (4, 7)).astype(dtype)
        info = np.finfo(dtype)
        x.ravel()[:12] = [0, -0.0, 1, -3, info.max, info.min, info.tiny, info.smallest_subnormal, np.inf, -np.inf, np.nan, 0.1]
        yield dtype, x
    yield "f4", np.arange(-20, 20, dtype="f4").reshape(2, 20)
    yield "f2", np.arange(-2048, 2049, dtype="f2")
    yield "u2", rng.integers(0, 65536, (3, 5, 0), dtype="u2")
    yield "i4", np.array(-7, dtype="i4")
    yield "u1", rng.integers(0, 256, 150001, dtype="u1")
    yield "i2", rng.integers(-9, 9, (37, 300, 6), dtype="i2")
    yield "i8", rng.integers(-9, 9, (1, 2, 1, 3, 1, 2, 1, 2), dtype="i8")


def npy():
    import numpy as np

    def file(x, version=None):
        f = io.BytesIO()
        np.lib.format.write_array(f, x, version)
        return f.getvalue()

    for i, (dtype, x) in enumerate(samples()):
        for order in "<>":
            y = x.astype(order + dtype)
            store(f"{i}{'lb'[order == '>']}c.npy", file(y), [of_numpy("", y)])
            store(f"{i}{'lb'[order == '>']}f.npy", file(np.array(y, order="F")), [of_numpy("", y)])
        for version in (1, 0), (2, 0), (3, 0):
            store(f"{i}v{version[0]}.npy", file(x, version), [of_numpy("", x)])
    store("transposed.npy", file(np.arange(1000000, dtype="u2").reshape(10, 1000, 100).T),
          [of_numpy("", np.arange(1000000, dtype="u2").reshape(10, 1000, 100).T)])
    store("narrow.npy", file(np.asfortranarray(np.arange(70000, dtype="f4").reshape(7000, 10))),
          [of_numpy("", np.arange(70000, dtype="f4").reshape(7000, 10))])
    # what numpy would not write so, and reads
    plain = b"\x93NUMPY\x01\x00"
    for i, header in enumerate([b'{"shape" : (2L,),"descr":"|u1","fortran_order" :False}',
                                b"{'descr':'<u1','fortran_order':True,'shape':(2,)}\n",
                                b"{'fortran_order': False, 'descr': '>u1', 'shape': ( 1,\t2 ,) , }   \n"]):
        shape = (1, 2) if i == 2 else (2,)
        store(f"odd{i}.npy", plain + len(header).to_bytes(2, "little") + header + b"\x07\xff", [("", "u8", shape, [7, 255])])


# ---- by hand ----

CODES = {"bool": "B", "i8": "b", "u8": "B", "i16": "h", "u16": "H", "i32": "i", "u32": "I", "i64": "q", "u64": "Q",
         "f16": "e", "f32": "f", "f64": "d"}


def pack(dtype, values):
    if dtype == "bf16":
        return b"".join(struct.pack("<f", v)[2:] for v in values)
    return struct.pack(f"<{len(values)}{CODES[dtype]}", *values)


def unpack(dtype, content):
    """What was packed, rounded as the type has it."""
    if dtype == "bf16":
        return [struct.unpack("<f", b"\0\0" + content[i:i + 2])[0] for i in range(0, len(content), 2)]
    return list(struct.unpack(f"<{len(content) // struct.calcsize(CODES[dtype])}{CODES[dtype]}", content))


def handmade():
    """(name, type, shape, bytes) of every type there is."""
    draw = random.Random(3)
    for dtype, code in CODES.items():
        width = struct.calcsize(code)
        if dtype[0] == "f":
            values = [draw.gauss(0, 9) for _ in range(22)] + [0.0, -0.0, 1.0, float("inf"), float("nan"), -5.0, 6.0, 2.0]
        elif dtype == "bool":
            values = [draw.randrange(2) for _ in range(30)]
        else:
            low = 0 if dtype[0] == "u" else -(1 << 8 * width - 1)
            values = [draw.randrange(low, low + (1 << 8 * width)) for _ in range(28)] + [low, low + (1 << 8 * width) - 1]
        yield f"layer_{dtype}", dtype, (5, 3, 2), pack(dtype, values)
    yield "router.bf16", "bf16", (2, 3), pack("bf16", [1, -2, 0.5, 1e30, float("inf"), 3])
    yield "router.none", "f32", (0, 7), b""
    yield "router.one", "i32", (), pack("i32", [-12345])
    yield "router.long", "u16", (30001, 3), pack("u16", [draw.randrange(65536) for _ in range(90003)])


def lay_safetensors(tensors, metadata=None, pad=0):
    header, data = {}, b""
    if metadata is not None:
        header["__metadata__"] = metadata
    for name, dtype, shape, content in tensors:
        header[name] = {"dtype": dtype.upper(), "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode() + b" " * pad
    return struct.pack("<Q", len(text)) + text + data


def safetensors():
    tensors = list(handmade())
    expected = [(n, d, s, unpack(d, c)) for n, d, s, c in tensors]
    store("all.safetensors", lay_safetensors(tensors, {"format": "pt", "say": 'a "quoted" \u00e9 word'}, 5), expected,
          [("format", "pt"), ("say", 'a "quoted" \u00e9 word')])
    store("none.safetensors", struct.pack("<Q", 2) + b"{}", [])
    store("only-metadata.safetensors", lay_safetensors([], {"a": "b"}), [], [("a", "b")])
    counts = [(f"{i}_{layer}", "i64", (8,), pack("i64", range(i, i + 8))) for i in range(3000) for layer in (1, 2)]
    store("tensorrt.safetensors", lay_safetensors(counts), [(n, d, s, unpack(d, c)) for n, d, s, c in counts])
    strange = [("eights", "f8_e4m3", (3,), b"abc"), ("counts", "i64", (1,), pack("i64", [9]))]
    store("strange.safetensors", lay_safetensors(strange), [("eights", "unreadable", (3,), []), ("counts", "i64", (1,), [9])])
    # the data in another order than the header
    header = b'{"b":{"shape":[1],"data_offsets":[1,2],"dtype":"U8","more":[[]]}, ' \
             b'"a" :{"dtype":"I8","shape":[],"data_offsets":[0,1]}}'
    store("order.safetensors", struct.pack("<Q", len(header)) + header + b"\xff\xfe",
          [("b", "u8", (1,), [254]), ("a", "i8", (), [-1])])


GGML = {"f32": 0, "f16": 1, "i8": 24, "i16": 25, "i32": 26, "i64": 27, "f64": 28, "bf16": 30, "q8_0": 8}


def gguf_text(text):
    return struct.pack("<Q", len(text.encode())) + text.encode()


def gguf_value(kind, value):
    if kind == "string":
        return 8, gguf_text(value)
    if kind.startswith("["):
        number, _ = gguf_value(kind[1:], "" if kind == "[string" else 0)
        items = b"".join(gguf_value(kind[1:], v)[1] for v in value)
        return 9, struct.pack("<IQ", number, len(value)) + items
    kinds = ["u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "", "", "u64", "i64", "f64"]
    return kinds.index(kind), pack(kind, [value])


def lay_gguf(keys, tensors, version=3, alignment=32):
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(keys))
    for key, kind, value in keys:
        number, content = gguf_value(kind, value)
        head += gguf_text(key) + struct.pack("<I", number) + content
    data = b""
    for name, dtype, shape, content in tensors:
        data += b"\0" * (-len(data) % alignment)
        head += gguf_text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), GGML[dtype], len(data))
        data += content
    return head + b"\0" * (-len(head) % alignment) + data


def gguf():
    tensors = [t for t in handmade() if t[1] in GGML]
    expected = [(n, d, s, unpack(d, c)) for n, d, s, c in tensors]
    keys = [("general.type", "string", "imatrix"), ("imatrix.datasets", "[string", ["a b.txt", "c"]),
            ("imatrix.chunk_count", "u32", 4294967295), ("a.u8", "u8", 255), ("a.i8", "i8", -128), ("a.u16", "u16", 65535),
            ("a.i16", "i16", -32768), ("a.i32", "i32", -2147483648), ("a.f32", "f32", 0.1), ("a.bool", "bool", 1),
            ("a.u64", "u64", 2 ** 64 - 1), ("a.i64", "i64", -2 ** 63), ("a.f64", "f64", 0.1), ("a.list", "[i16", [-1, 2]),
            ("a.none", "[string", []), ("tokens", "[string", ["t"] * 1025), ("scores", "[f32", [0.5] * 2000)]
    notes = [("general.type", "imatrix"), ("imatrix.datasets.0", "a b.txt"), ("imatrix.datasets.1", "c"),
             ("imatrix.chunk_count", "4294967295"), ("a.u8", "255"), ("a.i8", "-128"), ("a.u16", "65535"), ("a.i16", "-32768"),
             ("a.i32", "-2147483648"), ("a.f32", "0.100000001"), ("a.bool", "true"), ("a.u64", "18446744073709551615"),
             ("a.i64", "-9223372036854775808"), ("a.f64", "0.10000000000000001"), ("a.list.0", "-1"), ("a.list.1", "2")]
    store("all.gguf", lay_gguf(keys, tensors), expected, notes)
    store("two.gguf", lay_gguf([], tensors[:2], version=2), expected[:2])
    store("aligned.gguf", lay_gguf([("general.alignment", "u32", 256)], tensors, alignment=256), expected,
          [("general.alignment", "256")])
    store("none.gguf", lay_gguf([], []), [])
    weight = "blk.0.ffn_down_exps.weight"
    imatrix = [(weight + ".in_sum2", "f32", (4, 3), pack("f32", range(12))),
               (weight + ".counts", "f32", (4, 1), pack("f32", [7, 0, 2, 9]))]
    store("imatrix.gguf", lay_gguf([("general.type", "string", "imatrix")], imatrix),
          [(n, d, s, unpack(d, c)) for n, d, s, c in imatrix], [("general.type", "imatrix")])
    store("quantised.gguf", lay_gguf([], [("w", "q8_0", (32,), b"x" * 34), ("c", "f32", (1,), pack("f32", [3]))]),
          [("w", "unreadable", (32,), []), ("c", "f32", (1,), [3.0])])


# ---- zip files ----


class Pipe(io.BytesIO):
    """Where nothing is taken back: sizes are behind what they are of."""

    def seekable(self):
        return False

    def seek(self, *to):
        raise OSError

    def tell(self):
        raise OSError


def zipped(entries, method=zipfile.ZIP_STORED, to=io.BytesIO, limit=None, comment=b"", level=None):
    f = to()
    kept, zipfile.ZIP64_LIMIT = zipfile.ZIP64_LIMIT, limit or zipfile.ZIP64_LIMIT
    with zipfile.ZipFile(f, "w", method, compresslevel=level) as z:
        for name, content in entries:
            z.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)) if method == zipfile.ZIP_STORED else name, content)
        z.comment = comment
    zipfile.ZIP64_LIMIT = kept
    return f.getvalue()


def npz():
    import numpy as np

    arrays, expected = {}, []
    for i, (dtype, x) in enumerate(samples()):
        arrays[f"{dtype}.{i}"] = x
        arrays[f"{dtype}.{i}f"] = np.asfortranarray(x) if x.ndim > 1 else x
    expected = [of_numpy(name, x) for name, x in arrays.items()]
    for name, save in ("stored", np.savez), ("deflated", np.savez_compressed):
        f = io.BytesIO()
        save(f, **arrays)
        store(f"{name}.npz", f.getvalue(), expected)
        mixed = {"names": np.array(["a", "bc"]), "a/b": np.arange(5), "objects": np.array([{}, None]),
                 "pair": np.zeros(2, "i4,f4")}
        f = io.BytesIO()
        save(f, **mixed)
        store(f"mixed-{name}.npz", f.getvalue(),
              [(n, "unreadable", (2,), []) if n != "a/b" else of_numpy(n, mixed[n]) for n in mixed])
    files = []
    for name, x in arrays.items():
        f = io.BytesIO()
        np.save(f, x)
        files.append((name + ".npy", f.getvalue()))
    store("piped.npz", zipped(files, zipfile.ZIP_DEFLATED, Pipe), expected)


def lay_npy(dtype, shape, content, fortran=False):
    code = "|b1" if dtype == "bool" else f"<{dtype[0]}{int(dtype[1:]) // 8}"
    head = f"{{'descr': '{code}', 'fortran_order': {fortran}, 'shape': ({''.join(f'{n},' for n in shape)}), }}"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + content


def archive():
    """Zip files without numpy."""
    tensors = [t for t in handmade() if t[1] != "bf16"]
    expected = [(n, d, s, unpack(d, c)) for n, d, s, c in tensors]
    files = [(name + ".npy", lay_npy(dtype, shape, content)) for name, dtype, shape, content in tensors]
    store("stored.npz", zipped(files), expected)
    store("deflated.npz", zipped(files, zipfile.ZIP_DEFLATED), expected)
    store("uncompressed.npz", zipped(files, zipfile.ZIP_DEFLATED, level=0), expected)
    store("piped.npz", zipped(files, zipfile.ZIP_STORED, Pipe), expected)
    store("zip64.npz", zipped(files, zipfile.ZIP_DEFLATED, limit=10), expected)
    store("comment.npz", zipped(files + [("read.me", b"PK"), ("folder/", b"")], comment=b"PK\5\6" * 1000), expected)
    small = [("ids.npy", lay_npy("u8", (3,), b"abc")), ("zeros.npy", lay_npy("i64", (100,), bytes(800)))]
    there = [("ids", "u8", (3,), b"abc"), ("zeros", "i64", (100,), bytes(100))]
    store("small.npz", zipped(small), there)
    store("small-deflated.npz", zipped(small, zipfile.ZIP_DEFLATED), there)
    for n in 99, 101:  # for a directory that lies to match
        with open(f"{folder}/uneven{n}", "wb") as f:
            f.write(zipped([("zeros.npy", lay_npy("i64", (n,), bytes(800)))], zipfile.ZIP_DEFLATED))
    far = zipped(small, limit=10)  # and what is at the end leaves all to zip64
    far = far[:-14] + b"\xff" * 12 + far[-2:]
    store("small64.npz", far, there)


# ---- torch.save's files, without torch ----

STORAGES = {"bool": "BoolStorage", "i8": "CharStorage", "u8": "ByteStorage", "i16": "ShortStorage", "i32": "IntStorage",
            "i64": "LongStorage", "f16": "HalfStorage", "bf16": "BFloat16Storage", "f32": "FloatStorage", "f64": "DoubleStorage"}
DTYPES = {"u16": "uint16", "u32": "uint32", "u64": "uint64"}  # these have no class of storages


def pretend(module, *names):
    """Something to be pickled by its name."""
    sys.modules[module] = made = types.ModuleType(module)
    for name in names:
        kept = type(name, (), {"__module__": module, "__qualname__": name})
        setattr(made, name, kept)
    return made


class Storage:
    def __init__(self, dtype, content, key):
        self.dtype, self.content, self.key = dtype, content, key


class Tensor:
    """Laid out as torch.save would, from a storage."""

    def __init__(self, storage, dtype, offset, shape, strides):
        self.storage, self.dtype, self.view = storage, dtype, (offset, tuple(shape), tuple(strides))

    def __reduce__(self):
        arguments = self.storage, *self.view, False, OrderedDict()
        if self.dtype in DTYPES:
            dtype = getattr(sys.modules["torch"], DTYPES[self.dtype])
            return Call("torch._utils", "_rebuild_tensor_v3"), (*arguments, dtype)
        return Call("torch._utils", "_rebuild_tensor_v2"), arguments

    def values(self):
        every = unpack(self.dtype, self.storage.content)
        offset, shape, strides = self.view
        places = [offset]
        for n, stride in zip(shape, strides):
            places = [p + i * stride for p in places for i in range(n)]
        return [every[p] for p in places]


class Call:
    """A function that is there by its name only."""

    def __init__(self, module, name):
        self.module, self.name = module, name

    def __reduce__(self):
        return f"{self.name}"

    def __call__(self):
        raise NotImplementedError


class Pickler(pickle._Pickler):
    """Python's own, in Python, so that names can be given out for what is not there."""

    def persistent_id(self, thing):
        if not isinstance(thing, Storage):
            return None
        torch = sys.modules["torch"]
        if thing.dtype in DTYPES:
            return "storage", sys.modules["torch.storage"].UntypedStorage, thing.key, "cpu", len(thing.content)
        width = 2 if thing.dtype == "bf16" else struct.calcsize(CODES[thing.dtype])
        return "storage", getattr(torch, STORAGES[thing.dtype]), thing.key, "cuda:0", len(thing.content) // width

    def save_global(self, thing, name=None):
        if isinstance(thing, Call) or isinstance(thing, type) and thing.__module__ in ("torch", "torch.storage"):
            module = thing.module if isinstance(thing, Call) else thing.__module__
            name = thing.name if isinstance(thing, Call) else thing.__qualname__
            if self.proto >= 4:
                self.save(module)
                self.save(name)
                self.write(pickle.STACK_GLOBAL)
            else:
                self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())
            self.memoize(thing)
        else:
            super().save_global(thing, name)


def pickled(thing, protocol=2):
    f = io.BytesIO()
    Pickler(f, protocol).dump(thing)
    return f.getvalue()


def lay_pt(content, storages, folder="archive", order=b"little", method=zipfile.ZIP_STORED):
    entries = [(f"{folder}/data.pkl", content)] + ([(f"{folder}/byteorder", order)] if order else [])
    entries += [(f"{folder}/data/{s.key}", s.content) for s in storages] + [(f"{folder}/version", b"3\n")]
    return zipped(entries, method)


def strides_of(shape):
    strides, stride = [], 1
    for n in reversed(shape):
        strides.insert(0, stride)
        stride *= n
    return strides


def pt():
    pretend("torch", *STORAGES.values(), *DTYPES.values(), "Size")
    pretend("torch.storage", "UntypedStorage")
    storages, tensors, expected = [], {}, []
    for i, (name, dtype, shape, content) in enumerate(handmade()):
        storages.append(Storage(dtype, content, str(i)))
        tensors[name] = Tensor(storages[-1], dtype, 0, shape, strides_of(shape))
        expected.append((name, dtype, shape, unpack(dtype, content)))
    last = storages[-1]  # 30001 x 3 of u16, and some views of it
    for name, view in {"transposed": (0, (3, 30001), (1, 3)), "column": (2, (30001,), (3,)), "sliced": (5, (100, 2), (300, 2)),
                       "expanded": (7, (4, 5), (0, 1)), "same": (9, (50,), (0,)), "one": (90002, (1, 1), (77, 0)),
                       "mixed": (1, (5, 6, 7, 8), (2, 4000, 300, 11))}.items():
        tensors[name] = Tensor(last, "u16", *view)
        expected.append((name, "u16", view[1], tensors[name].values()))
    for protocol in 2, 3, 4, 5:
        store(f"tensors{protocol}.pt", lay_pt(pickled(tensors, protocol), storages), expected)
    store("tensors-plain.pt", lay_pt(pickled(OrderedDict(tensors)), storages, "x.y", None), expected)
    store("tensors-deflated.pt", lay_pt(pickled(tensors), storages, method=zipfile.ZIP_DEFLATED), expected)

    counts = Storage("i32", pack("i32", range(24)), "7")
    count = Tensor(counts, "i32", 0, (2, 3, 4), (12, 4, 1))
    stat = {"rank": 0, "logical_count": count, "average_utilization_rate_over_window": None}
    store("sglang-stat.pt", lay_pt(pickled(stat), [counts], "expert_distribution_recorder_1"),
          [("rank", "i64", (), [0]), ("logical_count", "i32", (2, 3, 4), range(24))], [("rank", "0")])
    records = [{"forward_pass_id": i, "rank": 0, "gatherer_key": "primary", "input_ids": list(range(1000 * i, 2000 * i)),
                "positions": (), "extend_seq_lens": None if i else [3, 70000, -1], "topk_ids_of_layer": count,
                "misc_objects": [], "mean": 0.25, "rates": [1, 0.5], "flags": [True, False], "eager": True}
               for i in range(3)]
    arrays, notes = [], []
    for i, r in enumerate(records):
        at = f"records.{i}."
        arrays += [(at + "forward_pass_id", "i64", (), [i]), (at + "rank", "i64", (), [0]),
                   (at + "input_ids", "i64", (1000 * i,), r["input_ids"]), (at + "positions", "i64", (0,), [])]
        arrays += [] if i else [(at + "extend_seq_lens", "i64", (3,), [3, 70000, -1])]
        arrays += [(at + "topk_ids_of_layer", "i32", (2, 3, 4), range(24)), (at + "misc_objects", "i64", (0,), []),
                   (at + "mean", "f64", (), [0.25]), (at + "rates", "f64", (2,), [1.0, 0.5]),
                   (at + "flags", "bool", (2,), [1, 0]),
                   (at + "eager", "bool", (), [1])]
        notes += [(at + "forward_pass_id", str(i)), (at + "rank", "0"), (at + "gatherer_key", "primary"),
                  (at + "mean", "0.25"), (at + "eager", "true")]
    arrays.append(("last_physical_to_logical_map", "i32", (2, 3, 4), range(24)))
    for protocol in 2, 4:
        content = pickled({"records": records, "last_physical_to_logical_map": count}, protocol)
        store(f"sglang-records{protocol}.pt", lay_pt(content, [counts]), arrays, notes)
    odd = {"big": 2 ** 63 - 1, "less": -2 ** 63, "bigger": 2 ** 64, "tiny": -1, "bytes": b"x", 7: "seven", 1.5: "half",
           True: "yes", "set": {5}, "ids": (255, 256, 65535, 65536, -129, 2 ** 40),
           "text": "a \u00e9 b", "mixed": ["x", 4, [], {"y": None}]}
    store("odd.pt", lay_pt(pickled(odd, 4), []),
          [("big", "i64", (), [2 ** 63 - 1]), ("less", "i64", (), [-2 ** 63]), ("tiny", "i64", (), [-1]),
           ("set", "i64", (1,), [5]),
           ("ids", "i64", (6,), odd["ids"]), ("mixed.1", "i64", (), [4]), ("mixed.2", "i64", (0,), [])],
          [("big", str(2 ** 63 - 1)), ("less", str(-2 ** 63)), ("tiny", "-1"), ("7", "seven"), ("1.5", "half"), ("true", "yes"),
           ("text", "a \u00e9 b"), ("mixed.0", "x"), ("mixed.1", "4")])
    store("alone.pt", lay_pt(pickled(count), [counts]), [("", "i32", (2, 3, 4), range(24))])
    store("list.pt", lay_pt(pickled([count, {"a": 1}]), [counts]),
          [("0", "i32", (2, 3, 4), range(24)), ("1.a", "i64", (), [1])], [("1.a", "1")])
    swapped = Storage("i32", struct.pack(">24i", *range(24)), "0")
    store("big-endian.pt", lay_pt(pickled({"x": Tensor(swapped, "i32", 0, (3, 8), (1, 3))}), [swapped], order=b"big"),
          [("x", "i32", (3, 8), [3 * i + j for j in range(3) for i in range(8)])])


def torchs():
    """torch itself."""
    import torch

    types = {"bool": torch.bool, "i8": torch.int8, "u8": torch.uint8, "i16": torch.int16, "i32": torch.int32,
             "i64": torch.int64, "f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32, "f64": torch.float64}

    def line(name, x):
        if x.is_complex():
            return name, "unreadable", tuple(x.shape), []
        wide = x.detach().to(torch.float64 if x.is_floating_point() else torch.int64)
        return name, next(t for t in types if types[t] == x.dtype), tuple(x.shape), wide.reshape(-1).tolist()

    def save(name, thing, arrays, notes=(), **how):
        torch.save(thing, f"{folder}/{name}", **how)
        expect(name, [line(*a) for a in arrays], notes)

    torch.manual_seed(5)
    base = torch.randint(-100, 100, (7, 300, 8))
    tensors = {name: base.to(dtype) for name, dtype in types.items()}
    tensors |= {"noise": torch.randn(50, 3), "transposed": base.permute(2, 0, 1), "column": base[:, :, 3],
                "steps": base[1::2, ::7, 1:6:2], "expanded": base[0, :, :1].expand(300, 5), "none": torch.empty(0, 8),
                "one": torch.tensor(3.5), "complex": torch.ones(2, dtype=torch.complex64),
                "odd": torch.tensor([float("nan"), float("inf"), -0.0])}
    save("tensors.pt", tensors, tensors.items())
    save("tensors4.pt", tensors, tensors.items(), pickle_protocol=4)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    save("state.pt", model.state_dict(), model.state_dict().items())
    parameter = torch.nn.Parameter(torch.randn(2, 2))
    ids = [1, 2, 3]
    records = {"records": [{"forward_pass_id": 7, "topk": base.int(), "input_ids": ids, "none": None}], "size": base.shape,
               "weight": parameter}
    save("records.pt", records,
         [("records.0.forward_pass_id", torch.tensor(7)), ("records.0.topk", base.int()),
          ("records.0.input_ids", torch.tensor(ids)), ("size", torch.tensor(base.shape)), ("weight", parameter)],
         [("records.0.forward_pass_id", "7")])
    torch.save({"x": base}, f"{folder}/legacy", _use_new_zipfile_serialization=False)
    torch.save(model, f"{folder}/module")


try:
    {"npy": npy, "npz": npz, "zip": archive, "safetensors": safetensors, "gguf": gguf, "pt": pt, "torch": torchs}[kind]()
except ModuleNotFoundError as missing:
    print(missing, file=sys.stderr)
    sys.exit(3)
