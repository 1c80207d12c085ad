# What every figure shares: size, type, colours, panels. A figure's script sets its parameters (name, width,
# height in pixels, and its own), loads this file and draws.
#
#   gnuplot FIGURE.gp                      FIGURE.svg
#   gnuplot -e "format='pdf'" FIGURE.gp    FIGURE.pdf, for a paper; 'png' as well, and 'txt' for a terminal
#
# Needs gnuplot 5.4; palettes are written out because `set palette viridis` is newer.

if (!exists("format")) format = 'svg'
if (!exists("width")) width = 760
if (!exists("height")) height = 380

# SVG counts type in pixels, the others in points: 0.75 of a pixel at 96 to the inch.
set encoding utf8
set decimalsign '.'
if (format eq 'svg') {
    set terminal svg size width,height dynamic noenhanced font 'sans-serif,12'
}
if (format eq 'pdf') {
    set terminal pdfcairo size width / 96.0,height / 96.0 noenhanced font 'sans-serif,12' fontscale 0.75
}
if (format eq 'png') {
    set terminal pngcairo size 2 * width,2 * height noenhanced font 'sans-serif,12' fontscale 1.5 linewidth 2 \
        pointscale 2
}
if (format eq 'txt') { # `wide` columns, in the figure's shape: a character is twice as high as wide
    if (!exists("wide")) { wide = 100 }
    set terminal dumb size wide,int(0.5 * wide * height / width) + 4 noenhanced mono
}
set output name . '.' . format

# ---- data: CSV with a heading; columns are known by name, rows of a series stand together ----

set datafile separator comma
set datafile columnheaders
set datafile missing NaN
when(condition, value) = condition ? value : NaN

# ---- colours: Okabe and Ito (2008) without its yellow, which thin lines cannot carry ----

set colorsequence podo
ink = '#000000'
muted = '#5f5f5f'
axis = '#8c8c8c'
rule = '#e6e6e6'
shade = '#c4c4c4'
# Runs: linetypes 1 to 7, told apart by colour, dash and point.
set linetype 1 lc rgb '#0072b2' lw 2 dt 1 pt 7 ps 0.55
set linetype 2 lc rgb '#d55e00' lw 2 dt (9, 3) pt 5 ps 0.5
set linetype 3 lc rgb '#009e73' lw 2 dt (3, 2) pt 9 ps 0.65
set linetype 4 lc rgb '#cc79a7' lw 2 dt (9, 3, 2, 3) pt 13 ps 0.6
set linetype 5 lc rgb '#e69f00' lw 2 dt (14, 3) pt 11 ps 0.65
set linetype 6 lc rgb '#56b4e9' lw 2 dt (6, 2, 2, 2, 2, 2) pt 6 ps 0.6
set linetype 7 lc rgb '#000000' lw 2 dt (1.5, 2) pt 4 ps 0.55
# Layers, from the first to the last: linetypes 11 to 18, dark blue to orange (plasma's lower part).
set linetype 11 lc rgb '#0d0887' lw 1.6 dt 1 pt 7 ps 0.5
set linetype 12 lc rgb '#41049d' lw 1.6 dt (2, 2) pt 6 ps 0.5
set linetype 13 lc rgb '#6a00a8' lw 1.6 dt (9, 3) pt 5 ps 0.45
set linetype 14 lc rgb '#8f0da4' lw 1.6 dt 1 pt 4 ps 0.45
set linetype 15 lc rgb '#b12a90' lw 1.6 dt (9, 3, 2, 3) pt 11 ps 0.6
set linetype 16 lc rgb '#cc4778' lw 1.6 dt (3, 2) pt 9 ps 0.6
set linetype 17 lc rgb '#e16462' lw 1.6 dt (14, 3) pt 8 ps 0.6
set linetype 18 lc rgb '#f2844b' lw 1.6 dt (9, 3, 2, 3) pt 13 ps 0.5
# Their names, linetypes 20 further on: dark enough to be read on white (WCAG AA: 4.5 to 1).
label_colours = '#0072b2 #c05100 #00845e #a35c84 #9f6800 #2d79a3 #000000 - - - ' . \
        '#0d0887 #41049d #6a00a8 #8f0da4 #b12a90 #c64374 #be4f4e #b25a2a'
do for [t = 1:18] { if (t < 8 || t > 10) { set linetype 20 + t lc rgb word(label_colours, t) } }
label_type(type) = 20 + type
layer_type(i, n) = 11 + (n > 1 ? int(7.0 * (i - 1) / (n - 1) + 0.5) : 2)

# Below and above what is even: blue and orange, which no common colour blindness confuses, and paper between.
diverging = "defined (-4 '#053a6e', -3 '#2166ac', -2 '#5b9bc9', -1 '#b3d1e6', 0 '#f7f7f5', 1 '#f6cfa6', " . \
            "2 '#e9964b', 3 '#c05f12', 4 '#7a3503')"
# From nothing to all: viridis.
sequential = "defined (0 '#440154', 1 '#482878', 2 '#3e4a89', 3 '#31688e', 4 '#26828e', 5 '#1f9e89', " . \
             "6 '#35b779', 7 '#6dcd59', 8 '#b4de2c', 9 '#fde725')"
clip(x, bound) = x < -bound ? -bound : x > bound ? bound : x
log2(x) = log(x) / log(2)

# ---- axes ----

set border 3 lc rgb axis lw 1
set tics nomirror out scale 0.5 textcolor rgb muted font ',11'
set grid ytics lt 1 lc rgb rule lw 1
set grid noxtics
if (format eq 'txt') { unset grid } # a line of dots is a row of marks there
set key off
set xlabel offset 0, 0.9 textcolor rgb ink font ',11'
set xtics offset 0, 0.3
set errorbars 0.6
# Under each point lies a speck of paper, which cannot be had without; at no size at all some readers of SVG choke.
set pointintervalbox 0.02
set style fill solid 1 noborder

# ---- panels: `columns` x `rows` of them with room around and between in pixels; `@panel` opens number `i` ----

if (!exists("columns")) columns = 1
if (!exists("rows")) rows = 1
room_left = 60
room_right = 20
room_top = 24
room_bottom = 48
gap_x = 24
gap_y = 60
panel_width(n) = (width - room_left - room_right - (n - 1) * gap_x) / (1.0 * n)
panel_height(n) = (height - room_top - room_bottom - (n - 1) * gap_y) / (1.0 * n)
panel_left(i) = (room_left + ((i - 1) % columns) * (panel_width(columns) + gap_x)) / (1.0 * width)
panel_right(i) = panel_left(i) + panel_width(columns) / width
panel_top(i) = 1 - (room_top + ((i - 1) / columns) * (panel_height(rows) + gap_y)) / (1.0 * height)
panel_bottom(i) = panel_top(i) - panel_height(rows) / height
panel = "set lmargin at screen panel_left(i); set rmargin at screen panel_right(i); " . \
        "set tmargin at screen panel_top(i); set bmargin at screen panel_bottom(i); unset label; unset arrow"
# Names of lines stand to their right.
room_for_labels = "longest = 0; do for [r = 1:|label|] { longest = strlen(label[r]) > longest ? strlen(label[r]) : " . \
                  "longest }; room_right = 40 + 6.3 * longest"
# Lines above a panel; in characters a label on half a line would be written over the border.
first_line = format eq 'txt' ? 1 : 0.8
second_line = format eq 'txt' ? 2 : 1.9
heading = "set label 1 title at graph 0, 1 offset character 0, first_line left font ',13' textcolor rgb ink"
headings = "set label 1 title at graph 0, 1 offset character 0, second_line left font ',13' textcolor rgb ink; " . \
           "set label 2 unit at graph 0, 1 offset character 0, first_line left font ',11' textcolor rgb muted"
# What the y axis counts is said above it, level, where it is read first.
above = "set label 2 unit at graph 0, 1 offset character 0, first_line left textcolor rgb muted font ',11'"
# Heat maps: the scale stands above the panels, beside it what has no place on it (`none`, in `none_colour`) and
# what is shown (`legend`). @scale before the first panel, @legends within it, `unset colorbox` in the others.
scale = "set colorbox horizontal user origin screen 1.0 * room_left / width, screen 1 - 30.0 / height " . \
        "size screen 220.0 / width, screen 10.0 / height"
legends = "set label 100 '■' at screen (room_left + 236.0) / width, screen 1 - 25.0 / height left " . \
          "textcolor rgb none_colour font ',12'; " . \
          "set label 101 none at screen (room_left + 250.0) / width, screen 1 - 25.0 / height left " . \
          "textcolor rgb muted font ',11'; " . \
          "set label 102 legend at screen (room_left + 306.0) / width, screen 1 - 25.0 / height left " . \
          "textcolor rgb muted font ',11'"
# The panel stands at the left edge, or nothing is below it: then it carries the axis' words.
first_in_row(i) = (i - 1) % columns == 0
last_in_column(i, n) = i + columns > n
