# How tokens are spread over a layer's experts, window by window: blue is below the even share, orange above,
# black got no token at all. Data: layer, expert, first_step, last_step, share, relative (1 is even).
# Parameters: layer[], n_experts, last_step, step_tic, columns, rows.

load 'style.gp'

data = name . '.csv'
room_left = 40
room_top = 74
gap_x = 26
gap_y = 52
set palette @diverging maxcolors 33
set cbrange [-3:3]
set cbtics ('⅛' -3, '¼' -2, '½' -1, 'even' 0, '×2' 1, '×4' 2, '×8' 3) scale 0 offset 0, 0.4
none = 'none'
none_colour = ink
legend = 'share of tokens against an even spread'
@scale
unset grid
every = n_experts > 8 ? n_experts / 4 : 1
is(l) = column("layer") == layer[l]
set multiplot
do for [i = 1:|layer|] {
    @panel
    if (i == 1) {
        @legends
    } else { unset colorbox }
    title = sprintf('layer %d', layer[i])
    @heading
    set xrange [0:last_step]
    set xtics step_tic
    set yrange [n_experts - 0.5:-0.5]
    set ytics every scale 0
    if (first_in_row(i)) { set format y '%g' } else { set format y '' }
    if (first_in_row(i)) { set ylabel 'expert' offset 1.5, 0 font ',11' } else { set ylabel '' }
    if (last_in_column(i, |layer|)) { set xlabel 'training step' } else { set xlabel '' }
    plot data using (when(is(i) && column("relative") > 0, column("first_step"))):"expert":"first_step":"last_step": \
             (column("expert") - 0.5):(column("expert") + 0.5):(clip(log2(column("relative")), 3)) \
             with boxxyerror fs solid noborder fc palette, \
         data using (when(is(i) && column("relative") <= 0, column("first_step"))):"expert":"first_step":"last_step": \
             (column("expert") - 0.5):(column("expert") + 0.5) with boxxyerror fs solid noborder fc rgb none_colour
}
unset multiplot
