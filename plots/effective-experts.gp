# Effective experts e^H of each layer's load over training, a panel a run; below, how many experts got no token
# in the window. Data: run, step, layer, effective_experts, dead. Parameters: run[], run_experts[], layer[],
# label_y[] (run by run, a layer each), dead_high, last_step, step_tic, columns, rows.

load 'style.gp'

data = name . '.csv'
room_left = 44
room_right = 64
room_top = 44
gap_x = 84
gap_y = 84
share_of_dead = 0.24
split = 24.0
is(r, l) = strcol("run") eq run[r] && column("layer") == layer[l]
set multiplot
do for [i = 1:|run|] {
    @panel
    edge = panel_bottom(i) + share_of_dead * panel_height(rows) / height
    title = run[i]
    unit = sprintf('effective experts of %d', run_experts[i])
    set bmargin at screen edge + split / height
    @headings
    do for [l = 1:|layer|] {
        set label 10 + l sprintf('layer %d', layer[l]) at last_step * 1.03, label_y[(i - 1) * |layer| + l] left \
            textcolor lt label_type(layer_type(l, |layer|)) font ',10'
    }
    set xrange [0:last_step]
    set xtics step_tic
    set yrange [0:run_experts[i] * 1.03]
    set ytics run_experts[i] / 4
    set xlabel ''
    set format x ''
    plot for [l = 1:|layer|] data using (when(is(i, l), column("step"))):"effective_experts" with lines \
             lt layer_type(l, |layer|)
    unset label
    unit = 'dead experts'
    set label 2 unit at graph 0, 1 offset character 0, 0.6 left textcolor rgb ink font ',11'
    set tmargin at screen edge
    set bmargin at screen panel_bottom(i)
    set yrange [0:dead_high]
    set ytics dead_high
    set format x '%g'
    if (last_in_column(i, |run|)) { set xlabel 'training step' }
    plot for [l = 1:|layer|] data using (when(is(i, l), column("step"))):"dead" with lines \
             lt layer_type(l, |layer|)
}
unset multiplot
