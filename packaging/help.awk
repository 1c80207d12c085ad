# What `moescope VERB --help` says, taken apart; it prints what base/options.c makes of a verb's table of options.
#
#   awk -v as=man|bash|zsh -v version=0.1.0 -f packaging/help.awk
#
# man: the page moescope-VERB(1); bash: the verb's case of the completion; zsh: its function.

function roff(s) {
    gsub(/\\/, "\\e", s)
    gsub(/-/, "\\-", s)
    sub(/^[.']/, "\\\\\\&&", s)
    return s
}

# "  -r, --run NAME   text" into letter, name, argument, text.
function read_option(line,    left, gap) {
    gap = match(substr(line, 9), /  +/) + 8
    left = substr(line, 3, gap - 3)
    text = substr(line, gap)
    sub(/^ +/, "", text)
    letter = substr(left, 1, 1) == "-" ? substr(left, 1, 2) : ""
    sub(/^(-.,)? +/, "", left)
    name = left
    sub(/ .*/, "", name)
    argument = left == name ? "" : substr(left, length(name) + 2)
}

# ---- a manual page ----

function man_head() {
    printf ".\\\" Made from moescope %s \\-\\-help.\n", verb
    printf ".TH MOESCOPE-%s 1 \"\" \"moescope %s\" \"moescope\"\n", toupper(verb), version
    printf ".SH NAME\nmoescope\\-%s \\- %s\n.SH SYNOPSIS\n", verb, roff(purpose)
}

function man_line(line, indented) {
    indented = line ~ /^  /
    if (indented && !block)
        print ".PP\n.nf\n.RS 2"
    else if (!indented && block)
        print ".RE\n.fi\n.PP"
    block = indented
    if (line == "" && !block)
        print ".PP"
    else {
        sub(/^  /, "", line)
        print line == "" ? "" : roff(line)
    }
}

# An empty line within lines that are set as they are is one of them; it is not known to be until the next.
function man_text(line) {
    if (line == "") {
        empty++
        return
    }
    for (; empty > 0; empty--)
        if (block && line ~ /^  /)
            print ""
        else
            man_line("")
    man_line(line)
}

function man_section(title) {
    if (block)
        print ".RE\n.fi"
    block = empty = 0
    print ".SH " title
}

function man_option() {
    print ".TP"
    printf ".B %s%s%s\n", letter ? roff(letter) ", " : "", roff(name), argument ? " \\fI" roff(argument) "\\fR" : ""
    print roff(text)
}

# ---- completions ----

function quoted(s) { # inside single quotes of a shell
    gsub(/'/, "'\\''", s)
    return s
}

# In zsh's own words: brackets and colons of a text are escaped.
function escaped(s) {
    gsub(/[][\\:]/, "\\\\&", s)
    return quoted(s)
}

function zsh_option(    takes, many) {
    takes = argument ? ":" escaped(argument) ":" (argument ~ /FILE|DB|FOLDER|OUT|PATH/ ? "_files" : " ") : ""
    many = text ~ /\(may be repeated\)$/ ? "*" : ""
    if (letter)
        printf "        '%s%s[%s]%s' \\\n", many, letter, escaped(text), takes
    printf "        '%s%s[%s]%s' \\\n", many, name, escaped(text), takes
}

NR == 1 {
    verb = $2
    purpose = substr($0, index($0, " - ") + 3)
    if (as == "man")
        man_head()
    if (as == "zsh")
        printf "_moescope_%s() {\n    _arguments -s \\\n", verb
    next
}
/^Usage: / && !part {
    usage = substr($0, 8)
    if (as == "man")
        print ".B " roff(usage)
    next
}
/^Options:$/ && !part {
    part = "options"
    if (as == "man")
        man_section("OPTIONS")
    next
}
part == "options" && /^  / {
    read_option($0)
    if (as == "man")
        man_option()
    if (as == "zsh")
        zsh_option()
    words = words (words ? " " : "") (letter ? letter " " : "") name
    next
}
part == "options" && /^$/ {
    part = "details"
    next
}
/^Examples:$/ {
    part = "examples"
    if (as == "man")
        man_section("EXAMPLES")
    next
}
as == "man" && part == "details" {
    if (!described)
        man_section("DESCRIPTION")
    described = 1
    man_text($0)
}
as == "man" && part == "examples" { man_text($0) }

END {
    if (as == "man") {
        man_section("SEE ALSO")
        print ".BR moescope (1),\n.BR moescope\\-schema (5)"
    }
    if (as == "bash")
        printf "    %s) words='%s' ;;\n", verb, words
    if (as == "zsh")
        print "        '*:file:_files'\n}\n"
}
