# How many experts hold 90 % of the router's probability, by layer, with intervals.
# Data: run, layer, k, router_entropy, concentration_90, low, high, ... Parameters: run[], run_type[], n_layers,
# first_layer, high, label_y[].

load 'style.gp'

data = name . '.csv'
room_left = 40
room_right = 150
room_top = 34
unit = 'experts that hold 90 % of gate mass'
i = 1
@panel
@above
set xrange [first_layer - 0.4:first_layer + n_layers - 0.6]
set yrange [0:high]
set xtics 1
set xlabel 'layer'
at_layer(r) = column("layer") + (r - 0.5 * (|run| + 1)) * 0.06
do for [r = 1:|run|] {
    set label run[r] at graph 1.02, first label_y[r] left textcolor lt label_type(run_type[r]) font ',11'
}
is(r) = strcol("run") eq run[r]
plot for [r = 1:|run|] data using (when(is(r), at_layer(r))):"concentration_90" with lines lt run_type[r] lw 1.2, \
     for [r = 1:|run|] data using (when(is(r), at_layer(r))):"concentration_90":"low":"high" with yerrorbars \
         lt run_type[r] dt 1 lw 1.5
