#!/bin/sh
# The demo: prepares the default text, trains six small models and two baselines, analyses them and writes the
# report. Everything goes to build/demo; started again, it goes on where it stopped.
set -eu

out=${1:-build/demo}
log=$out/demo.db
text=$out/text
corpus=$out/corpus
mkdir -p "$out"

train() { # name, then what differs from studies/demo.ini
    name=$1
    shift
    bin/moescope train --log "$log" --name "$name" --config studies/demo.ini --set "data.corpus=$corpus" --resume "$@"
}

sh corpora/default.sh "$text"
bin/moescope corpus "$text" -o "$corpus" --vocabulary 1024 >"$out/corpus.txt"

train unigram --set model.kind=unigram
train bigram --set model.kind=bigram
train top1-unbalanced --set router.k=1 --set loss.balance=0 --set loss.z=0 --set router.hidden=256
train top1-balanced --set router.k=1 --set router.hidden=256
train top2-balanced --set router.k=2
train top-p --set router.name=topp --set router.p=0.4
train maskmoe --set router.name=mask --set router.k=1 --set router.hidden=256
train dense --set router.name=dense

bin/moescope check "$log" >"$out/check.txt"
bin/moescope report "$log" -o "$out/report.html"
bin/moescope runs "$log"

cat <<TXT

The report:   $out/report.html
The logbook:  $log

Ask it anything (bin/moescope sql $log opens a shell; plain sqlite3 does as well):

  -- which experts does each domain use in layer 1 of the balanced top-2 run, at its last probe?
  SELECT d.name AS domain, l.expert, round(100.0 * l.assignments / sum(l.assignments) OVER (PARTITION BY d.name)) AS percent
  FROM expert_load l JOIN run USING (run_id) JOIN domain d USING (domain_id)
  WHERE run.name = 'top2-balanced' AND l.split = 'probe' AND l.layer = 1
    AND l.step = (SELECT max(step) FROM expert_load e WHERE e.run_id = l.run_id AND e.split = 'probe')
  ORDER BY domain, percent DESC;

  -- how many of 16 experts still get work without a balance loss?
  SELECT step, layer, sum(assignments > 0) AS experts_in_use
  FROM expert_load JOIN run USING (run_id)
  WHERE run.name = 'top1-unbalanced' AND split = 'train' AND domain_id IS NULL AND step % 100 = 0
  GROUP BY step, layer;

  -- which domain does each run model best?
  SELECT run.name, d.name AS domain,
         CASE WHEN count(loss_sum) = count(*) THEN round(sum(loss_sum) / sum(dl.n_tokens), 3) END AS nats_per_token
  FROM document_loss dl JOIN run USING (run_id) JOIN document USING (document_id) JOIN domain d USING (domain_id)
  WHERE dl.split = 'valid'
    AND dl.step = (SELECT max(step) FROM document_loss x WHERE x.run_id = dl.run_id AND x.split = 'valid')
  GROUP BY run.name, d.name ORDER BY d.name, nats_per_token;
TXT
