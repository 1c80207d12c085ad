# Differences from one run, paired by document: over all text, then by domain. Filled where the interval
# leaves zero out. Data: run, baseline, domain, documents, difference, low, high, verdict, unit, row.
# Parameters: run[], run_type[], domain[] (first row first), height of a row in pixels, all_low, all_high,
# domain_low, domain_high, all_unit, domain_unit, baseline.

load 'style.gp'

data = name . '.csv'
room_left = 110
room_right = 160
room_top = 40
room_bottom = 44
split = 64.0
heading_at = 1 - (room_top - 14.0) / height
all_bottom = 1 - 1.0 * (room_top + row_height) / height
set multiplot
unset grid
if (format ne 'txt') { set grid xtics lt 1 lc rgb rule lw 1 }
set border 1
set lmargin at screen room_left / (1.0 * width)
set rmargin at screen 1 - room_right / (1.0 * width)
outside(low, high) = low > 0 || high < 0
is(r, whole) = strcol("run") eq run[r] && (strcol("domain") eq 'all') == whole && \
    (!whole || strcol("unit") eq all_unit)
at_row(r) = column("row") + (r - 0.5 * (|run| + 1)) * 0.76 / |run|
hollow(t) = t == 1 ? 6 : t == 2 ? 4 : t == 3 ? 8 : t == 4 ? 12 : t == 5 ? 10 : t == 6 ? 6 : 4
solid(t) = t == 1 ? 7 : t == 2 ? 5 : t == 3 ? 9 : t == 4 ? 13 : t == 5 ? 11 : t == 6 ? 7 : 5

do for [part = 0:1] {
    unset label
    unset arrow
    whole = part == 0
    set tmargin at screen (whole ? 1 - 1.0 * room_top / height : all_bottom - split / height)
    set bmargin at screen (whole ? all_bottom : 1.0 * room_bottom / height)
    if (whole) {
        set xrange [all_low:all_high]
        set yrange [0.5:-0.5]
        set ytics ('all text' 0) scale 0
        set xlabel all_unit
        set label 1 sprintf('←  better than %s', baseline) at graph 0, screen heading_at left \
            textcolor rgb muted font ',11'
        set label 2 sprintf('worse than %s  →', baseline) at graph 1, screen heading_at right \
            textcolor rgb muted font ',11'
        do for [r = 1:|run|] {
            set label 10 + r run[r] at graph 1.02, graph 1 - (r - 0.5) / |run| left textcolor lt label_type(run_type[r]) \
                font ',11'
        }
    } else {
        set xrange [domain_low:domain_high]
        set yrange [n_domains - 0.5:-0.5]
        set ytics () scale 0
        do for [d = 1:n_domains] { set ytics add (domain[d] d - 1) }
        set xlabel domain_unit
    }
    set arrow 1 from 0, graph 0 to 0, graph 1 nohead lc rgb axis lw 1.5 back
    plot for [r = 1:|run|] data using (when(is(r, whole), column("difference"))):(at_row(r)):"low":"high" \
             with xerrorbars lt run_type[r] dt 1 lw 1.5 pt -1, \
         for [r = 1:|run|] data using (when(is(r, whole) && outside(column("low"), column("high")), \
             column("difference"))):(at_row(r)) with points lt run_type[r] pt solid(run_type[r]), \
         for [r = 1:|run|] data using (when(is(r, whole) && !outside(column("low"), column("high")), \
             column("difference"))):(at_row(r)) with points lt run_type[r] pt hollow(run_type[r]) lw 1.5
}
unset multiplot
