# Validation loss by step over seeds: the mean of a group of runs alike but for the seed, and a band around it.
# Data: group, step, seeds, loss, band_low, band_high (the same as loss where there is one run). Parameters: group[],
# group_type[], seeds[], final[], label_y[], last_step, low, high (of the y axis).

load 'style.gp'

data = name . '.csv'
room_left = 44
room_right = 200
room_top = 34
unit = 'validation loss (nats per token)'
i = 1
@panel
@above
set xrange [0:last_step]
set yrange [low:high]
set xlabel 'training step'
do for [g = 1:|group|] {
    set label group[g] . sprintf('  %.2f  (N = %d)', final[g], seeds[g]) at last_step * 1.02, label_y[g] left \
        textcolor lt label_type(group_type[g]) font ',11'
}
set clip two
is(g) = strcol("group") eq group[g]
plot for [g = 1:|group|] data using (when(is(g), column("step"))):"band_low":"band_high" with filledcurves \
         lt group_type[g] fs transparent solid 0.22 noborder, \
     for [g = 1:|group|] data using (when(is(g), column("step"))):"loss" with linespoints lt group_type[g]
