# Bits per byte by domain, a point a run with its interval; the count-based baselines in grey.
# Data: run, domain, documents, bits_per_byte, low, high, row. Parameters: run[], run_type[], domain[] (first
# row first), baseline[], low, high (of the x axis).

load 'style.gp'

data = name . '.csv'
room_left = 110
room_right = 160
room_top = 16
i = 1
@panel
unset grid
set grid xtics lt 1 lc rgb rule lw 1
set border 1
set xrange [low:high]
set yrange [|domain| - 0.5:-0.5]
set ytics () scale 0
do for [d = 1:|domain|] {
    set ytics add (domain[d] d - 1)
    set arrow from graph 0, first d - 0.5 to graph 1, first d - 0.5 nohead lc rgb rule lw 0.5 back
}
set xlabel 'bits per byte on held-out documents'
of(r) = strcol("run") eq r
at_row(r) = column("row") + (r - 0.5 * (|run| + 1)) * 0.76 / |run|
set key at graph 1.01, graph 1 left top Left reverse samplen 1.5 spacing 1.25 font ',11'
plot for [r = 1:|run|] data using (when(of(run[r]), column("bits_per_byte"))):(at_row(r)):"low":"high" \
         with xerrorbars lt run_type[r] dt 1 lw 1.5 title run[r], \
     for [b = 1:n_baselines] data using (when(of(baseline[b]), column("bits_per_byte"))):(column("row")) \
         with points pt (b == 1 ? 1 : 2) lc rgb axis lw 1.5 ps 0.7 title baseline[b]
