# What a token's expert tells about its document: mutual information by layer, at the end (full) and at step 0
# (pale), with intervals; the grey band is what labels dealt at random give, the dashes what a hash router shows.
# Data: run, layer, label, step, mutual_information, null_mean, null_low, null_high, ..., low, high, hash.
# Parameters: run[], run_type[], label_of_row[], row_title[], row_high[], row_low[], row_tic[], n_layers, first_layer, columns, rows.

load 'style.gp'

data = name . '.csv'
room_left = 52
room_right = 12
room_top = 44
room_bottom = 60
gap_x = 34
gap_y = 50
half = 0.17
is(r, k) = strcol("run") eq run[r] && strcol("label") eq label_of_row[k]
set multiplot
do for [i = 1:columns * rows] {
    r = (i - 1) % columns + 1
    k = (i - 1) / columns + 1
    @panel
    title = k == 1 ? run[r] : ''
    unit = row_title[k]
    @headings
    set xrange [first_layer - 0.6:first_layer + n_layers - 0.4]
    set yrange [row_low[k]:row_high[k]]
    set ytics row_tic[k]
    set arrow 1 from graph 0, first 0 to graph 1, first 0 nohead lc rgb axis lw 1
    set xtics 1 scale 0
    if (r > 1) { set format y '' } else { set format y '%g' }
    if (last_in_column(i, columns * rows)) { set xlabel 'layer' } else { set xlabel '' }
    end(x) = column("step") > 0
    plot data using (when(is(r, k) && end(0), column("layer"))):"null_mean":(column("layer") - 0.46): \
             (column("layer") + 0.46):"null_low":"null_high" with boxxyerror fs solid noborder fc rgb shade, \
         data using (when(is(r, k) && !end(0), column("layer") - half - 0.02)):(column("mutual_information") / 2): \
             (half):(abs(column("mutual_information") / 2)) with boxxyerror lt run_type[r] dt 1 lw 1 \
             fs transparent solid 0.3 border lt run_type[r], \
         data using (when(is(r, k) && end(0), column("layer") + half + 0.02)):(column("mutual_information") / 2): \
             (half):(abs(column("mutual_information") / 2)) with boxxyerror lt run_type[r] dt 1 lw 1 fs solid \
             border lt run_type[r], \
         data using (when(is(r, k), column("layer") + (end(0) ? 1 : -1) * (half + 0.02))):"mutual_information": \
             "low":"high" with yerrorbars ps 0 lc rgb ink lw 1.2 dt 1, \
         data using (when(is(r, k) && end(0), column("layer") - 0.46)):"hash":(0.92):(0) with vectors nohead \
             lc rgb ink lw 1.2 dt (2, 2)
}
unset multiplot
