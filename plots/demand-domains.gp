# How many experts hold 90 % of gate mass, by domain and layer, with intervals: a panel a run.
# Data: run, layer, domain, concentration_90, low, high, documents, row. Parameters: run[], layer[], domain[]
# (first row first), low, high, columns, rows.

load 'style.gp'

data = name . '.csv'
room_left = 92
room_right = 16
room_top = 66
gap_x = 24
gap_y = 84
unset grid
set grid xtics lt 1 lc rgb rule lw 1
set border 1
is(r, l) = strcol("run") eq run[r] && column("layer") == layer[l]
set multiplot
do for [i = 1:|run|] {
    @panel
    title = run[i]
    @heading
    set xrange [low:high]
    set yrange [|domain| - 0.5:-0.5]
    set ytics () scale 0
    do for [d = 1:|domain|] {
        set ytics add (first_in_row(i) ? domain[d] : '' d - 1)
        set arrow from graph 0, first d - 0.5 to graph 1, first d - 0.5 nohead lc rgb rule lw 0.5 back
    }
    if (last_in_column(i, |run|)) { set xlabel 'experts that hold 90 %' } else { set xlabel '' }
    if (i == 1) {
        do for [l = 1:|layer|] {
            set label 100 + l sprintf('layer %d', layer[l]) at screen (room_left + 6 + 84.0 * (l - 1)) / width, \
                screen 1 - 14.0 / height left offset 0.9, 0 textcolor rgb muted font ',11' \
                point lt layer_type(l, |layer|)
        }
    }
    plot for [l = 1:|layer|] data using (when(is(i, l), column("concentration_90"))): \
             (column("row") + (l - 0.5 * (|layer| + 1)) * 0.7 / |layer|):"low":"high" with xerrorbars \
             lt layer_type(l, |layer|) dt 1 lw 1.2
}
unset multiplot
