# Whether a token's expert comes back one, two, four ... tokens later; dotted, the chance that loads alone give.
# Data: run, layer, lag, repeated, chance. Parameters: run[], layer[], label_y[] (run by run), last_lag, high,
# columns, rows.

load 'style.gp'

data = name . '.csv'
room_left = 44
room_right = 64
room_top = 44
gap_x = 84
gap_y = 80
is(r, l) = strcol("run") eq run[r] && column("layer") == layer[l]
set multiplot
do for [i = 1:|run|] {
    @panel
    title = run[i]
    unit = 'same expert again'
    @headings
    set logscale x 2
    do for [l = 1:|layer|] {
        set label 10 + l sprintf('layer %d', layer[l]) at last_lag * 1.12, label_y[(i - 1) * |layer| + l] left \
            textcolor lt label_type(layer_type(l, |layer|)) font ',10'
    }
    set xrange [0.9:last_lag * 1.06]
    set yrange [0:high]
    if (last_in_column(i, |run|)) { set xlabel 'tokens later' } else { set xlabel '' }
    plot for [l = 1:|layer|] data using (when(is(i, l), column("lag"))):"chance" with lines \
             lt layer_type(l, |layer|) lw 1 dt (1, 3), \
         for [l = 1:|layer|] data using (when(is(i, l), column("lag"))):"repeated" with linespoints \
             lt layer_type(l, |layer|)
}
unset multiplot
