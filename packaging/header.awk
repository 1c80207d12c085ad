# sql/moescope.h as the manual page moescope(3): the comment at its head describes, all that it declares follows.
#
#   awk -v version=0.1.0 -f packaging/header.awk sql/moescope.h

function roff(s) {
    gsub(/\\/, "\\e", s)
    gsub(/-/, "\\-", s)
    sub(/^[.']/, "\\\\\\&&", s)
    return s
}

function show(on) {
    if (on != shown)
        print on ? ".PP\n.nf" : ".fi"
    shown = on
}

NR == 1 {
    printf ".\\\" Made from sql/moescope.h.\n.TH MOESCOPE 3 \"\" \"moescope %s\" \"moescope\"\n", version
    print ".SH NAME\nmoescope \\- writing logbooks of Mixture\\-of\\-Experts runs\n.SH SYNOPSIS"
    print ".nf\n.B #include <moescope.h>\n.PP\ncc client.c $(pkg\\-config \\-\\-cflags \\-\\-libs moescope)\n.fi\n.SH DESCRIPTION"
}
!declared {
    declared = /\*\/$/
    sub(/^\/?\*+ ?|^ \* ?/, "")
    sub(/ \*\/$/, "")
    show(/^   /)
    print $0 == "" ? ".PP" : roff($0)
    next
}
/^ *#|^extern "C"|^}$/ { next }
/^\/\* ---- .* ---- \*\/$/ {
    show(0)
    sub(/^\/\* ---- /, "")
    sub(/ ---- \*\/$/, "")
    print ".SH " toupper(roff($0))
    next
}
/^$/ && (blank || !shown) { next }
{
    show(1)
    blank = /^$/
    print $0 == "" ? "" : roff($0)
}
END {
    show(0)
    print ".SH SEE ALSO\n.BR moescope (1),\n.BR moescope\\-schema (5)"
}
