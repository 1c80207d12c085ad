# How far the token's id decides the expert, by layer: the share of tokens that go to their id's favourite expert,
# of the id that is read (full) and of the one that comes next (dashed), with intervals; dotted, what the busiest
# expert gets without looking. Data: run, layer, kind, specialization, chance, low, high. Parameters: run[],
# first_layer, n_layers, columns, rows.

load 'style.gp'

data = name . '.csv'
room_left = 44
room_right = 64
room_top = 44
gap_x = 84
gap_y = 80
is(r, k) = strcol("run") eq run[r] && strcol("kind") eq k
kinds = 'input next'
names = 'this next'
set multiplot
do for [i = 1:|run|] {
    @panel
    title = run[i]
    unit = 'to the favourite of this token, or the next'
    @headings
    set xrange [first_layer - 0.4:first_layer + n_layers - 0.6]
    set xtics n_layers > 12 ? 4 : 1
    set yrange [0:1]
    set ytics 0.25
    if (last_in_column(i, |run|)) { set xlabel 'layer' } else { set xlabel '' }
    kind(k, l) = is(i, word(kinds, k)) && column("layer") == l
    last = first_layer + n_layers - 1
    plot for [k = 1:2] data using (when(is(i, word(kinds, k)), column("layer"))):"specialization":"low":"high" \
             with yerrorbars lt k ps 0 dt 1 lw 1, \
         for [k = 1:2] data using (when(is(i, word(kinds, k)), column("layer"))):"specialization" with linespoints \
             lt k, \
         data using (when(is(i, 'input'), column("layer"))):"chance" with lines lc rgb muted lw 1 dt (1, 3), \
         for [k = 1:2] data using (when(kind(k, last), last + 0.4)):"specialization":(word(names, k)) with labels \
             left offset 0.6, 0 font ',10' textcolor lt label_type(k), \
         data using (when(kind(1, last), last + 0.4)):"chance":('busiest') with labels left offset 0.6, 0 \
             font ',10' textcolor rgb muted
}
unset multiplot
