#!/usr/bin/python3
"""Files as other engines write them, and what is in them: foreign.py KIND FOLDER.

Every NAME comes with NAME.expected, a line for each array and each note:

    array NAME TYPE DIMENSIONS | SHAPE | VALUES    (NAME - where it is empty; values in C order)
    note KEY TEXT

numpy writes .npy and .npz, torch (kind "torch") .pt; the rest is laid out here by hand, byte after byte, so that
nothing of moescope vouches for itself. Exit status 3: the writer is not installed.
"""

import sys

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
    import io
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
    for i, header in enumerate([b'{"shape" : (2L,),"descr":"|u1","fortran_order" :False}', b"{'descr':'<u1','fortran_order':True,'shape':(2,)}\n",
                                b"{'fortran_order': False, 'descr': '>u1', 'shape': ( 1,\t2 ,) , }   \n"]):
        shape = (1, 2) if i == 2 else (2,)
        store(f"odd{i}.npy", plain + len(header).to_bytes(2, "little") + header + b"\x07\xff", [("", "u8", shape, [7, 255])])


try:
    {"npy": npy}[kind]()
except ModuleNotFoundError as missing:
    print(missing, file=sys.stderr)
    sys.exit(3)
