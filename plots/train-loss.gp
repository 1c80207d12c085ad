# Training loss by step, each point the mean over a stretch of steps.
# Data: run, step, steps, loss. Parameters: run[], run_type[], final[], label_y[], last_step, low, high.

load 'style.gp'

data = name . '.csv'
room_left = 44
room_right = 176
room_top = 34
unit = 'training loss (nats per token)'
i = 1
@panel
@above
set xrange [0:last_step]
set yrange [low:high]
set xlabel 'training step'
do for [r = 1:|run|] {
    set label run[r] . sprintf('  %.2f', final[r]) at last_step * 1.02, label_y[r] left \
        textcolor lt label_type(run_type[r]) font ',11'
}
plot for [r = 1:|run|] data using (when(strcol("run") eq run[r], column("step"))):"loss" with lines \
         lt run_type[r] lw 1.5
