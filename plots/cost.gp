# What a run costs and what it reaches: final validation loss against compute.
# Data: run, gigaflop, loss, low, high. Parameters: run[], run_type[], cost_low, cost_high, low, high, label_y[],
# label_x[], unit, cost_unit, cost_scale (gigaflop in one).

load 'style.gp'

data = name . '.csv'
room_left = 48
room_right = 60
room_top = 34
i = 1
@panel
@above
set xrange [cost_low:cost_high]
set yrange [low:high]
set xlabel 'training compute, ' . cost_unit
set format x '%g'
do for [r = 1:|run|] {
    set label run[r] at label_x[r], label_y[r] left offset 0.9, 0 textcolor lt label_type(run_type[r]) font ',11'
}
plot for [r = 1:|run|] data using (when(strcol("run") eq run[r], column("gigaflop") / cost_scale)):"loss":"low":"high" \
         with yerrorbars lt run_type[r] dt 1 lw 1.5 ps 0.9
