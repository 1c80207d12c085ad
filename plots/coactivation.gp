# Which experts are chosen together: pairs against what their loads alone would form.
# Data: layer, expert_a, expert_b, probability, lift. Parameters: layer[], n_experts, columns, rows.

load 'style.gp'

data = name . '.csv'
room_left = 40
room_right = 16
room_top = 74
gap_x = 36
gap_y = 48
set palette @diverging maxcolors 33
set cbrange [-2:2]
set cbtics ('¼' -2, '½' -1, '1' 0, '×2' 1, '×4' 2) scale 0 offset 0, 0.4
none = 'never'
none_colour = shade
legend = 'pairs chosen together against chance'
@scale
unset grid
every = n_experts > 8 ? n_experts / 4 : 1
unset border
is(l) = column("layer") == layer[l]
set multiplot
do for [i = 1:|layer|] {
    @panel
    if (i == 1) {
        @legends
    } else { unset colorbox }
    title = sprintf('layer %d', layer[i])
    @heading
    set xrange [-0.5:n_experts - 0.5]
    set yrange [n_experts - 0.5:-0.5]
    set xtics every scale 0
    set ytics every scale 0 offset 0.6, 0
    if (first_in_row(i)) { set ylabel 'expert' offset 1.5, 0 font ',11' } else { set ylabel '' }
    if (last_in_column(i, |layer|)) { set xlabel 'expert' } else { set xlabel '' }
    other(l) = is(l) && column("expert_a") != column("expert_b")
    plot data using (when(other(i) && column("lift") > 0, column("expert_b"))):"expert_a": \
             (column("expert_b") - 0.5):(column("expert_b") + 0.5):(column("expert_a") - 0.5): \
             (column("expert_a") + 0.5):(clip(log2(column("lift")), 2)) with boxxyerror fs solid noborder fc palette, \
         data using (when(other(i) && column("probability") <= 0, column("expert_b"))):"expert_a": \
             (column("expert_b") - 0.5):(column("expert_b") + 0.5):(column("expert_a") - 0.5): \
             (column("expert_a") + 0.5) with boxxyerror fs solid noborder fc rgb none_colour
}
unset multiplot
