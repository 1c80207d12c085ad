# Is the load even, and has the router an opinion? Above, the k-aware entropy of each layer's load over training, a
# panel a run: lines are windows, bands reach over their single steps. Below, the mean entropy of a token's
# probabilities over ln N. Data: run, step, layer, normalized_entropy, lowest_step, highest_step, router_entropy.
# Parameters: run[], layer[], label_y[] (run by run, a layer each), last_step, step_tic, columns, rows.

load 'style.gp'

data = name . '.csv'
room_left = 44
room_right = 64
room_top = 44
gap_x = 84
gap_y = 84
share_of_router = 0.36
split = 36.0
is(r, l) = strcol("run") eq run[r] && column("layer") == layer[l]
set multiplot
do for [i = 1:|run|] {
    @panel
    edge = panel_bottom(i) + share_of_router * panel_height(rows) / height
    title = run[i]
    unit = 'load entropy'
    set bmargin at screen edge + split / height
    @headings
    do for [l = 1:|layer|] {
        set label 10 + l sprintf('layer %d', layer[l]) at last_step * 1.03, label_y[(i - 1) * |layer| + l] left \
            textcolor lt label_type(layer_type(l, |layer|)) font ',10'
    }
    set arrow 1 from 0, 0.5 to last_step, 0.5 nohead lc rgb muted lw 1 dt (4, 4) back
    set xrange [0:last_step]
    set xtics step_tic
    set yrange [0:1.02]
    set ytics 0.25
    set xlabel ''
    set format x ''
    plot for [l = 1:|layer|] data using (when(is(i, l), column("step"))):"lowest_step":"highest_step" \
             with filledcurves fs transparent solid 0.18 noborder lt layer_type(l, |layer|), \
         for [l = 1:|layer|] data using (when(is(i, l), column("step"))):"normalized_entropy" with lines \
             lt layer_type(l, |layer|)
    unset label
    unset arrow
    unit = 'router entropy'
    @above
    set arrow 1 from 0, 0.98 to last_step, 0.98 nohead lc rgb muted lw 1 dt (4, 4) back
    set tmargin at screen edge
    set bmargin at screen panel_bottom(i)
    set ytics 0.5
    set format x '%g'
    if (last_in_column(i, |run|)) { set xlabel 'training step' }
    plot for [l = 1:|layer|] data using (when(is(i, l), column("step"))):"router_entropy" with lines \
             lt layer_type(l, |layer|)
    unset arrow
}
unset multiplot
