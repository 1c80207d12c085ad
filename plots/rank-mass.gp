# Gate mass of the r likeliest experts, mean over the probe's tokens, by layer.
# Data: run, layer, rank, mass. Parameters: run[], run_experts[], layer[], columns, rows.

load 'style.gp'

data = name . '.csv'
room_left = 44
room_right = 16
room_top = 44
gap_x = 34
gap_y = 80
is(r, l) = strcol("run") eq run[r] && column("layer") == layer[l]
set multiplot
do for [i = 1:|run|] {
    @panel
    title = run[i]
    unit = 'gate mass'
    @headings
    set xrange [1:run_experts[i]]
    set yrange [0:1]
    set ytics 0.25
    set arrow 1 from graph 0, first 0.9 to graph 1, first 0.9 nohead lc rgb axis lw 1 dt (4, 3)
    set label 3 '90 %' at graph 1, first 0.9 right offset -0.3, -0.7 textcolor rgb muted font ',10'
    set key at graph 0.98, graph 0.05 bottom right Left reverse samplen 2 spacing 1.15 font ',10'
    if (last_in_column(i, |run|)) { set xlabel 'experts, likeliest first' } else { set xlabel '' }
    plot for [l = 1:|layer|] data using (when(is(i, l), column("rank"))):"mass" with linespoints \
             lt layer_type(l, |layer|) title sprintf('layer %d', layer[l])
    unset key
}
unset multiplot
