# Which experts serve which domains: the share of a domain's tokens that an expert gets over its share of all
# tokens. Experts stand in the order of the domain they serve most; a dot marks a corrected q below 0.05.
# Data: layer, domain, expert, share, lift, low, high, q, row, column.
# Parameters: layer[], domain[] (first row first), n_experts, columns, rows.

load 'style.gp'

data = name . '.csv'
room_left = 92
room_right = 16
room_top = 74
room_bottom = 30
gap_x = 20
gap_y = 44
set palette @diverging maxcolors 33
set cbrange [-3:3]
set cbtics ('⅛' -3, '¼' -2, '½' -1, '1' 0, '×2' 1, '×4' 2, '×8' 3) scale 0 offset 0, 0.4
none = 'none'
none_colour = shade
legend = 'lift: share of the domain over share of all text; dot: q < 0.05'
@scale
unset grid
unset border
number_font = panel_width(columns) / n_experts < 14 ? ',8' : ',9'
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
    set yrange [|domain| + 0.6:-0.5]
    unset xtics
    set ytics () scale 0 offset 0.6, 0
    do for [d = 1:|domain|] { set ytics add (first_in_row(i) ? domain[d] : '' d - 1) }
    if (first_in_row(i)) { set label 3 'expert' at -0.8, |domain| right textcolor rgb muted font ',10' }
    plot data using (when(is(i) && column("lift") > 0, column("column"))):"row":(column("column") - 0.5): \
             (column("column") + 0.5):(column("row") - 0.5):(column("row") + 0.5):(clip(log2(column("lift")), 3)) \
             with boxxyerror fs solid noborder fc palette, \
         data using (when(is(i) && column("share") <= 0, column("column"))):"row":(column("column") - 0.5): \
             (column("column") + 0.5):(column("row") - 0.5):(column("row") + 0.5) \
             with boxxyerror fs solid noborder fc rgb none_colour, \
         data using (when(is(i) && column("q") < 0.05 && column("share") > 0, column("column"))):"row" with points \
             pt 7 ps 0.18 lc rgb ink, \
         data using (when(is(i) && column("row") == 0, column("column"))):(|domain|):(strcol("expert")) with labels \
             font number_font textcolor rgb muted
}
unset multiplot
