"""Writes moescope logbooks from Python: one file over libmoescope and numpy; torch is used where it is there.

    import moescope

    with moescope.Logbook("log.db") as log:
        corpus = log.add_corpus("mine", documents, tokens)          # Document(...), Token(...)
        with log.begin_run("first", corpus, moescope.layers_of(model), config={"train.steps": 1000}) as run:
            watch = moescope.Watch(model)                           # the MoE blocks of a transformers-like model
            for step in range(1000):                                # step: updates done before this forward pass
                with watch:
                    loss = per_token_loss(model, ids)               # (B, T)
                with run.step(step) as s:
                    s.routed("train", documents=[...], offsets=[...], ids=ids, loss=loss, watch=watch)
                    s.metric("train", "loss", loss.mean().item())

What is logged lies in one transaction a step, written by a thread of the library's. Arrays are numpy's or torch's, on
any device: float32 and int32 in C order are read where they are, anything else is converted once (the int64 of
torch.topk, bfloat16). Threads: as moescope.h says; a Step belongs to one thread. The library is found by
$MOESCOPE_LIBRARY, beside this file as it is built or installed, or where the system keeps libraries.
"""
import contextlib
import ctypes
import hashlib
import inspect
import json
import os
import re
import secrets
import sys
from dataclasses import dataclass, field

import numpy as np

__all__ = ["Logbook", "Run", "Step", "Watch", "Document", "Token", "Layer", "Error", "layers_of", "moe_blocks", "version"]


class Error(Exception):
    """What the library refused, in its words. status: 2 the call, 3 the file, 4 the machine."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


# ---- the library, as moescope.h declares it ----


def _structure(name, *fields):
    return type(name, (ctypes.Structure,), {"_fields_": [(f, t) for t, names in fields for f in names.split()]})


_int, _i64, _real, _text, _at = ctypes.c_int, ctypes.c_int64, ctypes.c_double, ctypes.c_char_p, ctypes.c_void_p
_bool, _size = ctypes.c_bool, ctypes.c_size_t
_Error = _structure("_Error", (_int, "status"), (ctypes.c_char * 1024, "text"))
_Label = _structure("_Label", (_text, "key value"))
_Document = _structure("_Document", (_text, "name domain sha256 split"), (_i64, "n_bytes n_tokens"),
                       (ctypes.POINTER(_Label), "labels"), (_int, "n_labels"))
_Token = _structure("_Token", (_text, "text kind"), (_i64, "train_count"))
_Corpus = _structure("_Corpus", (_text, "name sha256 vocabulary_name vocabulary_sha256"),
                     (ctypes.POINTER(_Token), "tokens"), (_int, "n_tokens"),
                     (ctypes.POINTER(_Document), "documents"), (_int, "n_documents"))
_Layer = _structure("_Layer", (_int, "layer"), (_text, "router"), (_int, "n_experts k"), (_i64, "expert_parameters"),
                    (_at, "each"), (_int, "n_shared"), (_i64, "shared_parameters"))
_Setting = _structure("_Setting", (_text, "key value_json"))
_Run = _structure("_Run", (_text, "uuid name task router program machine_json"),
                  (_i64, "seed corpus_id vocabulary_id"), (ctypes.POINTER(_Setting), "config"), (_int, "n_config"),
                  (ctypes.POINTER(_Layer), "layers"), (_int, "n_layers"))
_Options = _structure("_Options", (_int, "queue_batches gate_bits"), (_size, "queue_bytes"), (_bool, "derive_loads"))
_Load = _structure("_Load", (_i64, "domain_id"), (_int, "layer n_experts"),
                   (_at, "assignments dropped gate_sum probability_sum"))
_Outcome = _structure("_Outcome", (_int, "target prediction exit"), (_i64, "multiply_adds"))
_Sequence = _structure("_Sequence", (_i64, "document_id offset"), (_int, "n_tokens"), (_at, "ids loss"),
                       (ctypes.POINTER(_Outcome), "outcome"), (_i64, "domain_id"))
_Block = _structure("_Block", (_int, "layer n_experts k"), (_at, "offsets expert gate dropped probability"))

_SIGNATURES = {
    "version": (_text, []),
    "open": (_int, [_at, _text, _at]),
    "close": (_bool, [_at]),
    "add_corpus": (_int, [_at, _at, _at, _at, _at, _at, _at]),
    "begin_run": (_int, [_at, _at, _at, _at]),
    "resume_run": (_int, [_at, _text, _i64, _at, _at]),
    "end_run": (_int, [_at, _i64, _text, _at]),
    "writer_open": (_int, [_at, _at, _i64, _at, _at]),
    "writer_drain": (_int, [_at, _at]),
    "writer_close": (_int, [_at, _at]),
    "batch_new": (_at, [_at, _at]),
    "batch_commit": (_int, [_at, _at]),
    "batch_discard": (None, [_at]),
    "batch_metric": (None, [_at, _i64, _text, _text, _real]),
    "batch_layer_metric": (None, [_at, _i64, _text, _int, _text, _real]),
    "batch_load": (None, [_at, _i64, _text, _at]),
    "batch_document_loss": (None, [_at, _i64, _text, _i64, _i64, _i64, _real]),
    "batch_event": (None, [_at, _i64, _text, _int, _int, _real, _text]),
    "batch_checkpoint": (None, [_at, _i64, _text, _text]),
    "batch_sequence": (_int, [_at, _i64, _text, _at]),
    "batch_routing": (None, [_at, _int, _at]),
    "batch_probability": (None, [_at, _int, _int, _int, _at]),
}
_SONAME = "libmoescope.so.0"


def _candidates():
    here = os.path.dirname(os.path.abspath(__file__))
    if os.environ.get("MOESCOPE_LIBRARY"):
        return [os.environ["MOESCOPE_LIBRARY"]]
    built = os.path.join(here, "..", "bin", _SONAME)
    prefix = os.path.join(here, "..", "..", "..", "lib", _SONAME)  # PREFIX/share/moescope/python or PREFIX/lib/python3/...
    return [p for p in (built, prefix) if os.path.exists(p)] + [_SONAME]


def _load():
    reasons = []
    for path in _candidates():
        try:
            library = ctypes.CDLL(path)
        except OSError as reason:
            reasons.append(str(reason))
            continue
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(library, "moescope_" + name)
            function.restype, function.argtypes = result, arguments
        return library
    raise ImportError("no libmoescope: " + "; ".join(reasons) + "; set MOESCOPE_LIBRARY")


_c = _load()


def version():
    return _c.moescope_version().decode()


def _call(name, *arguments):
    err = _Error()
    result = getattr(_c, "moescope_" + name)(*arguments, ctypes.byref(err))
    if result is None or (name != "batch_new" and result != 0):
        raise Error(err.status, err.text.decode(errors="replace"))
    return result


def _c_string(encoded, text):
    if b"\0" in encoded:
        raise ValueError(f"{text!r} has a NUL")
    return encoded


def _utf8(text):
    return None if text is None else _c_string(str(text).encode(), text)


def _path(path):
    return _c_string(os.fsencode(path), path)


USAGE = 2  # of Error.status


# ---- arrays ----


def _is_tensor(x):
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def _array(x, dtype, name="an array"):
    """x as a numpy array of that type in C order: itself where it is one, else converted in one pass. Integers that
    are converted must come out as they were: 2^32 is no expert 0, nor is 0.7."""
    if x is None:
        return None
    integers = np.dtype(dtype).kind in "iu"
    if _is_tensor(x):
        x = x.detach()
        if not integers:
            return x.to("cpu", getattr(sys.modules["torch"], np.dtype(dtype).name)).contiguous().numpy()
        x = (x.double() if x.is_floating_point() else x).cpu().numpy()
    x = np.asarray(x)
    if x.dtype == dtype or not integers:
        return np.ascontiguousarray(x, dtype)
    with np.errstate(invalid="ignore"):  # of NaN and of what is too large, which are told here
        array = np.ascontiguousarray(x, dtype)
    if not np.all(array == x):
        raise ValueError(f"{name}: values that are no {array.dtype}")
    return array


def _probabilities(x):
    """In float32; rows that sum to 1 within the rounding of 16 bits, in which they were given, are made to do so."""
    p = _array(x, np.float32)
    if p is None or str(getattr(x, "dtype", None)) not in ("float16", "torch.float16", "torch.bfloat16"):
        return p
    sums = p.sum(axis=-1, keepdims=True)
    return p / np.where(np.abs(sums - 1) < 2e-2, sums, np.float32(1))


def _flags(x):
    flags = _array(x, np.uint8, "dropped")
    if flags is not None and flags.size and flags.max() > 1:
        raise ValueError(f"dropped: {flags.max()}, neither 0 nor 1")
    return flags


def _expect(name, array, *shape):
    """The library is given addresses alone, so that it would read past the end of what is short."""
    if array is not None and tuple(array.shape) != shape:
        raise ValueError(f"{name}: shape {tuple(array.shape)}, not {shape}")


def _expect_decisions(n_tokens, n_experts, experts, gates, offsets, dropped, probability, where=""):
    if offsets is None:
        _expect(where + "experts", experts, n_tokens, experts.shape[-1])
    else:
        _expect(where + "offsets", offsets, n_tokens + 1)
        _expect(where + "experts", experts, experts.size)
        if offsets[0] != 0 or offsets[-1] != experts.size or (np.diff(offsets) < 0).any():
            raise ValueError(f"{where}offsets do not rise from 0 to {experts.size}, the size of experts")
    _expect(where + "gates", gates, *experts.shape)
    _expect(where + "dropped", dropped, *experts.shape)
    _expect(where + "probability", probability, n_tokens, n_experts)


def _columns(x):
    """One expert a token may lack its dimension."""
    return x[:, None] if x is not None and x.ndim == 1 else x


def _address(array, first=0):
    """Of an element of a flat view; None stays None."""
    return None if array is None else array.__array_interface__["data"][0] + first * array.itemsize


# ---- what runs are made of ----


@dataclass
class Document:
    """split: train, valid, probe, routed. n_tokens: predictions, one less than its ids."""
    name: str
    domain: str
    split: str
    n_bytes: int
    n_tokens: int
    sha256: str = None  # of its text; None: of its name
    labels: dict = field(default_factory=dict)


@dataclass
class Token:
    text: str  # UTF-8, spaces as spaces; a byte that is no character as <0xE3>
    kind: str = "piece"  # piece, byte, special
    train_count: int = 0


@dataclass
class Layer:
    layer: int  # block index; dense blocks have no row
    n_experts: int
    k: int = 0  # 0: varies by token
    router: str = "topk"
    expert_parameters: int = 0  # of each routed expert
    n_shared: int = 0
    shared_parameters: int = 0  # of each of them


@dataclass
class Corpus:
    corpus_id: int
    vocabulary_id: int
    document_ids: np.ndarray  # (n_documents)
    domain_ids: np.ndarray  # (n_documents)


def _sha256(*parts):
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _json(name, value):
    """numpy's and torch's numbers as numbers. NaN and infinities are none in JSON."""
    def plain(x):
        if hasattr(x, "tolist"):
            return x.tolist()
        raise TypeError(f"{type(x).__name__} is nothing that JSON has")
    try:
        return json.dumps(value, default=plain, allow_nan=False)
    except (TypeError, ValueError) as reason:
        raise ValueError(f"{name}: {reason}") from None


def _flat(config, prefix=""):
    """{"a": {"b": 1}} as ("a.b", "1")."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _json(f"config {prefix}{key}", value)


def _options(gate_bits=8, derive_loads=True, queue_batches=0, queue_bytes=0):
    if gate_bits not in (8, 16):
        raise ValueError(f"gates are kept in 8 or 16 bits, not {gate_bits}")
    if queue_batches < 0 or queue_bytes < 0:
        raise ValueError(f"a queue of {queue_batches} batches, {queue_bytes} bytes")
    return _Options(queue_batches, gate_bits, queue_bytes, derive_loads)


def _status(kind):
    """Of a run that an exception ends."""
    return "interrupted" if issubclass(kind, KeyboardInterrupt) else "failed"


class Logbook:
    """An SQLite file, made where there is none. As a context it ends its runs and is closed."""

    def __init__(self, path):
        self._lb, self._runs = _at(), []  # runs: that are being written
        _call("open", ctypes.byref(self._lb), _path(path))

    def _live(self):
        if self._lb is None:
            raise Error(USAGE, "the logbook was closed")
        return self._lb

    def close(self, status="interrupted"):
        """Ends the runs that are being written with that status. False: somebody has the file open still, so that the
        last steps lie beside it (PATH-wal) until the next close."""
        if self._lb is None:
            return True
        try:
            for run in list(self._runs):
                run.end(status)
        finally:
            while self._runs:  # after an error: their writers must be gone before the logbook is
                with contextlib.suppress(Error):
                    self._runs[-1].end("failed")
            lb, self._lb = self._lb, None
            alone = _c.moescope_close(lb)
        return alone

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.close()
            return
        with contextlib.suppress(Error):  # the exception under way is the one to be told
            self.close(_status(kind))

    def add_corpus(self, name, documents, tokens=(), vocabulary_name=None, sha256=None, vocabulary_sha256=None):
        """Stored unless the same sha256 is there already. Documents are known by their place in the list."""
        vocabulary_sha256 = vocabulary_sha256 or _sha256([(t.text, t.kind) for t in tokens] or name)
        shas = [d.sha256 or _sha256(d.name) for d in documents]
        sha256 = sha256 or _sha256(vocabulary_sha256, shas, [(d.name, d.domain, d.split, d.labels) for d in documents],
                                   [t.train_count for t in tokens])
        c_tokens = (_Token * len(tokens))(*[(_utf8(t.text), _utf8(t.kind), t.train_count) for t in tokens])
        c_documents = (_Document * len(documents))()
        for c, d, sha in zip(c_documents, documents, shas):
            labels = (_Label * len(d.labels))(*[(_utf8(k), _utf8(v)) for k, v in d.labels.items()])
            c.name, c.domain, c.sha256, c.split = map(_utf8, (d.name, d.domain, sha, d.split))
            c.n_bytes, c.n_tokens, c.labels, c.n_labels = d.n_bytes, d.n_tokens, labels, len(d.labels)
        c_corpus = _Corpus(_utf8(name), _utf8(sha256), _utf8(vocabulary_name or name), _utf8(vocabulary_sha256),
                           c_tokens, len(tokens), c_documents, len(documents))
        corpus_id, vocabulary_id = _i64(), _i64()
        documents_of, domains_of = np.zeros(len(documents), np.int64), np.zeros(len(documents), np.int64)
        _call("add_corpus", self._live(), ctypes.byref(c_corpus), ctypes.byref(corpus_id), ctypes.byref(vocabulary_id),
              _address(documents_of), _address(domains_of))
        return Corpus(corpus_id.value, vocabulary_id.value, documents_of, domains_of)

    def begin_run(self, name, corpus=None, layers=(), task="language_model", router="topk", seed=0, config=None,
                  machine=None, program=None, uuid=None, **options):
        """config: a dict, nested or with dotted keys. options: see Run."""
        lb, options, settings = self._live(), _options(**options), list(_flat(config or {}))
        c_config = (_Setting * len(settings))(*[(_utf8(k), _utf8(v)) for k, v in settings])
        c_layers = (_Layer * len(layers))(*[(l.layer, _utf8(l.router), l.n_experts, l.k, l.expert_parameters, None,
                                             l.n_shared, l.shared_parameters) for l in layers])
        run = _Run(_utf8(uuid or secrets.token_hex(16)), _utf8(name), _utf8(task), _utf8(router),
                   _utf8(program or f"moescope.py {version()}"),
                   _utf8(_json("machine", machine) if machine else None), seed,
                   corpus.corpus_id if corpus else 0, corpus.vocabulary_id if corpus else 0, c_config, len(settings),
                   c_layers, len(layers))
        run_id = _i64()
        _call("begin_run", lb, ctypes.byref(run), ctypes.byref(run_id))
        return Run(self, run_id.value, corpus, options)

    def resume_run(self, name, step, corpus=None, **options):
        """Goes on with the run of that name: what it logged for this step and later ones is deleted."""
        lb, options, run_id = self._live(), _options(**options), _i64()
        _call("resume_run", lb, _utf8(name), step, ctypes.byref(run_id))
        return Run(self, run_id.value, corpus, options)


class Run:
    """A run being written. As a context it ends as finished, interrupted (KeyboardInterrupt) or failed.

    gate_bits: 8 or 16. derive_loads: expert_load follows from the decisions, so log all of them, or load() yourself.
    """

    def __init__(self, log, run_id, corpus, options):
        self.run_id, self.corpus, self._log, self._writer, self._steps = run_id, corpus, log, _at(), set()
        try:
            _call("writer_open", ctypes.byref(self._writer), log._lb, run_id, ctypes.byref(options))
        except Error:
            _c.moescope_end_run(log._lb, run_id, b"failed", None)
            raise
        log._runs.append(self)

    def _live(self):
        if self._writer is None:
            raise Error(USAGE, "the run has ended")
        return self._writer

    def step(self, step):
        """A batch: as a context it is committed at the end, or discarded when an exception leaves it."""
        return Step(self, step)

    def drain(self):
        """Waits until all that was committed is on disk: before a checkpoint of the weights."""
        _call("writer_drain", self._live())

    def end(self, status="finished"):
        """Steps that are neither committed nor discarded are discarded. Nothing when it has ended."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        for step in list(self._steps):
            step._release("was discarded as its run ended")
        self._log._runs.remove(self)
        try:
            _call("writer_close", writer)
        except Error:
            _c.moescope_end_run(self._log._lb, self.run_id, b"failed", None)
            raise
        _call("end_run", self._log._lb, self.run_id, _utf8(status))

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.end()
            return
        with contextlib.suppress(Error):  # the exception under way is the one to be told
            self.end(_status(kind))


COMMITTED, DISCARDED = "was committed", "was discarded"


class Step:
    """What one training step, or one evaluation, adds: stored whole or not at all."""

    def __init__(self, run, step):
        self._run, self._step, self._sums, self._tokens = run, step, {}, {}  # tokens: of each sequence's handle
        self._b, self._end = _call("batch_new", run._live()), None  # end: what became of it
        run._steps.add(self)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.discard()
        elif self._end not in (COMMITTED, DISCARDED):  # by the caller, who may
            self.commit()

    def _live(self):
        if self._b is None:
            raise Error(USAGE, f"the step {self._end}")
        return self._b

    def _taken(self, end):
        b, self._b, self._end = self._live(), None, end
        self._run._steps.discard(self)
        return b

    def _release(self, end):
        _c.moescope_batch_discard(self._taken(end))

    def commit(self):
        self._add_sums()
        _call("batch_commit", self._taken(COMMITTED))

    def discard(self):
        """Nothing when it was committed or discarded."""
        if self._b is not None:
            self._release(DISCARDED)

    def _ids_of(self, document):
        """(document_id, domain_id) of a place in the corpus' list; -1 is none."""
        corpus = self._run.corpus
        if corpus is None:
            raise ValueError("a run without a corpus has no documents")
        if not 0 <= document < len(corpus.document_ids):
            raise IndexError(f"document {document} of {len(corpus.document_ids)}")
        return int(corpus.document_ids[document]), int(corpus.domain_ids[document])

    # ---- figures ----

    def metric(self, split, name, value):
        """Of the whole model. NaN and infinities are kept as such."""
        _c.moescope_batch_metric(self._live(), self._step, _utf8(split), _utf8(name), float(value))

    def layer_metric(self, split, layer, name, value):
        _c.moescope_batch_layer_metric(self._live(), self._step, _utf8(split), layer, _utf8(name), float(value))

    def document_loss(self, split, document, n_tokens, n_bytes, loss_sum):
        """Adds to the document's loss in this step. n_bytes: that the predicted tokens stand for."""
        self._live()
        self._add("document", (split, self._ids_of(document)[0]), n_tokens, n_bytes, loss_sum)

    def event(self, kind, message=None, layer=-1, expert=-1, value=float("nan")):
        _c.moescope_batch_event(self._live(), self._step, _utf8(kind), layer, expert, value, _utf8(message))

    def checkpoint(self, path, sha256):
        _c.moescope_batch_checkpoint(self._live(), self._step, _path(path), _utf8(sha256))

    def load(self, split, layer, assignments, gate_sum, probability_sum, dropped=None, domain=None):
        """Counted by the caller, in the place of what the library would derive. domain: a document of it."""
        counts = _array(assignments, np.int64, "assignments"), _array(dropped, np.int64, "dropped")
        sums = _array(gate_sum, np.float64), _array(probability_sum, np.float64)
        for name, array in zip(("assignments", "dropped", "gate_sum", "probability_sum"), counts + sums):
            _expect(name, array, counts[0].size)
        domain_id = 0 if domain is None else self._ids_of(domain)[1]
        load = _Load(domain_id, layer, counts[0].size, *map(_address, counts + sums))
        _c.moescope_batch_load(self._live(), self._step, _utf8(split), ctypes.byref(load))

    # ---- sequences and their decisions ----

    def sequence(self, split, document, ids, loss=None, offset=0, outcome=None):
        """ids: (n_tokens + 1), inputs and the last target; loss: (n_tokens) nats. Returns a handle."""
        document_id, domain_id = self._ids_of(document)
        ids, loss = _array(ids, np.int32, "ids"), _array(loss, np.float32)
        _expect("ids", ids, ids.size)
        n_tokens = ids.size - 1
        if n_tokens < 1:
            raise ValueError(f"ids are {ids.size}: a sequence has an input and a target at least")
        _expect("loss", loss, n_tokens)
        c = _Sequence(document_id, int(offset), n_tokens, _address(ids), _address(loss),
                      ctypes.pointer(_Outcome(*outcome)) if outcome else None, domain_id)
        handle = _c.moescope_batch_sequence(self._live(), self._step, _utf8(split), ctypes.byref(c))
        self._tokens[handle] = n_tokens
        return handle

    def routing(self, sequence, layer, n_experts, experts, gates=None, offsets=None, dropped=None, probability=None):
        """The decisions of a sequence in a layer: experts (n_tokens, k), or (n_tokens) of one each, or any number a
        token, flat, with offsets (n_tokens + 1); gates and dropped likewise. probability (n_tokens, n_experts):
        summed, not stored."""
        experts, gates = _array(experts, np.int32, "experts"), _array(gates, np.float32)
        offsets, dropped, probability = _array(offsets, np.int32, "offsets"), _flags(dropped), _probabilities(probability)
        if experts is None:
            raise ValueError("experts are not given")
        if offsets is None:
            experts, gates, dropped = map(_columns, (experts, gates, dropped))
        if sequence in self._tokens:  # the library refuses others, unread
            _expect_decisions(self._tokens[sequence], n_experts, experts, gates, offsets, dropped, probability)
        k = 0 if offsets is not None else experts.shape[-1]
        block = _Block(layer, n_experts, k, *map(_address, (offsets, experts, gates, dropped, probability)))
        _c.moescope_batch_routing(self._live(), sequence, ctypes.byref(block))

    def probability(self, sequence, layer, probability):
        """The router's whole vectors (n_tokens, n_experts), kept: of the probe, say."""
        p = _probabilities(probability)
        if sequence in self._tokens:
            _expect("probability", p, self._tokens[sequence], p.shape[-1])
        _c.moescope_batch_probability(self._live(), sequence, layer, p.shape[-1], _address(p))

    def routed(self, split, documents, ids, loss, watch, offsets=None, n_bytes=None, keep_probabilities=None,
               lengths=None):
        """A whole pass: B sequences of T tokens and what a Watch caught of them.

        documents: (B) places in the corpus' list; ids: (B, T + 1); loss: (B, T) nats; offsets: (B) of each sequence's
        first token in its document, 0 without; n_bytes: (B) that its predicted tokens stand for, one each without.
        lengths: (B) tokens of each sequence, which padding follows that is not logged; 0 is no sequence.
        keep_probabilities: whole vectors, by default those of the probe. Logs sequences, decisions, losses of
        documents and the router's entropy, outside of training also its rank_mass.
        """
        self._live()
        ids, loss = _array(ids, np.int32, "ids"), _array(loss, np.float32)
        if loss.ndim != 2:
            raise ValueError(f"loss: shape {loss.shape}, not (B, T)")
        B, T = loss.shape
        _expect("ids", ids, B, T + 1)
        for name, of in (("documents", documents), ("offsets", offsets), ("n_bytes", n_bytes), ("lengths", lengths)):
            if of is not None and len(of) != B:
                raise ValueError(f"{name}: {len(of)}, not {B}")
        real = None  # (B, T) which tokens are, where some are not
        if lengths is None:
            lengths, sums = [T] * B, loss.sum(axis=1, dtype=np.float64)
        else:
            lengths = _array(lengths, np.int64, "lengths").tolist()
            if not all(0 <= n <= T for n in lengths):
                raise ValueError(f"lengths: {lengths}, of sequences of {T} tokens")
            real = np.arange(T) < np.array(lengths)[:, None]
            sums = loss.sum(axis=1, dtype=np.float64, where=real)
        offsets = [0] * B if offsets is None else offsets
        n_bytes = lengths if n_bytes is None else n_bytes
        caught = watch.take()
        if not caught:
            raise ValueError("the watch caught nothing: run a forward pass within `with watch` for each routed()")
        passed = [self._pass(layer, of, B, T) for layer, of in caught]
        handles = []
        for b, n in enumerate(lengths):
            if n > 0:
                handles.append((b, self.sequence(split, documents[b], ids[b, : n + 1], loss[b, :n], offsets[b])))
                self.document_loss(split, documents[b], n, int(n_bytes[b]), float(sums[b]))
        keep = split in ("probe", "routed") if keep_probabilities is None else keep_probabilities
        for layer_pass in passed:
            self._routed_layer(split, *layer_pass, handles, T, keep, real)

    def _pass(self, layer, caught, B, T):
        experts, gates = _array(caught.experts, np.int32, f"layer {layer}: experts"), _array(caught.gates, np.float32)
        p, n = _probabilities(caught.probability), caught.n_experts
        _expect_decisions(B * T, n, experts, gates, None, None, p, f"layer {layer}, a pass of {B} x {T} tokens: ")
        return layer, experts, gates, p, n

    def _routed_layer(self, split, layer, experts, gates, p, n, handles, T, keep, real):
        k = experts.shape[1]
        block = _Block(layer, n, k, None, None, None, None, None)
        at, routing, probability = ctypes.byref(block), _c.moescope_batch_routing, _c.moescope_batch_probability
        for b, handle in handles:  # the library reads as many rows as the sequence has tokens
            block.expert, block.gate = _address(experts, b * T * k), _address(gates, b * T * k)
            block.probability = _address(p, b * T * n)
            routing(self._live(), handle, at)
            if keep and p is not None:
                probability(self._live(), handle, layer, n, block.probability)
        if p is None or not handles:
            return
        p = p if real is None else p[real.ravel()]
        self._add("entropy", (split, layer), len(p), -float(np.einsum("te,te->", p, np.log(np.maximum(p, 1e-30)))))
        if split != "train":
            mass = np.cumsum(-np.sort(-p, axis=1), axis=1, dtype=np.float64).sum(axis=0)
            self._add("mass", (split, layer), len(p), mass)

    # ---- sums over the passes of a step, logged at its end ----

    def _add(self, kind, key, *values):
        sums = self._sums.setdefault((kind, *key), [0] * len(values))
        for i, value in enumerate(values):
            sums[i] = sums[i] + value

    def _add_sums(self):
        for (kind, split, of), sums in self._sums.items():
            if kind == "document":
                _c.moescope_batch_document_loss(self._live(), self._step, _utf8(split), of, *sums)
            elif kind == "entropy":
                self.layer_metric(split, of, "router_entropy", sums[1] / sums[0])
            else:
                for i in range(int(np.log2(len(sums[1]))) + 1):
                    self.layer_metric(split, of, f"rank_mass_{2**i}", sums[1][2**i - 1] / sums[0])
        self._sums = {}


# ---- MoE blocks of torch models ----


@dataclass
class Caught:
    experts: object  # (n_tokens, k), the router's first choice first
    gates: object  # (n_tokens, k) raw probabilities or scores; None: unknown
    probability: object  # (n_tokens, n_experts); None: unknown
    n_experts: int


def _weight(module):
    """A router's matrix (n_experts, width), or None."""
    weight = getattr(module, "weight", None)
    return weight if weight is not None and weight.ndim == 2 and weight.shape[0] > 1 else None


def _expert_count(experts):
    try:
        return len(experts)
    except TypeError:
        return getattr(experts, "num_experts", None)


def _numbers(name):
    """Of a module's place: those that are names of their own, as in "layers.3.mlp", or else any."""
    return [int(x) for x in name.split(".") if x.isdecimal()] or [int(x) for x in re.findall(r"\d+", name)]


def _layer_numbers(names):
    numbers = [_numbers(name) for name in names]
    for place in range(min(map(len, numbers), default=0)):
        layers = [of[place] for of in numbers]
        if len(set(layers)) == len(layers):
            return layers
    return list(range(len(names)))


def moe_blocks(model):
    """(layer, block) of each MoE block, known by its shape: a `gate` with a weight (n_experts, width) beside `experts` of
    that number, as in transformers' Mixtral, OLMoE and Qwen-MoE. A block within wrappers that pass its attributes on (of
    checkpointing, of FSDP) is found once, itself.

    layer: the first number in the blocks' names that tells them all apart: 3 in "layers.3.mlp", 5 in
    "encoder.block.5.layer.1.mlp", 0 in "layers.0.1"; but 1 in "stages.0.blocks.1" where a stage has several blocks.
    Where no number does (an encoder's and a decoder's layers), the block's place among them, from 0."""
    found = {}
    for name, block in model.named_modules():  # the outer ones first
        gate, experts = getattr(block, "gate", None), getattr(block, "experts", None)
        weight = _weight(gate)
        if weight is not None and experts is not None and _expert_count(experts) in (None, weight.shape[0]):
            found[id(gate)] = name, block
    return list(zip(_layer_numbers([name for name, _ in found.values()]), [block for _, block in found.values()]))


def _top_k(block):
    for owner in (block, block.gate, getattr(block, "config", None)):
        for name in ("top_k", "num_experts_per_tok", "moe_top_k", "k"):
            if isinstance(getattr(owner, name, None), int):
                return getattr(owner, name)
    raise ValueError(f"how many experts a token has in {type(block).__name__} is not known; give k")


def _parameters(module):
    return sum(p.numel() for p in module.parameters())


def layers_of(model, k=None, router="topk"):
    """What begin_run wants to know of the model's MoE blocks."""
    layers = []
    for layer, block in moe_blocks(model):
        n = block.gate.weight.shape[0]
        shared = getattr(block, "shared_expert", None) or getattr(block, "shared_experts", None)
        layers.append(Layer(layer, n, k or _top_k(block), router, _parameters(block.experts) // n,
                            1 if shared is not None else 0, _parameters(shared) if shared is not None else 0))
    return layers


def softmax_topk(logits, k):
    """(experts, gates, probability) as Mixtral, OLMoE and Qwen-MoE choose; gates before they are made to sum to 1."""
    p = logits.float().softmax(dim=-1)
    gates, experts = p.topk(k, dim=-1)
    return experts, gates, p


def _other_rule(block):
    """What says that a block does not choose the k highest of a softmax over all experts, or None."""
    names = {name.rpartition(".")[2] for name, _ in [*block.named_parameters(), *block.named_buffers()]
             if not name.startswith("experts.")}
    for name in ("e_score_correction_bias", "expert_bias"):
        if name in names:
            return name
    for owner in (block, block.gate, getattr(block, "config", None), getattr(block.gate, "config", None)):
        groups = getattr(owner, "n_group", None)
        if isinstance(groups, int) and groups > 1:
            return f"n_group={groups}"
        for name in ("scoring_func", "score_func", "scoring_function", "score_function"):
            if getattr(owner, name, "softmax") not in ("softmax", None):
                return f"{name}={getattr(owner, name)!r}"
    return None


def _takes_gate(choose):
    """Whether choose has a third argument that must be given, or is called gate."""
    try:
        parameters = list(inspect.signature(choose).parameters.values())
    except (TypeError, ValueError):  # some built-in functions have none
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(positional) > 2 and (positional[2].default is inspect.Parameter.empty or positional[2].name == "gate")


def _tensors(output):
    """The parts of a gate's output that have a dimension, in order."""
    if isinstance(output, dict):
        output = output.values()
    elif _is_tensor(output):
        output = [output]
    elif not isinstance(output, (tuple, list)):
        return []
    return [x.detach() for x in output if _is_tensor(x) and x.ndim > 0]


def _rows(x):
    """(n_tokens, columns) of (B, T, columns), or of (n_tokens), one column."""
    return x.reshape(-1, 1) if x.ndim < 2 else x.reshape(-1, x.shape[-1])


def _distribution(scores):
    """What scores (n_tokens, n_experts) are, "probabilities", "logits" or else "scores", and float32 probabilities of
    the first two. A softmax that was computed in 16 bits sums to 1 within their rounding only."""
    tolerance = {"torch.bfloat16": 2e-2, "torch.float16": 4e-3}.get(str(scores.dtype), 1e-3)
    p = scores.float()
    low, high = map(float, p.aminmax()) if p.numel() else (0, 0)
    if not (low >= 0 and 0 < high <= 1 + tolerance):  # so is NaN, and a router that starts from zeros
        return "logits", p.softmax(dim=-1)
    sums = p.sum(dim=-1, keepdim=True)
    off = float((sums - 1).abs().max())
    if off > tolerance:
        return "scores", None
    return "probabilities", p if off < 5e-6 else p / sums


class _Gate:
    """Reads the choices of one block from what its gate gives."""

    def __init__(self, layer, block, k, choose):
        self.k, self.n_experts, self.block = k or _top_k(block), block.gate.weight.shape[0], type(block).__name__
        self.layer, self.choose, self.with_gate = layer, choose, choose is not None and _takes_gate(choose)
        self.other = _other_rule(block)
        self.linear = getattr(type(block.gate), "forward", None) is sys.modules["torch"].nn.Linear.forward
        if self.linear and choose is None and self.other:
            self._unknown_rule()

    def _wrong(self, text):
        raise ValueError(f"layer {self.layer}, the gate of {self.block}: {text}")

    def _unknown_rule(self):
        self._wrong(f"gives scores alone, and softmax is not what chooses ({self.other}); pass choose=, or call record()")

    def read(self, gate, output):
        parts = _tensors(output)
        floats = [_rows(x) for x in parts if x.is_floating_point()]
        whole = [x for x in floats if x.shape[1] == self.n_experts]
        if self.choose is not None:
            if not whole:
                self._wrong(f"gives no scores of {self.n_experts} experts for choose=")
            return self.choose(whole[0], self.k, gate) if self.with_gate else self.choose(whole[0], self.k)
        chosen = self._indices(parts)
        if chosen is not None:
            return self._chosen(chosen, whole, floats)
        if not whole or any(x.dtype is sys.modules["torch"].bool and x.shape[-1] == self.n_experts for x in parts):
            self._wrong(f"gives neither scores of {self.n_experts} experts nor indices; pass choose=, or call record()")
        if self.other:
            self._unknown_rule()
        if self.linear:  # of logits that lie between 0 and 1 by chance, too
            return softmax_topk(whole[0], self.k)
        kind, p = _distribution(whole[0])
        if kind == "scores":
            self._wrong("gives scores that are neither logits nor probabilities; pass choose=, or call record()")
        gates, experts = p.topk(self.k, dim=-1)
        return experts, gates, p

    def _indices(self, parts):
        """What was chosen, a copy: some routers write the next pass into the same tensor."""
        bool_ = sys.modules["torch"].bool
        whole = [x for x in parts if not (x.is_floating_point() or x.is_complex() or x.dtype is bool_)]
        wide = [x for x in whole if x.ndim > 1] or (whole if self.k == 1 else [])
        if not wide:
            return None
        chosen = _rows(wide[0]).long().clone()
        if chosen.shape[1] == self.n_experts != self.k:
            self._wrong(f"gives whole numbers of shape {tuple(wide[0].shape)}, which are no indices of {self.k} experts")
        return chosen

    def _chosen(self, chosen, whole, floats):
        """Gates are the router's own probabilities or scores where they are known, else the weights as they are given."""
        if self.k == self.n_experts and len(whole) == 1:
            whole = []  # one part as wide as the choices is in their order
        if whole and len(whole[0]) != len(chosen):
            self._wrong(f"gives indices of {len(chosen)} tokens, scores of {len(whole[0])}")
        weights = [x.float().clone() for x in floats if x.shape == chosen.shape and not any(x is y for y in whole[:1])]
        weights = weights[0] if weights else None
        if not whole:
            return chosen, weights, None
        kind, p = _distribution(whole[0])
        if kind == "logits" and self.other:
            return chosen, weights, None  # what this router computes of them is no softmax
        known = chosen.clamp(0, self.n_experts - 1)  # what is beyond, the library refuses
        return chosen, (whole[0].float() if p is None else p).gather(-1, known), p


def _in_backward():
    """Whether torch is in a backward pass on this thread: gradient checkpointing repeats forward passes there."""
    torch = sys.modules.get("torch")
    if torch is None:
        return False
    if hasattr(torch._C, "_current_graph_task_id"):
        return torch._C._current_graph_task_id() != -1
    try:  # versions before 2 have no other sign; what is refused takes a millisecond
        torch.autograd.Variable._execution_engine.queue_callback(lambda: None)
    except RuntimeError:
        return False
    return True


def _copy(x):
    """(n_tokens, k), not the caller's memory."""
    if x is None:
        return None
    return _rows(x.detach().clone() if _is_tensor(x) else np.array(x))


class Watch:
    """Catches what the routers of a model do while it is entered as a context: one forward pass each time, or one
    between two calls of take(), which Step.routed makes. A layer that is met again is a ValueError, but what gradient
    checkpointing repeats within a backward pass does not count.

    Watch(model) hooks the MoE blocks that moe_blocks finds. What a gate gives is read so: whole numbers are the indices
    that the block chose; scores of all experts are probabilities or logits. Gates are the router's own probabilities or
    scores at those indices, or else the weights that the gate gives with them. Logits alone are chosen from by
    softmax_topk, unless the block has signs of another rule (a bias for the choice, groups, sigmoid scores): that is a
    ValueError, here or in the first forward pass, as is whatever else a gate gives. What a block does to logits after
    the gate, as adding noise, is not seen: such a block calls record(). Probabilities that a gate gives in float32 are
    not copied.

    choose(logits, k), or choose(logits, k, gate) with the gate module: for routers that choose otherwise, returns
    (experts, gates, probability), the last two of them or None; asked whatever the gate gives beside logits.

    Watch() hooks nothing: any router calls record().
    """

    def __init__(self, model=None, k=None, choose=None):
        self._caught, self._met, self._active = {}, set(), False
        blocks = moe_blocks(model) if model is not None else []
        if model is not None and not blocks:
            raise ValueError(f"no MoE block is known by its shape in {type(model).__name__}; see Watch.record")
        gates = [(block.gate, _Gate(layer, block, k, choose)) for layer, block in blocks]
        self._hooks = [module.register_forward_hook(self._hook(gate)) for module, gate in gates]

    def __enter__(self):
        self._caught, self._met, self._active = {}, set(), True
        return self

    def __exit__(self, *_):
        self._active = False

    def remove(self):
        for hook in self._hooks:
            hook.remove()

    def record(self, layer, experts, gates=None, probability=None, n_experts=None):
        """From any router: experts (n_tokens, k), or (n_tokens) of one each, and what else is known. experts and gates
        are copied; probability (n_tokens, n_experts) is not to change before it is logged."""
        if not self._counts(layer):
            return
        if probability is not None and not hasattr(probability, "reshape"):
            probability = np.array(probability)
        if n_experts is None and probability is None:
            raise ValueError(f"layer {layer}: how many experts it has is not known; give n_experts or probability")
        n = probability.shape[-1] if n_experts is None else n_experts
        self._catch(layer, _copy(experts), _copy(gates), probability, n)

    def take(self):
        """(layer, Caught) in order of layers; forgets them."""
        caught, self._caught = self._caught, {}
        return sorted(caught.items())

    def _counts(self, layer):
        if not self._active or (layer in self._met and _in_backward()):
            return False
        if layer in self._caught:
            raise ValueError(f"layer {layer} routed twice within one `with watch`: log each forward pass before the next, "
                             "or enter the watch again")
        return True

    def _catch(self, layer, experts, gates, probability, n_experts):
        probability = None if probability is None else probability.reshape(-1, probability.shape[-1])
        _expect_decisions(len(experts), n_experts, experts, gates, None, None, probability, f"layer {layer}: ")
        self._met.add(layer)
        self._caught[layer] = Caught(experts, gates, probability, n_experts)

    def _hook(self, gate):
        def hook(module, inputs, output):
            if self._counts(gate.layer):
                with sys.modules["torch"].no_grad():
                    self._catch(gate.layer, *gate.read(module, output), gate.n_experts)
        return hook
