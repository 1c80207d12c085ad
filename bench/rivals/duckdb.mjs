// The same questions over the same decisions: a logbook, by way of sqlite3 with the extension, and DuckDB, on a
// table of its own and on Parquet. Every repetition asks each of the three in turn, warm; answers must be equal.
//
//   node bench/rivals/duckdb.mjs --logbook build/bench/large.db --folder build/bench --bin bin --bench build/release/bench
//
// @duckdb/node-api is looked for under FOLDER/node_modules; `make bench-duckdb` says how to install it.

import { execFileSync, spawn } from "node:child_process";
import { existsSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { parseArgs } from "node:util";

const { values: args } = parseArgs({
  options: {
    logbook: { type: "string", default: "build/bench/large.db" },
    folder: { type: "string", default: "build/bench" },
    bin: { type: "string", default: "bin" },
    bench: { type: "string", default: "build/release/bench" },
    repeats: { type: "string", default: "7" },
    threads: { type: "string", default: "2" },
    questions: { type: "string" }, // numbers from 1, with commas; all
    json: { type: "string" },
  },
});
const repeats = Number(args.repeats);
const folder = resolve(args.folder);
const table = `${folder}/rival.duckdb`;
const parquet = `${folder}/rival.parquet`;

function fail(text, status = 3) {
  console.error(`bench-duckdb: ${text}`);
  process.exit(status);
}

let duckdb;
try {
  duckdb = createRequire(`${folder}/`)("@duckdb/node-api");
} catch {
  fail(`DuckDB is missing; this installs it: npm install --prefix ${args.folder} @duckdb/node-api`, 4);
}
if (!existsSync(args.logbook)) fail(`cannot open '${args.logbook}': no such file`);

// ---- the questions ----

const few = "run_id = 1 AND split = 'train' AND step < 50"; // for what reads row by row
// counts: the decisions a row of an answer speaks of; means: of gates. `plain`: over rows on both sides.
const questions = [
  { name: "count by layer, expert", keys: ["layer", "expert"] },
  { name: "count, mean gate by domain (joined), layer, expert", keys: ["d.name", "layer", "expert"], mean: true,
    join: "JOIN domain AS d USING (domain_id)" },
  { name: "count by 100 steps, layer, expert", keys: ["step / 100", "layer", "expert"], integer: true },
  { name: "count by expert in one run's layer", keys: ["expert"], where: "run_id = 2 AND layer = 1" },
  { name: "count, mean gate by layer, expert in one domain", keys: ["layer", "expert"], mean: true,
    join: "JOIN domain AS d USING (domain_id)", where: "d.name = (SELECT min(name) FROM domain)" },
  { name: "count, mean gate by split, layer", keys: ["split", "layer"], mean: true },
  { name: "count by document (joined), expert in one layer", keys: ["d.name", "expert"],
    join: "JOIN document AS d USING (document_id)", where: "layer = 3" },
  { name: "50 steps, rows: count by layer, expert", keys: ["layer", "expert"], where: few, plain: true },
  { name: "50 steps, rows: mean gate by position, slot", keys: ["position", "slot"], mean: true, where: few,
    plain: true },
];

function ask(q, from, rows) {
  const keys = q.keys.map((key) => (rows && key === "step / 100" ? "step // 100" : key));
  const values = rows
    ? ["count(*)", ...(q.mean ? ["avg(gate)"] : [])]
    : ["sum(decisions)", ...(q.mean ? ["sum(gate_sum) / sum(decisions)"] : [])];
  return `SELECT ${[...keys, ...values].join(", ")} FROM ${from} ${q.join ?? ""} ` +
    `${q.where ? `WHERE ${q.where} ` : ""}GROUP BY ${keys.join(", ")};`;
}

// ---- those that are asked ----

// One sqlite3 shell that goes on from question to question, as a connection would.
class Logbook {
  constructor() {
    this.shell = spawn("sqlite3", ["-batch", "-readonly", "-list", "-separator", "\t", args.logbook], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.shell.on("error", () => fail("cannot run 'sqlite3'", 4));
    this.shell.on("exit", () => this.closing || fail("sqlite3 ended too early", 4));
    this.said = "";
    this.shell.stdout.on("data", (data) => {
      this.said += data;
      if (this.said.endsWith("--\n")) this.answered();
    });
    this.shell.stdin.write(`.load ${resolve(args.bin)}/moescope.so\n`);
  }
  async ask(sql) {
    const done = new Promise((answered) => (this.answered = answered));
    this.said = "";
    this.shell.stdin.write(`${sql}\n.print --\n`);
    await done;
    return this.said.split("\n").slice(0, -2).map((line) => line.split("\t"));
  }
  close() {
    this.closing = true;
    this.shell.stdin.end();
  }
}

class Duck {
  static async open(path, tables) {
    const duck = new Duck();
    const instance = await duckdb.DuckDBInstance.create(path, { threads: args.threads });
    duck.connection = await instance.connect();
    duck.instance = instance;
    for (const sql of tables) await duck.connection.run(sql);
    return duck;
  }
  async ask(sql) {
    return (await this.connection.runAndReadAll(sql)).getRows().map((row) => row.map(String));
  }
  close() {
    this.connection.closeSync();
    this.instance.closeSync();
  }
}

// ---- what DuckDB is given ----

function sqlite(sql) {
  return execFileSync("sqlite3", ["-batch", "-readonly", "-csv", args.logbook, sql], { maxBuffer: 1 << 30 });
}

const columns = (types) => `{${Object.entries(types).map(([name, type]) => `'${name}': '${type}'`)}}`;

// Narrow types, in the order of the logbook. Not measured: there are faster ways than CSV, and slower.
async function make() {
  const csv = (name) => `${folder}/rival-${name}.csv`;
  const started = performance.now();
  execFileSync(`${args.bench}/unpack`, [args.logbook, "-o", csv("decision")], { stdio: "inherit" });
  writeFileSync(csv("sequence"), sqlite("SELECT sequence_id, run_id, step, s.split, document_id, domain_id " +
    "FROM sequence AS s JOIN sample USING (sample_id) JOIN document USING (document_id)"));
  writeFileSync(csv("domain"), sqlite("SELECT domain_id, name FROM domain"));
  writeFileSync(csv("document"), sqlite("SELECT document_id, domain_id, name FROM document"));
  const read = (name, types) => `read_csv('${csv(name)}', header = false, columns = ${columns(types)})`;
  const duck = await Duck.open(table, [
    `CREATE TABLE domain AS FROM ${read("domain", { domain_id: "UTINYINT", name: "VARCHAR" })}`,
    `CREATE TABLE document AS FROM ${
      read("document", { document_id: "UINTEGER", domain_id: "UTINYINT", name: "VARCHAR" })}`,
    `CREATE TEMP TABLE sequence AS FROM ${read("sequence", { sequence_id: "UINTEGER", run_id: "UTINYINT",
      step: "UINTEGER", split: "VARCHAR", document_id: "UINTEGER", domain_id: "UTINYINT" })}`,
    `CREATE TYPE split AS ENUM (SELECT DISTINCT split FROM sequence ORDER BY split)`,
    `CREATE TABLE routing AS SELECT run_id, step, split::split AS split, sequence_id, document_id, domain_id, ` +
      `position, layer, slot, expert, gate FROM ${read("decision", { sequence_id: "UINTEGER", layer: "UTINYINT",
        position: "USMALLINT", slot: "UTINYINT", expert: "USMALLINT", gate: "FLOAT" })} ` +
      `JOIN sequence USING (sequence_id)`,
    `COPY routing TO '${parquet}' (FORMAT parquet, COMPRESSION zstd)`,
    "CHECKPOINT",
  ]);
  duck.close();
  for (const name of ["decision", "sequence", "domain", "document"]) rmSync(csv(name));
  console.error(`DuckDB's files were made in ${((performance.now() - started) / 1e3).toFixed(0)} s`);
}

// ---- answers ----

// Counts exactly, means to a millionth.
function compare(q, expected, found, who) {
  const order = (rows) => rows.map((row) => [row.slice(0, q.keys.length).join("\t"), ...row.slice(q.keys.length)])
    .sort((a, b) => (a[0] < b[0] ? -1 : 1));
  const [a, b] = [order(expected), order(found)];
  const same = (x, y, i) => (i < 2 ? x === y : Math.abs(x - y) <= 1e-6 * Math.abs(x));
  if (a.length !== b.length) fail(`${q.name}: ${b.length} groups of ${who}, ${a.length} of the logbook`);
  a.forEach((row, i) => {
    if (!row.every((x, j) => same(x, b[i][j], j))) fail(`${q.name}: ${who} says ${b[i]}, the logbook ${row}`);
  });
  return a.reduce((sum, row) => sum + Number(row[1]), 0);
}

const median = (x) => x.toSorted((a, b) => a - b)[Math.floor(x.length / 2)];

async function time(who, sql) {
  const start = performance.now();
  const answer = await who.ask(sql);
  return { answer, ms: performance.now() - start };
}

async function measure(q, logbook, ducks) {
  const contestants = [
    [logbook, ask(q, q.plain ? "routing" : "routing_count", q.plain), []],
    ...ducks.map((duck) => [duck, ask(q, "routing", true), []]),
  ];
  // SQLite and its rows divide whole numbers by `/`.
  if (q.integer) contestants[0][1] = contestants[0][1].replaceAll("//", "/");
  let decisions;
  for (let i = -1; i < repeats; i++) { // the first one warms up and is compared
    const turn = i % 2 ? contestants.toReversed() : contestants;
    const answers = new Map();
    for (const [who, sql, times] of turn) {
      const { answer, ms } = await time(who, sql);
      answers.set(who, answer);
      if (i >= 0) times.push(ms);
    }
    decisions = compare(q, answers.get(logbook), answers.get(ducks[0]), "DuckDB's table");
    compare(q, answers.get(logbook), answers.get(ducks[1]), "Parquet");
  }
  const [a, b, c] = contestants.map(([, , times]) => median(times));
  return { question: q.name, decisions, logbook_ms: a, duckdb_ms: b, parquet_ms: c, duckdb_by_logbook: b / a,
    parquet_by_logbook: c / a };
}

// ---- main ----

if (!existsSync(parquet)) {
  rmSync(table, { force: true });
  await make();
}
const logbook = new Logbook();
const ducks = [
  await Duck.open(table, []),
  await Duck.open(":memory:", [
    `ATTACH '${table}' AS t (READ_ONLY)`,
    "CREATE TABLE domain AS FROM t.domain",
    "CREATE TABLE document AS FROM t.document",
    "DETACH t",
    `CREATE VIEW routing AS FROM read_parquet('${parquet}')`,
  ]).catch(async (error) => fail(error.message)),
];
const version = (await ducks[0].ask("SELECT version()"))[0][0];
const results = [];
const asked = args.questions ? args.questions.split(",").map((i) => questions[i - 1]) : questions;
if (asked.includes(undefined)) fail(`--questions takes numbers from 1 to ${questions.length}`, 2);
for (const q of asked) {
  results.push(await measure(q, logbook, ducks));
  console.error(q.name);
}
logbook.close();
ducks.forEach((duck) => duck.close());

const mib = (path) => (statSync(path).size / 2 ** 20).toFixed(0);
const pad = (x, n) => (typeof x === "number" ? x.toPrecision(4).padStart(n) : x.padEnd(n));
console.log(`The logbook and DuckDB ${version}, ${args.threads} threads, ms: medians of ${repeats} in turns\n`);
console.log(`${pad("question", 52)}  M decisions    logbook     DuckDB    Parquet  DuckDB/logbook  Parquet/logbook`);
for (const r of results) {
  console.log([pad(r.question, 52), pad(r.decisions / 1e6, 11), pad(r.logbook_ms, 9), pad(r.duckdb_ms, 9),
    pad(r.parquet_ms, 9), pad(r.duckdb_by_logbook, 14), pad(r.parquet_by_logbook, 15)].join("  "));
}
console.log(`\nMiB: logbook ${mib(args.logbook)}, with tokens, losses and loads; ` +
  `DuckDB ${mib(table)}, Parquet ${mib(parquet)}: decisions alone`);
if (args.json) writeFileSync(args.json, `${JSON.stringify(results, null, 1)}\n`);
