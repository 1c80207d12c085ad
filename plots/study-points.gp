# What a configuration reaches against what it costs: a point a configuration, bars over seeds.
# Data: the table's columns, x, y, y_low, y_high, group. Parameters: label[], type[], place[] (of the labels), low, high, first,
# last, x_label, unit, log_y (1: a logarithmic axis).

load 'style.gp'

data = name . '.csv'
room_left = 52
@room_for_labels
room_top = 34
i = 1
@panel
@above
set grid xtics lt 1 lc rgb rule lw 1
reach = last - first
set xrange [first - 0.05 * reach:last + 0.05 * reach]
if (log_y) { set logscale y }
set yrange [low:high]
set xlabel x_label
do for [r = 1:|label|] {
    set label label[r] at last + 0.1 * reach, place[r] left textcolor lt label_type(type[r]) font ',11'
}
of(r) = column("group") == r
plot for [r = 1:|label|] data using (when(of(r), column("x"))):(column("y")) with points lt type[r] ps 1.1, \
     for [r = 1:|label|] data using (when(of(r) && column("y_low") < column("y_high"), column("x"))): \
         (column("y")):(column("y_low")):(column("y_high")) with yerrorbars lt type[r] dt 1 lw 1.2
