"""python/moescope.py with numpy alone: binding.py FOLDER. Says what differs and exits with 1."""
import os
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "python"))
import moescope
import numpy as np

folder = sys.argv[1]
failures = 0


def same(what, found, expected):
    global failures
    if found != expected:
        failures += 1
        print(f"{what}: {found!r}, not {expected!r}")


def refused(what, words, status, body):
    try:
        body()
    except moescope.Error as error:
        same(what, (error.status, words in str(error)), (status, True))
    else:
        same(what, "done", "refused")


def wrong(what, words, body, kind=ValueError):
    """Refused before the library is asked."""
    try:
        body()
    except kind as error:
        same(what, (words, words in str(error)), (words, True))
    else:
        same(what, "done", "refused")


documents = [moescope.Document("a", "english", "train", 40, 30, labels={"language": "en", "topic": "prose"}),
             moescope.Document("b", "python", "probe", 50, 40)]
tokens = [moescope.Token("the", train_count=7), moescope.Token("<0xE3>", "byte", 2)]
layers = [moescope.Layer(0, 4, k=2, expert_parameters=12, n_shared=1, shared_parameters=5), moescope.Layer(2, 3)]

# ---- arrays: what need not be copied is not ----

floats, ints = np.ones((3, 2), np.float32), np.arange(6, dtype=np.int64)
same("float32 is read in place", moescope._array(floats, np.float32) is floats, True)
same("int64 is converted", moescope._array(ints, np.int32).dtype, np.int32)
same("a transposed array is put into C order", moescope._array(floats.T, np.float32).flags.c_contiguous, True)
same("lists are taken", moescope._array([1, 2], np.int32).tolist(), [1, 2])
same("whole numbers are taken from floats", moescope._array([1.0, 2.0], np.int32).tolist(), [1, 2])
for bad in ([2**32], [0.7], [float("nan")], [-(2**31) - 1], [2**63]):
    wrong(f"{bad} as int32", "experts: values that are no int32", lambda: moescope._array(bad, np.int32, "experts"))
half = moescope._probabilities(np.array([[0.3, 0.6999], [0.2, 0.2]], np.float16))
same("probabilities of 16 bits sum to 1",
     [abs(float(half[0].sum()) - 1) < 1e-7, round(float(half[1].sum()), 3)], [True, 0.4])
same("those of 32 are read in place", moescope._probabilities(floats) is floats, True)

# ---- a run of two steps, by single calls and by a whole pass ----

path = os.path.join(folder, "binding.db")
ids = np.array([[0, 1, 1, 0], [1, 1, 0, 0]])
loss = np.array([[1.5, 0.5, 0.25], [2, 1, 1]], np.float32)
p = np.array([[0.5, 0.25, 0.25, 0], [0, 0, 0, 1], [0.25, 0.25, 0.25, 0.25]] * 2, np.float32)
top = np.argsort(-p, axis=1, kind="stable")[:, :2]  # int64, as of torch.topk
gates = np.take_along_axis(p, top, axis=1)

with moescope.Logbook(path) as log:
    corpus = log.add_corpus("mine", documents, tokens)
    again = log.add_corpus("mine", documents, tokens)
    same("a corpus is known again", (again.corpus_id, again.document_ids.tolist()),
         (corpus.corpus_id, corpus.document_ids.tolist()))
    with log.begin_run("first", corpus, layers, seed=3, config={"train": {"steps": 1}, "loss.balance": 0.5}) as run:
        with run.step(0) as s:
            a = s.sequence("train", 0, ids[0], loss[0], offset=4)
            s.routing(a, 0, 4, top[:3], gates[:3], probability=p[:3])
            s.routing(a, 2, 3, [2, 0, 1], [0.5, 0.25, 0.25], offsets=[0, 1, 1, 3], dropped=[0, 1, 0])
            s.document_loss("train", 0, 3, 5, 2.25)
            s.metric("train", "loss", 0.75)
            s.layer_metric("train", 0, "router_entropy", 1)
            s.event("note", "said", layer=2)
        watch = moescope.Watch()
        with watch:
            watch.record(0, top, gates, p)
            watch.record(2, np.ones((6, 1), np.int32), n_experts=3)
        watch.record(2, top)  # outside of it nothing is caught
        with run.step(1) as s:
            s.routed("probe", [1, 1], ids, loss, watch, offsets=[0, 3], n_bytes=[4, 6])
        try:
            with run.step(2) as s:
                s.metric("train", "loss", 1)
                raise KeyError
        except KeyError:
            pass
        run.drain()

    refused("a name that is taken", "already", 2, lambda: log.begin_run("first", corpus, layers))
    with log.begin_run("second", corpus, layers, gate_bits=16) as run:
        def wrong_expert():
            with run.step(0) as s:
                s.routing(s.sequence("train", 0, ids[0]), 0, 4, [[9], [9], [9]])
        refused("an expert that is not", "an expert that the layer has not", 2, wrong_expert)
    try:
        with log.begin_run("third", corpus):
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    try:
        with log.begin_run("fourth", corpus):
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    with log.resume_run("fourth", 0, corpus) as run, run.step(0) as s:
        s.metric("train", "loss", 2)

# ---- shapes: what is short is not read beyond its end ----

e, g, full = top[:3].astype(np.int32), gates[:3], p[:3]
with moescope.Logbook(os.path.join(folder, "shapes.db")) as log:
    corpus = log.add_corpus("mine", documents, tokens)
    with log.begin_run("shapes", corpus, [moescope.Layer(0, 4, k=1), moescope.Layer(1, 4)], derive_loads=False) as run:
        s = run.step(0)
        a = s.sequence("train", 0, ids[0], loss[0])
        for what, words, arguments, named in (
                ("few tokens", "experts: shape (2, 2), not (3, 2)", (e[:2],), {}),
                ("many tokens", "experts: shape (6, 2), not (3, 2)", (top,), {}),
                ("three dimensions", "experts: shape (1, 3, 2), not (3, 2)", (e[None],), {}),
                ("one expert a token, too few", "experts: shape (2, 1), not (3, 1)", (e[:2, 0],), {}),
                ("no experts", "experts", (None,), {}),
                ("gates of fewer tokens", "gates: shape (1, 2), not (3, 2)", (e, g[:1]), {}),
                ("gates of another k", "gates: shape (3, 1), not (3, 2)", (e, g[:, :1]), {}),
                ("dropped of fewer", "dropped: shape (1, 1), not (3, 2)", (e, g), {"dropped": [1]}),
                ("dropped twice", "dropped: 2", (e, g), {"dropped": [[2, 0]] * 3}),
                ("dropped 256 times", "dropped: values", (e, g), {"dropped": [[256, 0]] * 3}),
                ("probabilities of other experts", "probability: shape (3, 2), not (3, 4)", (e, g),
                 {"probability": full[:, :2]}),
                ("probabilities of fewer tokens", "probability: shape (2, 4), not (3, 4)", (e, g),
                 {"probability": full[:2]}),
                ("short offsets", "offsets: shape (3,), not (4,)", ([0, 1, 2],), {"offsets": [0, 1, 2]}),
                ("offsets beyond the end", "offsets do not rise", ([0, 1, 2],), {"offsets": [0, 1, 2, 900]}),
                ("offsets that fall", "offsets do not rise", ([0, 1, 2],), {"offsets": [0, 2, 1, 3]}),
                ("offsets from 1", "offsets do not rise", ([0, 1, 2],), {"offsets": [1, 1, 2, 3]}),
                ("gates of fewer decisions", "gates: shape (2,), not (3,)", ([0, 1, 2], [1, 1]), {"offsets": [0, 1, 1, 3]}),
                ("an expert's number that wraps", "experts: values", (e.astype(np.int64) + 2**32, g), {})):
            wrong(what, words, lambda: s.routing(a, 0, 4, *arguments, **named))
        wrong("kept probabilities of fewer tokens", "probability: shape (1, 4), not (3, 4)",
              lambda: s.probability(a, 0, full[:1]))
        wrong("kept probabilities, flat", "probability: shape (12,)", lambda: s.probability(a, 0, full.ravel()))
        wrong("sums of fewer experts", "gate_sum: shape (1,), not (4,)",
              lambda: s.load("train", 0, [1, 2, 3, 0], [0.5], [0.1]))
        wrong("loads of two dimensions", "assignments: shape (2, 2)",
              lambda: s.load("train", 0, [[1, 2], [3, 0]], None, None))
        wrong("losses of fewer", "loss: shape (2,), not (3,)", lambda: s.sequence("train", 0, ids[0], loss[0, :2]))
        wrong("ids of two dimensions", "ids: shape (2, 2), not (4,)", lambda: s.sequence("train", 0, ids[0].reshape(2, 2)))
        wrong("ids that wrap", "ids: values", lambda: s.sequence("train", 0, ids[0] + 2**32))
        wrong("no ids", "ids are 0", lambda: s.sequence("train", 0, []))
        wrong("one id", "ids are 1", lambda: s.sequence("train", 0, [1]))
        for bad in (-1, 2):
            wrong(f"document {bad}", f"document {bad} of 2", lambda: s.sequence("train", bad, ids[0]), IndexError)
            wrong(f"losses of document {bad}", f"document {bad} of 2",
                  lambda: s.document_loss("train", bad, 1, 1, 1), IndexError)
        s.discard()
        with run.step(0) as s:  # one expert a token needs no second dimension
            a = s.sequence("train", 0, ids[0], loss[0])
            s.routing(a, 0, 4, np.array([3, 1, 2], np.int32), [0.5, 0.25, 0.125], dropped=[0, 0, 1])
            s.load("train", 0, [0, 1, 0, 1], [0, 0.25, 0, 0.5], None, [0, 0, 1, 0])
    with log.begin_run("no corpus", None, layers) as run:
        s = run.step(0)
        wrong("documents without a corpus", "without a corpus", lambda: s.sequence("train", 0, ids[0]))
        s.discard()
db = sqlite3.connect(os.path.join(folder, "shapes.db"))
same("one expert a token", db.execute("SELECT position, slot, expert, dropped FROM routing ORDER BY position").fetchall(),
     [(0, 0, 3, 0), (1, 0, 1, 0), (2, 0, 2, 1)])
db.close()

# ---- what a watch is given, and passes ----

watch = moescope.Watch()
buffer = top.copy()
with watch:
    watch.record(0, buffer, gates, p)
    buffer[:] = 0  # as a router does that writes each pass into the same memory
    watch.record(1, [0, 1, 2], [0.5, 0.25, 0.25], n_experts=3)
    watch.record(2, top.reshape(2, 3, 2), gates.reshape(2, 3, 2), p.reshape(2, 3, 4).tolist())
    wrong("a second pass", "layer 0 routed twice", lambda: watch.record(0, top, gates, p))
    wrong("experts of unknown number", "give n_experts", lambda: watch.record(3, top, gates))
    wrong("gates of half the tokens", "layer 3: gates: shape (3, 2), not (6, 2)", lambda: watch.record(3, top, gates[:3], p))
    wrong("gates of one column", "gates: shape (6, 1), not (6, 2)", lambda: watch.record(3, top, gates[:, :1], p))
    wrong("probabilities of half", "probability: shape (3, 4), not (6, 4)", lambda: watch.record(3, top, gates, p[:3]))
    wrong("other experts than said", "probability: shape (6, 4), not (6, 5)", lambda: watch.record(3, top, gates, p, 5))
    caught = watch.take()
    watch.record(0, top, gates, p)  # the next pass, once the last was taken
    same("caught after it was taken", len(watch.take()), 1)
same("what is recorded is copied", caught[0][1].experts.tolist(), top.tolist())
same("lists of one expert a token", [x.tolist() for x in (caught[1][1].experts, caught[1][1].gates)],
     [[[0], [1], [2]], [[0.5], [0.25], [0.25]]])
same("recorded by sequences", (caught[2][1].experts.tolist(), caught[2][1].probability.tolist()), (top.tolist(), p.tolist()))

padded = loss.copy()
padded[1, 2:] = np.nan
short = ids.copy()
short[0, 3] = short[1, 3] = 1
path_of_passes = os.path.join(folder, "passes.db")
with moescope.Logbook(path_of_passes) as log:
    corpus = log.add_corpus("mine", documents, tokens)
    with log.begin_run("passes", corpus, layers[:1]) as run:
        s = run.step(0)
        wrong("a pass that nobody watched", "caught nothing", lambda: s.routed("train", [0, 1], ids, loss, watch))
        for what, words, named in (
                ("lengths", "lengths: 1, not 2", {"lengths": [3]}),
                ("offsets", "offsets: 1, not 2", {"offsets": [3]}),
                ("a length beyond", "lengths: [3, 4], of sequences of 3", {"lengths": [3, 4]})):
            wrong(f"wrong {what}", words, lambda: s.routed("train", [0, 1], ids, loss, watch, **named))
        with watch:
            watch.record(0, top[:5], gates[:5], p[:5])
        wrong("a pass of fewer tokens", "layer 0, a pass of 2 x 3 tokens: experts: shape (5, 2), not (6, 2)",
              lambda: s.routed("train", [0, 1], ids, loss, watch))
        s.discard()
        with run.step(0) as s:
            with watch:
                watch.record(0, top, gates, p)
            s.routed("probe", [1, 1], short, padded, watch, offsets=[0, 3], lengths=np.array([3, 2]))
            with watch:
                watch.record(0, top, gates, p)
            s.routed("probe", [1, 1], ids, loss, watch, offsets=[5, 5], lengths=[0, 3])
        with run.step(0) as s:
            with watch:
                watch.record(0, top, gates, p)
            s.routed("train", [0, 0], ids, loss, watch, offsets=[0, 5])
            s.metric("train", "loss", 1)
db = sqlite3.connect(path_of_passes)
same("tokens that are not padding", db.execute("SELECT sequence_id, count(*), sum(slot = 0) FROM routing "
                                               "WHERE split = 'probe' GROUP BY 1").fetchall(),
     [(1, 6, 3), (2, 4, 2), (3, 6, 3)])
same("losses of them", db.execute("SELECT n_tokens, n_bytes, loss_sum FROM document_loss WHERE split = 'probe'").fetchall(),
     [(8, 8, float(loss[0].sum() + loss[1, :2].sum() + loss[1].sum()))])
real = p[[0, 1, 2, 3, 4, 3, 4, 5]]
same("their entropy", [round(v, 5) for v, in db.execute("SELECT value FROM layer_metric "
                                                        "WHERE name = 'router_entropy' AND split = 'probe'")],
     [round(-sum(float(x) * float(np.log(x)) for x in real.flatten() if x > 0) / 8, 5)])
db.close()

# ---- after their end, objects say so; what is open at the end of its owner is ended with it ----


class Stopped(Exception):
    pass


path_of_ends = os.path.join(folder, "ends.db")
log = moescope.Logbook(path_of_ends)
run = log.begin_run("ended", None, layers)
committed, discarded, left = run.step(0), run.step(1), run.step(1)
committed.metric("train", "loss", 1)
committed.commit()
discarded.discard()
discarded.discard()
left.metric("train", "loss", 2)
for what, step in (("committed", committed), ("discarded", discarded)):
    for call in (lambda: step.metric("train", "loss", 1), step.commit, lambda: step.probability(0, 0, p),
                 lambda: step.routing(0, 0, 4, top), lambda: step.load("train", 0, [1], [1], [1]),
                 lambda: step.document_loss("train", 0, 1, 1, 1), lambda: step.event("note")):
        refused(f"a step that was {what}", f"the step was {what}", 2, call)
with run.step(1) as s:
    s.metric("train", "loss", 3)
    s.commit()
run.end()
run.end()
left.discard()
refused("a step that was left open", "discarded as its run ended", 2, left.commit)
refused("a step of a run that ended", "the run has ended", 2, lambda: run.step(2))
refused("waiting for a run that ended", "the run has ended", 2, run.drain)


def ended_within():
    with log.begin_run("ended within", None, layers) as run, run.step(0):
        run.end()


refused("a run that ends within its step", "discarded as its run ended", 2, ended_within)
log.begin_run("left", None, layers).step(0).metric("train", "loss", 1)
same("closing", (log.close(), log.close()), (True, True))
refused("a logbook that was closed", "was closed", 2, lambda: log.begin_run("late", None, layers))
refused("resuming in it", "was closed", 2, lambda: log.resume_run("left", 0))
refused("a corpus for it", "was closed", 2, lambda: log.add_corpus("mine", documents, tokens))
for name, error in (("left in a context", None), ("stopped in a context", Stopped),
                    ("interrupted in a context", KeyboardInterrupt)):
    try:
        with moescope.Logbook(path_of_ends) as log:
            s = log.begin_run(name, None, layers).step(0)
            s.metric("train", "loss", 1)
            s.commit()
            if error is not None:
                raise error
    except (Stopped, KeyboardInterrupt):
        pass

# ---- what is wrong with a run is said before there is one ----

with moescope.Logbook(path_of_ends) as log:
    wrong("gates of 7 bits", "8 or 16 bits, not 7", lambda: log.begin_run("bad", None, layers, gate_bits=7))
    wrong("a queue of -1", "a queue of -1 batches", lambda: log.begin_run("bad", None, layers, queue_batches=-1))
    wrong("an option that is not", "gate_bit", lambda: log.begin_run("bad", None, layers, gate_bit=8), TypeError)
    wrong("gates of 7 bits on", "not 7", lambda: log.resume_run("ended", 2, gate_bits=7))
    for bad in (float("nan"), float("-inf"), np.float32("nan")):
        wrong(f"a setting of {bad}", "config train.lr: ", lambda: log.begin_run("bad", None, config={"train": {"lr": bad}}))
    wrong("a setting that JSON has not", "config a: object is", lambda: log.begin_run("bad", None, config={"a": object()}))
    wrong("a machine that is not", "machine: ", lambda: log.begin_run("bad", None, machine={"load": float("inf")}))
    wrong("a name with a NUL", "'a\\x00b' has a NUL", lambda: log.begin_run("a\0b", None))
    wrong("a path with a NUL", "has a NUL", lambda: moescope.Logbook("a\0b"))
    config = {"lr": np.float32(0.5), "steps": np.int64(3), "on": np.bool_(True), "at": {1: np.array([1, 2])}}
    with log.begin_run("numbers", None, layers, config=config) as run, run.step(0) as s:
        wrong("a metric's name with a NUL", "has a NUL", lambda: s.metric("train", "a\0", 1))

db = sqlite3.connect(path_of_ends)
same("ends", db.execute("SELECT name, status FROM run ORDER BY run_id").fetchall(),
     [("ended", "finished"), ("ended within", "finished"), ("left", "interrupted"), ("left in a context", "interrupted"),
      ("stopped in a context", "failed"), ("interrupted in a context", "interrupted"), ("numbers", "finished")])
same("steps that were committed", db.execute("SELECT run_id, step, value FROM metric ORDER BY 1, 2").fetchall(),
     [(1, 0, 1), (1, 1, 3), (4, 0, 1), (5, 0, 1), (6, 0, 1)])
same("settings of numpy", db.execute("SELECT key, value FROM run_config ORDER BY key").fetchall(),
     [("at.1", "[1,2]"), ("lr", 0.5), ("on", 1), ("steps", 3)])
db.close()

refused("a folder", "a folder, not a file", 3, lambda: moescope.Logbook(folder))

# ---- what is there ----

db = sqlite3.connect(path)


def rows(sql):
    return db.execute(sql).fetchall()


same("runs", rows("SELECT name, status, seed FROM run ORDER BY run_id"),
     [("first", "finished", 3), ("second", "finished", 0), ("third", "failed", 0), ("fourth", "finished", 0)])
same("config", rows("SELECT key, value FROM run_config WHERE run_id = 1 ORDER BY key"), [("loss.balance", 0.5), ("train.steps", 1)])
same("labels", rows("SELECT key, value FROM document_label ORDER BY key"), [("language", "en"), ("topic", "prose")])
same("tokens", rows("SELECT text, kind, train_count FROM token JOIN token_count USING (vocabulary_id, token_id) ORDER BY token_id"),
     [("the", "piece", 7), ("<0xE3>", "byte", 2)])
same("experts", rows("SELECT layer, kind, count(*), sum(parameters) FROM expert WHERE run_id = 1 GROUP BY 1, 2 ORDER BY 1, 2"),
     [(0, "routed", 4, 48), (0, "shared", 1, 5), (2, "routed", 3, 0)])
same("decisions", rows("SELECT position, token_id, target_id, slot, expert, round(gate, 2), loss FROM routing "
                       "WHERE run_id = 1 AND step = 0 AND layer = 0 ORDER BY position, slot"),
     [(i, int(ids[0, i]), int(ids[0, i + 1]), slot, int(top[i, slot]), round(float(gates[i, slot]), 2), float(loss[0, i]))
      for i in range(3) for slot in range(2)])
same("varying decisions", rows("SELECT position, expert, dropped FROM routing WHERE run_id = 1 AND step = 0 AND layer = 2"),
     [(0, 2, 0), (2, 0, 1), (2, 1, 0)])
same("samples", rows("SELECT document_id, offset FROM sample ORDER BY 1, 2"),
     [(1, 4), (2, 0), (2, 3)])
same("losses of documents", rows("SELECT step, split, document_id, n_tokens, n_bytes, loss_sum FROM document_loss ORDER BY step"),
     [(0, "train", 1, 3, 5, 2.25), (1, "probe", 2, 6, 10, 6.25)])
same("derived loads", rows("SELECT step, domain_id, assignments, gate_sum, probability_sum FROM expert_load "
                           "WHERE layer = 0 AND expert = 3 AND run_id = 1 ORDER BY step, domain_id"),
     [(0, None, 1, 1.0, 1.25), (1, None, 2, 2.0, 2.5), (1, 2, 2, 2.0, 2.5)])
entropy = -sum(x * np.log(x) for x in p[:3].flatten() if x > 0) / 3
same("the router's entropy", [(n, round(v, 5)) for n, v in
                              rows("SELECT name, value FROM layer_metric WHERE step = 1 AND layer = 0 ORDER BY name")],
     [("rank_mass_1", round((0.5 + 1 + 0.25) / 3, 5)), ("rank_mass_2", round((0.75 + 1 + 0.5) / 3, 5)), ("rank_mass_4", 1.0),
      ("router_entropy", round(float(entropy), 5))])
same("whole vectors", rows("SELECT count(*), sum(n_experts) FROM probability_block"), [(2, 8)])
same("steps", rows("SELECT run_id, step, count(*) FROM metric GROUP BY 1, 2 ORDER BY 1, 2"), [(1, 0, 1), (4, 0, 1)])
print("failed" if failures else "done")
sys.exit(failures > 0)
