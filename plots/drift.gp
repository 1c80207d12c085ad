# What two monitors of a stream saw, window by window: their statistics, the thresholds, alarms, and the change.
# Data: step, and of each monitor its statistic and alarm (1 where it was raised). Parameters: title, monitor[],
# unit_of[], threshold[], low[], high[], first_step, last_step, mark (a step), marked (what it is).

load 'style.gp'

data = name . '.csv'
columns = 1
rows = |monitor|
room_left = 48
room_right = 24
room_top = 58
gap_y = 44
set multiplot
do for [i = 1:|monitor|] {
    @panel
    unit = unit_of[i]
    @above
    if (i == 1) {
        set label 1 title at graph 0, 1 offset character 0, 2.2 left font ',13' textcolor rgb ink
        set label 3 marked at mark, graph 1 offset 0.5, -0.8 left font ',11' textcolor rgb muted
    }
    set label 4 'alarm' at graph 0, first threshold[i] offset 0.4, 0.6 left font ',11' textcolor rgb muted
    set xrange [first_step:last_step]
    set yrange [low[i]:high[i]]
    set arrow 1 from first_step, threshold[i] to last_step, threshold[i] nohead lc rgb axis lw 1.2 dt (4, 3)
    set arrow 2 from mark, graph 0 to mark, graph 1 nohead lc rgb axis lw 1.2
    if (last_in_column(i, |monitor|)) { set xlabel 'step' } else { set xlabel '' }
    plot data using "step":(column(monitor[i])) with lines lt i dt 1 lw 1.2, \
         data using (when(column(monitor[i] . '_alarm') > 0, column("step"))):(column(monitor[i])) with points \
             lt i ps 0.6
}
unset multiplot
