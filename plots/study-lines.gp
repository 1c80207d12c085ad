# A figure of a study by something ordered, a line a configuration, bars from low to high.
# Data: the table's columns, x (its place on the axis), y, y_low, y_high, group (number of the configuration).
# Parameters: label[], type[], place[] (of the labels), tic[], named (1: tic[] are the axis' words, from 0 on), first, last,
# low, high, x_label, unit, zero (1: a line at 0 and, where margin > 0, its margins), log_y (1: a logarithmic axis).

load 'style.gp'

data = name . '.csv'
room_left = 52
@room_for_labels
room_top = 34
i = 1
@panel
@above
reach = last - first
set xrange [first - 0.03 * reach:last + 0.04 * reach]
if (log_y) {
    set logscale y
    set ytics ()
    do for [e = -6:9] { do for [m in "1 2 5"] { set ytics add (m * 10.0 ** e) } }
    set format y '%g'
}
set yrange [low:high]
set xlabel x_label
# The words of a tic are a format, in which a % stands doubled.
escaped(s) = strstrt(s, '%') > 0 ? s[1:strstrt(s, '%')] . s[strstrt(s, '%'):*] : s
if (!named && reach <= 12) { set xtics 1 }
if (named) {
    set xtics ()
    do for [t = 1:|tic|] { set xtics add (escaped(tic[t]) t - 1) }
}
if (zero) {
    set arrow from graph 0, first 0 to graph 1, first 0 nohead lc rgb axis lw 1.2
    if (margin > 0) {
        set object 1 rectangle from graph 0, first -margin to graph 1, first margin behind fc rgb rule fs solid noborder
    }
}
do for [r = 1:|label|] {
    set label label[r] at last + 0.06 * reach, place[r] left textcolor lt label_type(type[r]) font ',11'
}
aside(r) = (named || zero) ? (r - 0.5 * (|label| + 1)) * 0.012 * reach : 0
of(r) = column("group") == r
plot for [r = 1:|label|] data using (when(of(r), column("x") + aside(r))):(column("y")) with linespoints lt type[r], \
     for [r = 1:|label|] data using (when(of(r) && column("y_low") < column("y_high"), column("x") + aside(r))): \
         (column("y")):(column("y_low")):(column("y_high")) with yerrorbars lt type[r] dt 1 lw 1.2
