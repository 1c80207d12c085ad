# Validation loss by step: a line a run, its final interval beside it, count-based baselines across.
# Data: run, step, documents, loss, bits_per_byte, low, high (the last two where there is an interval).
# Parameters: run[], run_type[], final[], label_y[], baseline[], baseline_loss[], baseline_y[], last_step, low,
# high (of the y axis), shown (a column), unit.

load 'style.gp'

data = name . '.csv'
room_left = 44
room_right = 200
room_top = 34
beside = last_step * (1.02 + 0.014 * |run|)
interval_at(r) = last_step * (1.01 + 0.014 * r)
place = beside + last_step * 0.015
i = 1
@panel
@above
set xrange [0:beside]
set yrange [low:high]
set xlabel 'training step'
do for [b = 1:n_baselines] {
    set arrow from 0, baseline_loss[b] to beside, baseline_loss[b] nohead lc rgb axis lw 1.2 dt (4, 3)
    set label baseline[b] . sprintf('  %.2f', baseline_loss[b]) at place, baseline_y[b] left \
        textcolor rgb muted font ',11'
}
do for [r = 1:|run|] {
    set label run[r] . sprintf('  %.2f', final[r]) at place, label_y[r] left textcolor lt label_type(run_type[r]) font ',11'
}
set clip two
is(r) = strcol("run") eq run[r]
plot for [r = 1:|run|] data using (when(is(r), column("step"))):(column(shown)) with linespoints lt run_type[r], \
     for [r = 1:|run|] data using (when(is(r) && column("low") > 0, interval_at(r))): \
         (column(shown)):"low":"high" with yerrorbars lt run_type[r] dt 1 lw 1.5
