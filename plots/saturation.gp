# How early routing settles, by layer: a share of the probe's decisions at each step against those of the last
# one; thin and dotted, what the loads alone give. Data: run, layer, step, shares. Parameters: run[], layer[],
# label_y[] (run by run), share, chance (the columns), unit_of_share, to_the_end (1: the last step is drawn),
# last_step, columns, rows.

load 'style.gp'

data = name . '.csv'
room_left = 44
room_right = 64
room_top = 44
gap_x = 84
gap_y = 80
# Steps on a logarithmic axis that has a place for 0: most happens early.
at(step) = log2(step + 1)
is(r, l) = strcol("run") eq run[r] && column("layer") == layer[l]
set multiplot
do for [i = 1:|run|] {
    @panel
    title = run[i]
    unit = unit_of_share
    @headings
    do for [l = 1:|layer|] {
        set label 10 + l sprintf('layer %d', layer[l]) at at(last_step) * 1.03, label_y[(i - 1) * |layer| + l] left \
            textcolor lt label_type(layer_type(l, |layer|)) font ',10'
    }
    set xrange [0:at(last_step)]
    set xtics ('0' 0) scale 0.5
    do for [power = 0:int(log10(last_step))] { set xtics add (sprintf('%d', 10**power) at(10**power)) }
    set yrange [0:1]
    set ytics 0.25
    if (last_in_column(i, |run|)) { set xlabel 'training step' } else { set xlabel '' }
    drawn(l) = is(i, l) && (to_the_end || column("step") < last_step)
    plot for [l = 1:|layer|] data using (when(is(i, l), at(column("step")))):chance with lines \
             lt layer_type(l, |layer|) lw 1 dt (1, 3), \
         for [l = 1:|layer|] data using (when(drawn(l), at(column("step")))):share with linespoints \
             lt layer_type(l, |layer|)
}
unset multiplot
