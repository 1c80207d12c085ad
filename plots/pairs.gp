# Which experts meet: in one token, or in two layers one after the other. The pairs against what their loads alone
# would form. Data: layer, two columns of experts, probability, lift. Parameters: layer[], panel_title[], one,
# other (the columns), one_axis, other_axis, legend, same (1: an expert may meet itself), n_experts, columns, rows.

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
@scale
unset grid
every = n_experts > 8 ? n_experts / 4 : 1
unset border
is(l) = column("layer") == layer[l] && (same || column(one) != column(other))
left(x) = column(x) - 0.5
right(x) = column(x) + 0.5
set multiplot
do for [i = 1:|panel_title|] {
    @panel
    if (i == 1) {
        @legends
    } else { unset colorbox }
    title = panel_title[i]
    @heading
    set xrange [-0.5:n_experts - 0.5]
    set yrange [n_experts - 0.5:-0.5]
    set xtics every scale 0
    set ytics every scale 0 offset 0.6, 0
    if (first_in_row(i)) { set ylabel one_axis offset 1.5, 0 font ',11' } else { set ylabel '' }
    if (last_in_column(i, |panel_title|)) { set xlabel other_axis } else { set xlabel '' }
    plot data using (when(is(i) && column("lift") > 0, column(other))):one:(left(other)):(right(other)): \
             (left(one)):(right(one)):(clip(log2(column("lift")), 2)) with boxxyerror fs solid noborder fc palette, \
         data using (when(is(i) && column("probability") <= 0, column(other))):one:(left(other)):(right(other)): \
             (left(one)):(right(one)) with boxxyerror fs solid noborder fc rgb none_colour
}
unset multiplot
