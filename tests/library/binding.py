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
            watch.record(0, top[::-1], gates, p)  # what a checkpointed pass repeats
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
