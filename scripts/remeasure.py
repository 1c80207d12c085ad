#!/usr/bin/python3
"""Measures specialization outside of moescope: remeasure.py DB RUN [PERMUTATIONS] [PROGRAM]

Reads a logbook by plain SQL, computes every table of `moescope specialization` with numpy from the formulas of
docs/metrics.md, and compares them with what PROGRAM (default bin/moescope-specialization) says:

  - figures: to 1e-9, those of random folds, halves and permutations too, since base/random.h says which they are;
  - intervals over documents: 4,000 changes of sign of its own must reject what lies outside the bounds, and not
    what lies inside, at levels between 0.03 and 0.075; of lifts, whose intervals are quantiles 0.025 and 0.975 of
    halves, 4,000 halves of its own must put the bounds between 0.005 and 0.05, and between 0.95 and 0.995;
  - q: both say whether it is at most 0.05, where it is not near that.

It shares no code with moescope. Exit status 1: something differs. Needs Debian's python3 and python3-numpy.
"""
import json
import math
import sqlite3
import subprocess
import sys

import numpy as np

FOLDS, HASH_ROUTERS, MAX_LAYERS, DRAWS = 5, 40, 1024, 4000
MASK = (1 << 64) - 1


class Random:
    """xoshiro256++ seeded by splitmix64, as base/random.h has it."""

    def __init__(self, seed, stream):
        _, mixed = self.splitmix(seed)
        state, self.s = mixed ^ stream, []
        for _ in range(4):
            state, z = self.splitmix(state)
            self.s.append(z)

    @staticmethod
    def splitmix(state):
        state = z = (state + 0x9E3779B97F4A7C15) & MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return state, z ^ (z >> 31)

    def bits(self):
        s = self.s
        x = (s[0] + s[3]) & MASK
        result = ((x << 23 | x >> 41) + s[0]) & MASK
        t = (s[1] << 17) & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = (s[3] << 45 | s[3] >> 19) & MASK
        return result

    def below(self, n):
        refused = (1 << 64) % n
        while (bits := self.bits()) < refused:
            pass
        return bits % n

    def shuffle(self, items):
        for i in range(len(items) - 1, 0, -1):
            j = self.below(i + 1)
            items[i], items[j] = items[j], items[i]

    def copy(self):
        other = object.__new__(Random)
        other.s = list(self.s)
        return other


def random_for(layer, name):
    stream = 5381
    for c in name.encode():
        stream = (stream * 33 + c) & MASK
    return Random(1, (stream * MAX_LAYERS + layer) & MASK)


# ---- the logbook ----


class Probe:
    """Documents by domain, then number; tokens document by document; choices[step][layer] = (offset, expert)."""

    def __init__(self, db, run):
        row = db.execute("SELECT run_id FROM run WHERE name = ?", (run,)).fetchone()
        if not row:
            sys.exit(f"no run '{run}'")
        self.db, self.run = db, row[0]
        self.layers = dict(db.execute("SELECT layer, n_experts FROM moe_layer WHERE run_id = ?", row))
        self.steps = [s for s, in db.execute(
            "SELECT DISTINCT step FROM sequence WHERE run_id = ? AND split = 'probe' ORDER BY step", row)]
        documents = db.execute(
            "SELECT document_id, domain.name FROM document JOIN domain USING (domain_id) WHERE document_id IN (SELECT"
            " document_id FROM sequence JOIN sample USING (sample_id) WHERE run_id = ? AND split = 'probe')"
            " ORDER BY domain.name, document_id", row).fetchall()
        self.place = {d: i for i, (d, _) in enumerate(documents)}
        self.labels = self.read_labels([domain for _, domain in documents])
        samples = sorted(((self.place[d], s, n, blob) for s, d, n, blob in db.execute(
            "SELECT sample_id, document_id, n_tokens, tokens FROM sample WHERE sample_id IN (SELECT sample_id FROM"
            " sequence WHERE run_id = ? AND split = 'probe' AND step = ?)", (self.run, self.steps[-1]))),
            key=lambda s: s[:2])
        ids = [np.frombuffer(b, "<u2" if len(b) == 2 * (n + 1) else "<u4").astype(int) for _, _, n, b in samples]
        self.token, self.next = (np.concatenate(part) for part in ([i[:-1] for i in ids], [i[1:] for i in ids]))
        self.position = np.concatenate([np.arange(n) for _, _, n, _ in samples])
        self.document = np.concatenate([np.full(n, d) for d, _, n, _ in samples])
        self.sample = np.concatenate([np.full(n, i) for i, (_, _, n, _) in enumerate(samples)])
        first = np.concatenate([[0], np.cumsum([n for _, _, n, _ in samples])])
        self.start = {s: first[i] for i, (_, s, _, _) in enumerate(samples)}
        self.n = len(documents)

    def read_labels(self, domains):
        labels = {"domain": domains}
        for key, value, document in self.db.execute("SELECT key, value, document_id FROM document_label ORDER BY key"):
            if document in self.place:
                labels.setdefault(key, [None] * len(domains))[self.place[document]] = value
        numbered = {}
        for key, values in labels.items():
            names = sorted({v for v in values if v is not None}, key=lambda v: v.encode())
            if key == "domain" or 2 <= len(names) <= len(domains) // 2:
                numbered[key] = names, np.array([-1 if v is None else names.index(v) for v in values])
        return numbered

    def choices(self, step):
        """layer -> experts of each token, in slot order."""
        chosen = {layer: [[] for _ in self.token] for layer in self.layers}
        for layer, sample, position, expert in self.db.execute(
                "SELECT layer, sample_id, position, expert FROM routing WHERE run_id = ? AND split = 'probe' AND step = ?"
                " ORDER BY sequence_id, layer, position, slot", (self.run, step)):
            chosen[layer][self.start[sample] + position].append(expert)
        return {layer: Choices(self, tokens, self.layers[layer]) for layer, tokens in chosen.items()}


class Choices:
    def __init__(self, probe, tokens, n):
        self.n, self.tokens = n, tokens
        self.k = np.array([len(t) for t in tokens])
        self.of = np.repeat(np.arange(len(tokens)), self.k)  # the token that each decision is of
        self.expert = np.array([e for t in tokens for e in t], int)
        self.document = probe.document[self.of]
        self.first = np.array([t[0] if t else -1 for t in tokens])
        self.count = self.table(self.document, probe.n)

    def table(self, value, n_values):
        return np.bincount(value * self.n + self.expert, minlength=n_values * self.n).reshape(n_values, self.n).astype(float)

    def members(self):
        made = np.zeros((len(self.tokens), self.n))
        made[self.of, self.expert] = 1
        return made


# ---- information ----


def log_ratios(both, label, expert, total, q, s):
    """ln [(n_le + s q) / (n_l n_e / n + s q)], 0 where the label was not seen."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((label > 0) & (total > 0), np.log((both + s * q) / (label * expert / total + s * q)), 0.0)


def crossed(both, held, n):
    """Nats by (label, expert) cell of a fold, learned from all but the fold."""
    rest = both - held
    expert = rest.sum(axis=0)
    q = (expert + 1) / (expert.sum() + n)  # s = N: s / N = 1
    return log_ratios(rest, rest.sum(axis=1, keepdims=True), expert, expert.sum(), q, n)


class Documents:
    """A label of the documents, dealt to folds and permuted as metrics/labels.h has it."""

    def __init__(self, choices, label, stratum=None):
        self.c = choices
        weight = choices.count.sum(axis=1)
        taking_part = [d for d in range(len(label)) if label[d] >= 0 and weight[d] > 0]
        self.document = np.array(sorted(taking_part, key=lambda d: (0 if stratum is None else stratum[d], d)), int)
        self.label = [int(label[d]) for d in self.document]
        strata = [0 if stratum is None else stratum[d] for d in self.document]
        starts = [i for i in range(len(strata)) if i == 0 or strata[i] != strata[i - 1]] + [len(strata)]
        self.strata = list(zip(starts, starts[1:]))

    def deal(self, r):
        order, dealt, before = list(range(len(self.label))), {}, 0
        for label in sorted(set(self.label)):
            dealt[label], before = before, before + self.label.count(label)
        r.shuffle(order)
        fold = np.zeros(len(order), int)
        for i in order:
            fold[i] = dealt[self.label[i]] % FOLDS
            dealt[self.label[i]] += 1
        return fold

    def permute(self, r):
        for first, end in self.strata:
            part = self.label[first:end]
            r.shuffle(part)
            self.label[first:end] = part

    def tables(self, fold):
        n_labels = max(self.label) + 1
        held = np.zeros((FOLDS, n_labels, self.c.n))
        np.add.at(held, (fold, np.array(self.label)), self.c.count[self.document])
        return held

    def estimate(self, r):
        fold = self.deal(r)
        held = self.tables(fold)
        learned = np.array([crossed(held.sum(axis=0), h, self.c.n) for h in held])
        by_document = np.zeros(len(self.c.count))
        by_document[self.document] = (self.c.count[self.document] * learned[fold, np.array(self.label)]).sum(axis=1)
        return (held * learned).sum() / held.sum(), by_document


class GivenToken(Documents):
    """The same within each token id."""

    def __init__(self, choices, label, token):
        super().__init__(choices, label)
        place = np.full(len(label), -1)
        place[self.document] = np.arange(len(self.document))
        part = place[choices.document] >= 0
        self.place, self.expert = place[choices.document][part], choices.expert[part]
        self.id = np.unique(token[choices.of][part], return_inverse=True)[1]

    def estimate(self, r):
        fold, label, n = self.deal(r), np.array(self.label), self.c.n
        f, l, e, v = fold[self.place], label[self.place], self.expert, self.id
        n_ids, n_labels = v.max() + 1, label.max() + 1

        def rest(*cell):
            """Counts of the other folds in each decision's own cell."""
            flat, size = np.zeros(len(f), int), 1
            for index, n_values in cell:
                flat, size = flat + index * size, size * n_values
            return np.bincount(flat, minlength=size)[flat] - np.bincount(flat * FOLDS + f, minlength=size * FOLDS)[flat * FOLDS + f]

        ids, labels, experts = (v, n_ids), (l, n_labels), (e, n)
        q = (rest(experts) + 1) / (rest((np.zeros_like(f), 1)) + n)
        all_of = rest(ids)
        q = (rest(ids, experts) + n * q) / (all_of + n)
        nats = log_ratios(rest(ids, labels, experts), rest(ids, labels), rest(ids, experts), all_of, q, n)
        by_document = np.zeros(len(self.c.count))
        np.add.at(by_document, self.document[self.place], nats)
        return nats.sum() / len(nats), by_document


class Values:
    """A value that changes from token to token; its folds and its null are those of metrics/values.h."""

    def __init__(self, probe, choices, value):
        self.c, self.n = choices, probe.n
        self.value = np.unique(value, return_inverse=True)[1]
        self.given, self.order = self.value, list(range(probe.n))
        self.first = np.searchsorted(probe.document, np.arange(probe.n + 1))

    def permute(self, r):
        r.shuffle(self.order)
        parts = []
        for d in self.order:
            part = self.given[self.first[d]:self.first[d + 1]]
            if len(part):
                turn = r.below(len(part))
                parts += [part[turn:], part[:turn]]
        self.value = np.concatenate(parts)

    def estimate(self, r):
        r.shuffle(self.order)
        fold = np.zeros(self.n, int)
        fold[self.order] = np.arange(self.n) % FOLDS
        f, v, n_values = fold[self.c.document], self.value[self.c.of], self.given.max() + 1
        both, sums, by_document = self.c.table(v, n_values), 0.0, np.zeros(self.n)
        for i in range(FOLDS):
            own = f == i
            held = np.bincount(v[own] * self.c.n + self.c.expert[own], minlength=both.size).reshape(both.shape)
            nats = crossed(both, held, self.c.n)[v[own], self.c.expert[own]]
            sums += nats.sum()
            np.add.at(by_document, self.c.document[own], nats)
        return sums / len(f), by_document


class Given:
    """One label with another held fixed, over documents of values of that one with two labels and more."""

    def __init__(self, choices, label, given):
        varied = [len({l for l, g in zip(label, given) if g == value and l >= 0}) > 1 for value in range(max(given) + 1)]
        part = np.array([l >= 0 and g >= 0 and varied[g] for l, g in zip(label, given)])
        fixed = np.where(part, given, -1)
        both = np.where(part, label * (max(given) + 1) + given, -1)
        self.both, self.given = Documents(choices, both, fixed), Documents(choices, fixed)

    def estimate(self, r):
        (both, by_both), (given, by_given) = self.both.estimate(r), self.given.estimate(r)
        self.of_given = given
        return both - given, by_both - by_given


def questions(probe, choices):
    labels = {key: numbers for key, (_, numbers) in probe.labels.items()}
    others = [key for key in labels if key != "domain"]
    asked = {key: Documents(choices, numbers) for key, numbers in labels.items()}
    if len(others) <= 4:
        asked.update({f"{a}|{b}": Given(choices, labels[a], labels[b]) for a in others for b in others if a != b})
    asked["domain|token"] = GivenToken(choices, labels["domain"], probe.token)
    asked.update({name: Values(probe, choices, value) for name, value in
                  (("token", probe.token), ("next_token", probe.next), ("position", probe.position))})
    return asked


def null(question, r, n):
    """Mean, quantiles and p of n permutations; the observed estimate is made anew with the same numbers."""
    shift = 0.0
    if isinstance(question, Given):
        question.estimate(r.copy())
        question, shift = question.both, question.of_given
    observed, draws, given = question.estimate(r)[0], [], getattr(question, "label", None)
    given = None if given is None else list(given)
    for _ in range(n):
        question.permute(r)
        draws.append(observed if given is not None and question.label == given else question.estimate(r)[0])
    slack = 0 if given is None else 1e-12 * (1 + abs(observed))
    p = (1 + sum(d >= observed - slack for d in draws)) / (1 + n)
    return np.mean(draws) - shift, np.quantile(draws, 0.025) - shift, np.quantile(draws, 0.975) - shift, p


def hash_router(choices, token, n, r):
    load, chosen = np.zeros(n), [[] for _ in token]
    ids, inverse = np.unique(token, return_inverse=True)
    order, decisions = list(range(n)), np.bincount(inverse, weights=choices.k)
    for i in sorted(range(len(ids)), key=lambda i: (-decisions[i], ids[i])):
        of_id = np.nonzero(inverse == i)[0]
        r.shuffle(order)
        for slot in range(choices.k[of_id].max()):
            least = min(range(slot, n), key=lambda j: (load[order[j]], j))
            order[slot], order[least] = order[least], order[slot]
        for t in of_id:
            chosen[t] = order[:choices.k[t]]
        for slot in range(choices.k[of_id].max()):
            load[order[slot]] += (choices.k[of_id] > slot).sum()
    return chosen


# ---- statistics ----


def linearised(numerator, denominator):
    """A ratio and what each document adds: the ratio is sum(off + share * ratio)."""
    ratio = numerator.sum() / denominator.sum()
    return ratio, (numerator - ratio * denominator) / denominator.sum(), denominator / denominator.sum()


class Signs:
    """Changes of sign of documents that add off + share * estimate."""

    def __init__(self, off, share, stratum, seed=1):
        self.off, self.share, self.strata = off, share, [stratum == s for s in np.unique(stratum)]
        self.signs = np.random.default_rng(seed).integers(0, 2, (DRAWS, len(off))) * 2.0 - 1
        self.variance = self.within(off)

    def within(self, residual):
        return sum(own.sum() * residual[..., own].var(axis=-1, ddof=1) for own in self.strata)

    def p(self, delta):
        """Of "the true value is the estimate less delta"."""
        drawn = self.signs * (self.off + self.share * delta)
        mean = drawn.sum(axis=1)
        variance = self.within(drawn - mean[:, None] * self.share)
        return (1 + (mean ** 2 * self.variance >= delta ** 2 * variance * (1 - 1e-9)).sum()) / (1 + DRAWS)


def halves(sums, rng):
    """(DRAWS, m) sums over random halves of the documents, scaled to as many tokens as all have. sums: (n, m), of which
    the last are tokens."""
    drawn = rng.integers(0, 2, (DRAWS, len(sums))) @ sums
    with np.errstate(invalid="ignore", divide="ignore"):
        return drawn * (sums[:, -1].sum() / drawn[:, -1:])


def benjamini_hochberg(p):
    p = np.array(p, float)
    q, known = np.full(len(p), np.nan), np.nonzero(~np.isnan(p))[0]
    order = known[np.argsort(p[known])]
    worst = 1.0
    for rank in range(len(order), 0, -1):
        worst = min(worst, p[order[rank - 1]] * len(order) / rank)
        q[order[rank - 1]] = worst
    return q


class Comparison:
    def __init__(self):
        self.wrong = 0
        self.counts = {}

    def fail(self, table, where, what):
        self.wrong += 1
        if self.wrong <= 20:
            print(f"{table} {where}: {what}")

    def same(self, table, where, ours, theirs, tolerance=1e-9):
        """A figure, or None for none."""
        of = self.counts.setdefault(table, [0, 0, 0.0])
        of[0] += 1
        ours = None if ours is None or math.isnan(ours) else float(ours)
        if (ours is None) != (theirs is None):
            return self.fail(table, where, f"{ours} here, {theirs} there")
        if ours is None:
            return None
        error = abs(ours - theirs) / max(1.0, abs(ours))
        of[2] = max(of[2], error)
        return None if error <= tolerance else self.fail(table, where, f"{ours} here, {theirs} there")

    def given(self, table, where, low, high, few):
        """Whether there is an interval to look at; none is given of few documents."""
        self.counts.setdefault(table, [0, 0, 0.0])[1] += 1
        if (few or low is None or high is None) and not (few and low is None and high is None):
            self.fail(table, where, f"interval {low} to {high} of {'few' if few else 'enough'} documents")
        return not few and low is not None and high is not None

    def near(self, table, where, draws, low, high, few):
        """An interval that is quantiles of draws, against our own."""
        if not self.given(table, where, low, high, few):
            return
        draws = draws[~np.isnan(draws)]
        for bound, within in ((low, (0.005, 0.05)), (high, (0.95, 0.995))):
            least, most = np.quantile(draws, within)
            if not least - 1e-6 * (1 + abs(least)) <= bound <= most + 1e-6 * (1 + abs(most)):
                self.fail(table, where, f"bound {bound}, not from {least} to {most}")

    def rejects(self, table, where, estimate, signs, low, high, few):
        """An interval by changes of sign, against our own."""
        if not self.given(table, where, low, high, few) or max(high - estimate, estimate - low) < 1e-9:
            return
        for bound in (low, high):
            inside, outside = signs.p((estimate - bound) * 0.998), signs.p((estimate - bound) * 1.002)
            if inside < 0.03 or outside > 0.075:
                self.fail(table, where, f"bound {bound} has p {inside} inside, {outside} outside")

    def show(self):
        for table, (figures, intervals, worst) in self.counts.items():
            print(f"{table}: {figures} figures, largest difference {worst:.2g}; {intervals} intervals")
        print(f"{self.wrong} differ")
        return 1 if self.wrong or not self.counts else 0


# ---- the tables ----


class Tables:
    def __init__(self, db, path, run, permutations, program):
        self.probe, self.permutations, self.out = Probe(db, run), permutations, Comparison()
        self.command = [program, path, "--run", run, "--permutations", str(permutations), "--format", "json", "--table"]
        self.passes = {step: self.probe.choices(step) for step in self.probe.steps}
        self.last = self.passes[self.probe.steps[-1]]
        self.domain = self.probe.labels["domain"][1]
        self.texts = dict(db.execute("SELECT token_id, text FROM token JOIN run USING (vocabulary_id) WHERE run_id = ?",
                                     (self.probe.run,)))

    def told(self, table, *keys):
        rows = json.loads(subprocess.run(self.command + [table], check=True, capture_output=True).stdout)
        return {tuple(row[k] for k in keys): row for row in rows}

    def few(self, taking_part):
        return min(np.bincount(self.domain[taking_part], minlength=1)[np.unique(self.domain[taking_part])], default=0) < 10

    def interval(self, table, where, numerator, denominator, low, high):
        part = denominator > 0
        ratio, off, share = linearised(numerator[part], denominator[part])
        self.out.rejects(table, where, ratio, Signs(off, share, self.domain[part]), low, high, self.few(part))

    def information(self):
        told, references = self.told("information", "layer", "label", "step"), self.told("references", "layer", "label")
        steps = {self.probe.steps[-1], self.probe.steps[0]}
        answers, p = {}, {}
        for step in steps:
            for layer, choices in self.passes[step].items():
                for name, question in questions(self.probe, choices).items():
                    r = random_for(layer, name)
                    nats, by_document = question.estimate(r.copy())
                    part = np.zeros(self.probe.n, bool)
                    inner = getattr(question, "both", question)
                    part[getattr(inner, "document", np.arange(self.probe.n))] = True
                    decisions = np.where(part, choices.count.sum(axis=1), 0)
                    fresh = questions(self.probe, choices)[name]
                    row, where = told.pop((layer, name, step)), (layer, name, step)
                    figures = null(fresh, r, self.permutations)
                    for column, value in zip(("null_mean", "null_low", "null_high", "p"), figures):
                        self.out.same("information", where, value, row[column])
                    self.out.same("information", where, nats, row["mutual_information"])
                    self.out.same("information", where, (decisions > 0).sum(), row["documents"])
                    self.interval("information", where, by_document, decisions, row["low"], row["high"])
                    answers[where], p[where] = (nats, by_document, decisions, row["q"]), figures[3]
        for step in steps:
            keys = [k for k in p if k[2] == step]
            for key, q in zip(keys, benjamini_hochberg([p[k] for k in keys])):
                self.out.same("information", key, q, answers[key][3])
        for where in told:
            self.out.fail("information", where, "not asked for here")
        self.references(references, answers)

    def references(self, told, answers):
        last, first = self.probe.steps[-1], self.probe.steps[0]
        hashed = {}
        for (layer, name, step), (nats, by_document, decisions, _) in answers.items():
            if step != last:
                continue
            row, where, before = told[layer, name], (layer, name), answers.get((layer, name, first))
            if first != last:
                self.out.same("references", where, nats - before[0], row["gain"], 1e-8)
                part = (decisions > 0) & (before[2] > 0)
                now, off, share = linearised(by_document[part], decisions[part])
                then, off_then, share_then = linearised(before[1][part], before[2][part])
                signs = Signs(off - off_then, (share + share_then) / 2, self.domain[part])
                self.out.rejects("references", where, now - then, signs, row["gain_low"], row["gain_high"], self.few(part))
            choices = self.last[layer]
            shape = choices.n, choices.k.tobytes()
            if shape not in hashed:
                hashed[shape] = self.ask_hash_routers(choices)
            draws = hashed[shape][name]
            for column, value in (("hash", np.mean(draws)), ("hash_low", np.quantile(draws, 0.025)),
                                  ("hash_high", np.quantile(draws, 0.975))):
                self.out.same("references", where, value, row[column])

    def ask_hash_routers(self, choices):
        nats = {}
        for i in range(HASH_ROUTERS):
            r = Random(4, i)
            drawn = Choices(self.probe, hash_router(choices, self.probe.token, choices.n, r), choices.n)
            for name, question in questions(self.probe, drawn).items():
                nats.setdefault(name, []).append(question.estimate(r)[0])
        return nats

    def lift(self):
        names, told = self.probe.labels["domain"][0], self.told("lift", "layer", "domain", "expert")
        p, q = [], []
        rng = np.random.default_rng(2)
        for layer, c in self.last.items():
            n, tokens = len(names), np.bincount(self.probe.document, weights=c.k > 0, minlength=self.probe.n)
            sums = np.hstack([c.count, tokens[:, None]])

            def lifts(by_domain):
                """(..., domains, experts + 1) sums -> shares and lifts"""
                share = by_domain[..., :-1] / by_domain[..., -1:]
                all_of = by_domain.sum(axis=-2, keepdims=True)
                with np.errstate(invalid="ignore", divide="ignore"):
                    return share, share / (all_of[..., :-1] / all_of[..., -1:])

            def by_domain(domain):
                return np.array([sums[domain == d].sum(axis=0) for d in range(n)])

            share, lift = lifts(by_domain(self.domain))
            drawn = lifts(np.stack([halves(sums[self.domain == d], rng) for d in range(n)], 1))[1]
            exchanged = np.array([lifts(by_domain(rng.permutation(self.domain)))[1] for _ in range(2000)])
            slack = 1e-9 * lift
            with np.errstate(invalid="ignore"):
                tails = np.minimum((exchanged <= lift + slack).sum(axis=0), (exchanged >= lift - slack).sum(axis=0))
            for d in range(n):
                for e in range(c.n):
                    row, where = told[layer, names[d], e], (layer, names[d], e)
                    self.out.same("lift", where, share[d, e], row["share"])
                    self.out.same("lift", where, lift[d, e], row["lift"])
                    if not math.isnan(lift[d, e]):
                        few = (self.domain == d).sum() < 10
                        self.out.near("lift", where, drawn[:, d, e], row["low"], row["high"], few)
                    p.append(math.nan if math.isnan(lift[d, e]) else min(1, 2 * (1 + tails[d, e]) / 2001))
                    q.append((where, row["q"]))
        for ours, (where, theirs) in zip(benjamini_hochberg(p), q):
            if (math.isnan(ours)) != (theirs is None):
                self.out.fail("lift", where, f"q {ours} here, {theirs} there")
            elif not math.isnan(ours) and not 0.02 < ours < 0.1 and (ours <= 0.05) != (theirs <= 0.05):
                self.out.fail("lift", where, f"q {ours} here, {theirs} there")

    def tokens(self):
        told = self.told("tokens", "layer", "expert", "rank")
        for layer, c in self.last.items():
            ids, inverse = np.unique(self.probe.token[c.of], return_inverse=True)
            count = c.table(inverse, len(ids))
            cells = np.unique(np.stack([inverse, c.expert, c.document], 1), axis=0)
            documents = np.zeros_like(count)
            np.add.at(documents, (cells[:, 0], cells[:, 1]), 1)
            with np.errstate(invalid="ignore", divide="ignore"):
                lift = count / count.sum(axis=1, keepdims=True) / (count.sum(axis=0) / count.sum())
                score = count * np.log(lift)
            for e in range(c.n):
                fit = [i for i in range(len(ids)) if documents[i, e] >= 3 and lift[i, e] > 1]
                for rank, i in enumerate(sorted(fit, key=lambda i: (-score[i, e], ids[i]))[:10], 1):
                    row, where = told.pop((layer, e, rank)), (layer, e, rank)
                    self.out.same("tokens", where, lift[i, e], row["lift"])
                    self.out.same("tokens", where, count[i, e], row["count"])
                    self.out.same("tokens", where, documents[i, e], row["documents"])
                    if self.texts[ids[i]] != row["token"]:
                        self.out.fail("tokens", where, f"{self.texts[ids[i]]!r} here, {row['token']!r} there")
        for where in told:
            self.out.fail("tokens", where, "not listed here")

    def vocabulary(self):
        told = self.told("vocabulary", "layer", "kind")
        for layer, c in self.last.items():
            for kind, token in (("input", self.probe.token), ("next", self.probe.next)):
                order, half = list(range(self.probe.n)), np.zeros(self.probe.n, int)
                Random(3, layer).shuffle(order)
                half[order] = np.arange(self.probe.n) % 2
                used = c.first >= 0
                ids, v = np.unique(token[used], return_inverse=True)
                e, d = c.first[used], self.probe.document[used]
                count = np.zeros((2, len(ids), c.n))
                np.add.at(count, (half[d], v, e), 1)
                both, seen = count.sum(axis=0), count.sum(axis=2)
                judged = (seen >= 10) & (seen[::-1] > 0)  # [half that chooses, id]
                favourite, busiest = count.argmax(axis=2), count.sum(axis=1).argmax(axis=1)
                counts = judged[1 - half[d], v]
                hit = counts & (e == favourite[1 - half[d], v])
                row, where = told[layer, kind], (layer, kind)
                total = counts.sum()
                self.out.same("vocabulary", where, hit.sum() / total if total else None, row["specialization"])
                self.out.same("vocabulary", where, (counts & (e == busiest[1 - half[d]])).sum() / total if total else None,
                              row["chance"])
                self.out.same("vocabulary", where, judged.any(axis=0).sum(), row["ids"])
                self.out.same("vocabulary", where, (both.max(axis=1) / both.sum(axis=1)).mean(), row["official"])
                self.out.same("vocabulary", where, total / len(c.first), row["covered"])
                sums = [np.bincount(d, weights=x, minlength=self.probe.n) for x in (hit, counts)]
                self.interval("vocabulary", where, *sums, row["low"], row["high"])

    def experts(self):
        pairs, flow = self.told("coactivation", "layer", "expert_a", "expert_b"), self.told("flow", "layer", "expert", "next_expert")
        layers = sorted(self.last)
        for layer in layers:
            member = self.last[layer].members()
            together = member.T @ member
            off = together - np.diag(np.diag(together))
            row, column = np.ones(len(off)), np.ones(len(off))
            for _ in range(5000):  # quasi-independence: factors with these margins but for the diagonal
                column = np.divide(off.sum(axis=0), row.sum() - row, out=np.zeros(len(off)), where=row.sum() - row > 0)
                row = np.divide(off.sum(axis=1), column.sum() - column, out=np.zeros(len(off)), where=column.sum() - column > 0)
            for (of, a, b), told in pairs.items():
                if of == layer:
                    own, expected = together[a, a], row[a] * column[b]
                    self.out.same("coactivation", (of, a, b), together[a, b] / own if own else None, told["probability"])
                    self.out.same("coactivation", (of, a, b), together[a, b] / expected if expected else None, told["lift"], 1e-6)
        for layer, following in zip(layers, layers[1:]):
            member, after = self.last[layer].members(), self.last[following].members()
            both = (member.any(axis=1) & after.any(axis=1))[:, None]
            member, after = member * both, after * both
            paths, loads = member.T @ after, np.outer(member.sum(axis=0), after.sum(axis=0)) / both.sum()
            for a in range(len(paths)):
                for b in range(len(paths[0])):
                    told, own = flow[layer, a, b], member[:, a].sum()
                    self.out.same("flow", (layer, a, b), paths[a, b] / own if own else None, told["probability"])
                    self.out.same("flow", (layer, a, b), paths[a, b] / loads[a, b] if loads[a, b] else None, told["lift"])
                    self.out.same("flow", (layer, a, b), paths[a, b], told["tokens"])

    def saturation(self):
        told = self.told("saturation", "layer", "step")
        for layer, final in self.last.items():
            end, settled, before = final.members(), None, None
            chance = {e: (final.first == e).mean() for e in range(-1, final.n)}
            for step in reversed(self.probe.steps):  # unsettled: from here on, whatever came before
                c, row, where = self.passes[step][layer], told[layer, step], (layer, step)
                now, both = c.members(), (c.k > 0) & (final.k > 0)
                shared, sizes = 2 * (now * end).sum(axis=1) * both, (c.k + final.k) * both
                self.out.same("saturation", where, shared.sum() / sizes.sum(), row["overlap"])
                self.out.same("saturation", where, 2 * (now[both].sum(axis=0) @ end[both].sum(axis=0)) / both.sum() / sizes.sum(),
                              row["chance"])
                sums = [np.bincount(self.probe.document, weights=x, minlength=self.probe.n) for x in (shared, sizes)]
                self.interval("saturation", where, *sums, row["low"], row["high"])
                settled = c.first == final.first if settled is None else settled & (c.first == final.first)
                if step != self.probe.steps[-1]:
                    chance = {e: share * (c.first == e).mean() for e, share in chance.items()}
                self.out.same("saturation", where, 1 - settled.mean(), row["unsettled"])
                self.out.same("saturation", where, 0 if before is None else 1 - sum(chance.values()), row["unsettled_chance"])
                if before is not None:
                    later, two = told[layer, before[0]], (c.k > 0) & (before[1].k > 0)
                    a, b = c.first[two], before[1].first[two]
                    loads = [np.bincount(x, minlength=c.n) / len(x) for x in (a, b)]
                    self.out.same("saturation", where, (a != b).mean(), later["flips"])
                    self.out.same("saturation", where, 1 - loads[0] @ loads[1], later["flips_chance"])
                before = step, c

    def repetition(self):
        told = self.told("repetition", "layer", "lag")
        for layer, c in self.last.items():
            member = c.members()
            for lag in (1, 2, 4, 8):
                same = (self.probe.sample[lag:] == self.probe.sample[:-lag]) & (c.k[lag:] > 0) & (c.k[:-lag] > 0)
                hit = same & (c.first[lag:] == c.first[:-lag])
                shared = (member[lag:] * member[:-lag]).sum(axis=1) * same
                sizes = (c.k[lag:] + c.k[:-lag]) * same
                row, where = told[layer, lag], (layer, lag)
                within, beyond, pairs = 0.0, np.zeros(self.probe.n), np.zeros(self.probe.n)
                for s in np.unique(self.probe.sample):
                    own = np.nonzero((self.probe.sample == s) & (c.k > 0))[0]
                    n, here = len(own), same[self.probe.sample[lag:] == s].sum()
                    load = np.bincount(c.first[own], minlength=c.n)
                    alike = here * (load * (load - 1)).sum() / (n * (n - 1)) if here else 0.0
                    within += alike
                    d = self.probe.document[self.probe.sample == s][0]
                    beyond[d] += hit[self.probe.sample[lag:] == s].sum() - alike
                    pairs[d] += here
                n = same.sum()
                if n == 0:
                    self.out.same("repetition", where, None, row["repeated"])
                    continue
                load = np.bincount(c.first[c.k > 0], minlength=c.n) / (c.k > 0).sum()
                for column, value in (("repeated", hit.sum() / n), ("chance", load @ load), ("within", within / n),
                                      ("overlap", 2 * shared.sum() / sizes.sum()), ("pairs", n), ("beyond", beyond.sum() / n)):
                    self.out.same("repetition", where, value, row[column])
                self.interval("repetition", where, beyond, pairs, row["low"], row["high"])


def main():
    if len(sys.argv) not in (3, 4, 5):
        sys.exit(__doc__)
    path, run, *more = sys.argv[1:]
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    tables = Tables(db, path, run, int(more[0]) if more else 20, more[1] if len(more) > 1 else "bin/moescope-specialization")
    for measure in (tables.information, tables.lift, tables.tokens, tables.vocabulary, tables.experts, tables.saturation,
                    tables.repetition):
        measure()
    sys.exit(tables.out.show())


if __name__ == "__main__":
    main()
