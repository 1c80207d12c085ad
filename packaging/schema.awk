# docs/schema.md as the manual page moescope-schema(5): headings, paragraphs, tables of two or three columns, blocks.
#
#   awk -v version=0.1.0 -f packaging/schema.awk docs/schema.md

function roff(s) {
    gsub(/\\/, "\\e", s)
    gsub(/`|\*\*/, "", s)
    gsub(/-/, "\\-", s)
    s = plain_links(s)
    sub(/^[.']/, "\\\\\\&&", s)
    return s
}

function plain_links(s,    from) {
    while (match(s, /\[[^]]*\]\([^)]*\)/)) {
        from = substr(s, RSTART + 1, index(substr(s, RSTART), "]") - 2)
        s = substr(s, 1, RSTART - 1) from substr(s, RSTART + RLENGTH)
    }
    return s
}

NR == 1 {
    printf ".\\\" Made from docs/schema.md.\n.TH MOESCOPE-SCHEMA 5 \"\" \"moescope %s\" \"moescope\"\n", version
    print ".SH NAME\nmoescope\\-schema \\- the relations of a logbook, an SQLite file\n.SH DESCRIPTION"
    next
}
/^```/ {
    block = !block
    print block ? ".PP\n.nf\n.RS 2" : ".RE\n.fi"
    next
}
block { print $0 == "" ? "" : roff($0); next }
/^#+ / { sub(/^#+ /, ""); print ".SH " toupper(roff($0)); next }
/^\|[-|]*\|$/ || /^\| column / { next }
/^\| / {
    n = split(substr($0, 3, length($0) - 4), cell, / \| ?/)
    print ".TP\n.BR " roff(cell[1]) (n > 2 ? " \\ (" roff(cell[2]) ")" : "")
    print roff(n > 1 ? cell[n] : "") == "" ? "\\&" : roff(cell[n])
    next
}
/^$/ { print ".PP"; next }
{ print roff($0) }
