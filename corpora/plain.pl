# Turns the files of a Debian package into plain-text documents; corpora/default.sh calls it once a domain.
#
#   perl corpora/plain.pl KIND OUT BYTES LANGUAGE < LIST
#
# LIST holds a line "CLASS PATH" a file, PATH relative to the current folder. KIND says what the files are:
# man, html, c, python, fortunes or verses. Documents are written to OUT/NAME.txt until about BYTES are there,
# in the order of CLASS and then of a hash of the name, so that the choice is the same everywhere and not
# alphabetical. Licences are cut, near-duplicates skipped. Needs perl-base only; Encode is not in it, hence
# utf8::decode.
use strict;
use warnings;
use utf8;
use File::Basename;
use lib dirname(__FILE__);
require 'hash.pl';

my $LEAST = 400;     # bytes; a shorter document says nothing
my $COUNTED = 8192;  # of a longer document `moescope corpus` keeps about this much
my $WIDTH = 78;      # filled lines of rendered pages

my $LICENCE = qr/copyright|\bSPDX-|licen[cs]e[ds]?\b.*\b(?:under|terms|version|agreement)
                |GNU\ (?:Lesser\ |Library\ )?General\ Public|redistribut|permission\ (?:is|to\ use)
                |all\ rights\ reserved|without\ (?:any|even\ the\ implied)\ warrant/xis;

# ---- small helpers ----

sub slurp {
    my ($path) = @_;
    open(my $in, '<', $path) or die "cannot open '$path': $!\n";
    local $/;
    my $text = <$in>;
    return defined $text && utf8::decode($text) ? $text : undef;
}

# What a document may not hold: other line ends, overstrikes, control characters (a form feed would start
# another document), and U+2581, which sentencepiece keeps for the space.
sub tidy {
    my ($text) = @_;
    $text =~ s/\x{FEFF}//g;
    $text =~ s/\r\n?/\n/g;
    1 while $text =~ s/[^\n\x08]\x08//g;
    $text =~ s/\f/\n/g;
    $text =~ s/[\x{00}-\x{08}\x{0B}\x{0E}-\x{1F}\x{7F}-\x{9F}\x{2581}\x{FFFE}\x{FFFF}]//g;
    $text =~ s/[ \t]+\n/\n/g;
    $text =~ s/\n{3,}/\n\n/g;
    $text =~ s/\A\n+//;
    $text =~ s/\n*\z/\n/;
    return $text;
}

# Fills one paragraph. Between two ideographs or kana a line end is no space.
sub fill {
    my ($text) = @_;
    $text =~ s/([\x{3000}-\x{9FFF}\x{FF00}-\x{FFEF}])[ \t]*\n[ \t]*(?=[\x{3000}-\x{9FFF}\x{FF00}-\x{FFEF}])/$1/g;
    my ($out, $length) = ('', 0);
    for my $word (split ' ', $text) {
        if ($length && $length + 1 + length $word > $WIDTH) {
            $out .= "\n";
            $length = 0;
        }
        $out .= ' ' if $length;
        $out .= $word;
        $length += ($length ? 1 : 0) + length $word;
        # a long run without spaces is cut, as in Japanese
        while ($length > $WIDTH && $word =~ /[\x{3000}-\x{9FFF}]/) {
            substr($out, length($out) - ($length - $WIDTH), 0) = "\n";
            $length -= $WIDTH;
        }
    }
    return $length ? "$out\n" : '';
}

# ---- man pages ----

my %CHARACTER = (
    aq => "'", dq => '"', bu => "\x{2022}", em => "\x{2014}", en => "\x{2013}", co => "\x{A9}", rg => "\x{AE}",
    tm => "\x{2122}", lq => "\x{201C}", rq => "\x{201D}", oq => "\x{2018}", cq => "\x{2019}", Bq => "\x{201E}",
    ha => '^', ti => '~', at => '@', rs => '\\', ga => '`', aa => "\x{B4}", '+-' => "\x{B1}", mu => "\x{D7}",
    '<=' => "\x{2264}", '>=' => "\x{2265}", '!=' => "\x{2260}", '->' => "\x{2192}", '<-' => "\x{2190}",
    de => "\x{B0}", sc => "\x{A7}", Fo => "\x{AB}", Fc => "\x{BB}", fo => "\x{2039}", fc => "\x{203A}",
    ss => "\x{DF}", hy => '-', 'a^' => '^', 'a~' => '~', sl => '/', ba => '|', or => '|', ul => '_', '12' => "\x{BD}",
    mc => "\x{B5}", '*m' => "\x{3BC}", if => "\x{221E}", '+' => '+', eq => '=', lB => '[', rB => ']', lC => '{', rC => '}',
    sh => '#', Do => '$', '~~' => "\x{2248}", di => "\x{F7}", S2 => "\x{B2}", '*p' => "\x{3C0}", ':o' => "\x{F6}",
    "'e" => "\x{E9}", ":u" => "\x{FC}", ":a" => "\x{E4}", R => "\x{AE}", Tm => "\x{2122}");

sub named_character {
    my ($name) = @_;
    return chr hex $1 if $name =~ /^u([0-9A-F]{4,6})$/;
    return $CHARACTER{$name} // '';
}

sub unescape {
    my ($text) = @_;
    $text =~ s/\\["#].*//;                                  # comments to the end of the line
    $text =~ s/\\f(?:\((?:..)|\[[^]]*\]|.)//g;              # fonts
    $text =~ s/\\s(?:[-+]?\d|[-+]?\((?:..)|[-+]?\[[^]]*\]|\\?'[^']*')//g; # sizes
    $text =~ s/\\[hvwlLDxobZNX]'[^']*'//g;                  # motions, widths, drawings
    $text =~ s/\\[mMFYVgk](?:\((?:..)|\[[^]]*\]|.)//g;      # colours and registers
    $text =~ s/\\n[-+]?(?:\((?:..)|\[[^]]*\]|.)//g;
    $text =~ s/\\[*]?(?:\((..)|\[([^]]*)\])/named_character($1 \/\/ $2)/ge;
    $text =~ s/\\\*.//g;
    $text =~ s/\\([-'`"])/$1/g;
    $text =~ s/\\[ ~0]/ /g;
    $text =~ s/\\[&|^\/,:%)cduprtz{}]//g;
    $text =~ s/\\[e\\E]/\\/g;
    return $text;
}

sub arguments { # of a request: "quoted words" and bare ones
    my ($line) = @_;
    my @words;
    while ($line =~ /\G\s*(?:"((?:[^"]|"")*)"?|((?:\\ |\\[^ ]|[^\s\\])+))/g) {
        my $word = $1 // $2;
        $word =~ s/""/"/g if defined $1;
        push @words, unescape($word);
    }
    return @words;
}

my $UNWANTED_SECTION = qr/^(?:
    AUTHORS? | COPYRIGHT.* | COPYING | LICEN[CS]ES? | COLOPHON | REPORTING\ BUGS | TRANSLATION |
    AUTOR(?:EN)? | FEHLER\ MELDEN | ÜBERSETZUNG | KOLOPHON | LIZENZ | DANKSAGUNG(?:EN)? | WARENZEICHEN | Texi.* |
    АВТОРЫ? | АВТОРСКИЕ\ ПРАВА | ПЕРЕВОД | ЛИЦЕНЗИЯ | СООБЩЕНИ[ЕЯ]\ ОБ\ ОШИБКАХ | ИНФОРМАЦИЯ\ ОБ\ ОШИБКАХ |
    著者 | 作者 | 著作権.* | バグ報告 | バグの報告 | この文書について | 翻訳.* | ライセンス | 謝辞
    )$/xi;

# Pages are translated by the paragraph, and some paragraphs never were: prose without a letter of the language's
# script is left out.
my %SCRIPT = (ru => qr/\p{Cyrillic}/, ja => qr/[\x{3040}-\x{9FFF}]/);
my $script;

sub untranslated {
    my ($paragraph) = @_;
    return defined $script && $paragraph !~ $script && (() = $paragraph =~ /[A-Za-z]{2,}/g) > 8;
}

# A renderer for what occurs in these packages' man(7) pages; mdoc(7) pages and links are skipped.
sub man {
    my ($source) = @_;
    return () if $source =~ /^\.Dd /m || $source =~ /\A(?:['.]\\".*\n)*\.so /;
    my ($out, $paragraph, $literal, $skip_to, $unwanted, $depth, $tag, $table) = ('', '', 0, '', 0, 0, 0, 0);
    my $flush = sub {
        $out .= fill($paragraph)
            unless $unwanted || untranslated($paragraph) || $paragraph =~ /copyright (?:©|\(c\))/i;
        $paragraph = '';
    };
    my $say = sub { # one line of text
        my ($text) = @_;
        return if $unwanted;
        if ($literal) {
            $out .= "$text\n";
        } else {
            $paragraph .= "$text\n";
            $flush->() if $tag;
        }
        $tag = 0;
    };
    for my $line (split /\n/, $source) {
        if ($skip_to ne '') { # inside a macro's definition, an ignored part or an equation
            $skip_to = '' if $line =~ /^$skip_to/;
            next;
        }
        if ($depth > 0) { # inside a conditional's braces
            $depth += () = $line =~ /\\\{/g;
            $depth -= () = $line =~ /\\\}/g;
            next;
        }
        if ($table == 1) { # the table's layout, up to the full stop
            $table = 2 if $line =~ /\.\s*$/;
            next;
        }
        if ($line !~ /^[.']\s*(\\?["\w].*|\\\}.*|)$/) {
            if ($line =~ /\S/) {
                next if $table && $line =~ /^(?:[_=]|T\}$|\.T&)/;
                my $text = unescape($line);
                $text =~ s/\t?T[{]|T[}]\t?//g if $table;
                $text =~ s/\t/  /g if $table;
                $say->($text) if $text =~ /\S/;
            } else {
                $flush->();
                $out .= "\n" unless $unwanted;
            }
            next;
        }
        my $request = $1;
        next if $request eq '' || $request =~ /^\\?"/ || $request =~ /^\\/;
        my ($name, $rest) = $request =~ /^(\w+)\s*(.*)$/ or next;
        if ($name =~ /^(?:de|de1|am|ig)$/) {
            $skip_to = '\.\.';
        } elsif ($name eq 'EQ') {
            $skip_to = '\.EN';
        } elsif ($name =~ /^(?:if|ie|el)$/) {
            $depth += () = $rest =~ /\\\{/g;
            $depth -= () = $rest =~ /\\\}/g;
        } elsif ($name =~ /^(?:SH|SS)$/) {
            $flush->();
            my $title = join ' ', arguments($rest);
            $unwanted = $title =~ $UNWANTED_SECTION ? 1 : 0 if $name eq 'SH';
            $literal = 0;
            $out .= "\n$title\n" unless $unwanted;
        } elsif ($name =~ /^(?:PP|P|LP|HP|sp|TP|IP|TQ)$/) {
            $flush->();
            $out .= "\n" unless $unwanted || $name eq 'TQ' || ($name eq 'TP' && $out =~ /\n\n\z/);
            $tag = 1 if $name =~ /^T[PQ]$/;
            if ($name eq 'IP') {
                my ($mark) = arguments($rest);
                $say->($mark) if defined $mark && $mark =~ /\S/;
            }
        } elsif ($name =~ /^(?:nf|EX|Vb)$/) {
            $flush->();
            $literal = 1;
        } elsif ($name =~ /^(?:fi|EE|Ve)$/) {
            $literal = 0;
        } elsif ($name =~ /^(?:br|RS|RE)$/) {
            $flush->();
        } elsif ($name eq 'TS') {
            $flush->();
            ($table, $literal) = (1, 1);
        } elsif ($name eq 'TE') {
            ($table, $literal) = (0, 0);
        } elsif ($name =~ /^(?:B|I|SM|SB)$/) {
            $say->(join ' ', arguments($rest)) if $rest =~ /\S/;
        } elsif ($name =~ /^(?:BR|RB|IR|RI|BI|IB)$/) {
            $say->(join '', arguments($rest));
        } elsif ($name =~ /^(?:UR|MT|URL)$/) {
            my ($address) = arguments($rest);
            $say->("<$address>") if defined $address;
        } elsif ($name eq 'SY' || $name eq 'OP') {
            my $words = join ' ', arguments($rest);
            $say->($name eq 'OP' ? "[$words]" : $words);
        }
    }
    $flush->();
    return $out;
}

# ---- HTML of DocBook documentation ----

my %ENTITY = (lt => '<', gt => '>', quot => '"', apos => "'", nbsp => ' ', copy => "\x{A9}", mdash => "\x{2014}");

sub entity {
    my ($name) = @_;
    return chr hex $1 if $name =~ /^#x([0-9a-f]+)$/i;
    return chr $1 if $name =~ /^#(\d+)$/;
    return $ENTITY{$name} // '';
}

sub html {
    my ($text) = @_;
    $text =~ s{<(head|script|style)\b.*?</\1>}{}gis;
    $text =~ s{<div[^>]*class="(?:navheader|navfooter|toc)".*?</div>}{}gis;
    my $out = '';
    for my $part (split m{(<pre\b.*?</pre>)}is, $text) {
        my $literal = $part =~ /^<pre/i;
        $part =~ s{<(?:br|/?p|/?div|/?li|/?h\d|/?tr|/?dt|/?dd|/?table|/?ul|/?dl)\b[^>]*>}{\x{1}}gi unless $literal;
        $part =~ s{</t[dh]>}{  }gi;
        $part =~ s{<[^>]+>}{}g;
        $part =~ s/&(#x?[0-9a-f]+|\w+);/$1 eq 'amp' ? '&' : entity($1)/gei;
        $part =~ s/\x{A0}/ /g;
        $out .= $literal ? "\n$part\n\n" : join "\n", map { fill($_) } split /\x{1}/, $part;
    }
    return $out;
}

# ---- source code ----

sub c {
    my ($text) = @_;
    $text =~ s{/\*.*?\*/}{my $comment = $&; $comment =~ $LICENCE ? '' : $comment}gse;
    $text =~ s{^//.*(?:SPDX|[Cc]opyright).*\n}{}gm;
    return $text;
}

sub python {
    my ($text) = @_;
    $text =~ s{(?:^[ \t]*\#.*\n)+}{my $block = $&; $block =~ $LICENCE ? '' : $block}gme;
    # paragraphs inside docstrings, as long as no quotes go with them
    $text =~ s{(?<=\n\n)(?:[^\n"']+\n)+?(?=\n|""")}{my $block = $&; $block =~ /copyright .*\d{4}|all rights reserved/i ? '' : $block}ge;
    return $text;
}

# ---- several documents in one file ----

my %said; # sayings seen in this domain

# About half of what is kept of a long document a group, so that sayings make as many documents as pages do.
sub fortunes {
    my ($text) = @_;
    my ($group, @documents) = ('');
    for my $saying (split /^%.*\n/m, tidy($text)) {
        my $key = lc $saying;
        $key =~ s/\W+//g;
        next if $key eq '' || $said{$key}++;
        $group .= tidy($saying) . "\n";
        next if do { use bytes; length $group } < $COUNTED / 2;
        push @documents, $group;
        $group = '';
    }
    push @documents, $group if length $group;
    return @documents;
}

sub verses { # "Ge1:1 In the beginning ...": a chapter is a document, named by its book
    my ($text) = @_;
    my ($last, @documents) = ('');
    while ($text =~ /^(\w+?)(\d+):\d+ (.*)\n/gm) {
        push @documents, ["$1-$2", ''] if $last ne "$1-$2";
        $last = "$1-$2";
        $documents[-1][1] .= "$3\n";
    }
    return @documents;
}

# ---- the choice ----

sub documents { # [class, hash, name, text] of everything in LIST
    my ($kind) = @_;
    my %convert = (man => \&man, html => \&html, c => \&c, python => \&python, fortunes => \&fortunes, verses => \&verses);
    my $convert = $convert{$kind} or die "no such kind: '$kind'\n";
    my @documents;
    while (my $entry = <STDIN>) {
        chomp $entry;
        my ($class, $path) = split ' ', $entry, 2;
        my $source = slurp($path) // next; # not UTF-8
        (my $name = $path) =~ s{^\./}{};
        $name =~ s{/}{-}g;
        my @parts = $convert->($source);
        for my $i (0 .. $#parts) {
            my $part = $parts[$i];
            my $own = ref $part ? $part->[0] : @parts > 1 ? sprintf("%s-%03d", $name, $i + 1) : $name;
            push @documents, [$class, fnv($own), $own, tidy(ref $part ? $part->[1] : $part)];
        }
    }
    return sort { $a->[0] <=> $b->[0] || $a->[1] <=> $b->[1] || $a->[2] cmp $b->[2] } @documents;
}

my ($kind, $out, $budget, $language) = @ARGV;
die "usage: plain.pl KIND OUT BYTES LANGUAGE < LIST\n" unless defined $language;
$script = $SCRIPT{$language};
my (%lines, $kept, $bytes, $repeated);
($kept, $bytes, $repeated) = (0, 0, 0);
for my $document (documents($kind)) {
    last if $bytes >= $budget;
    my ($class, $hash, $name, $text) = @$document;
    my @long = grep { length > 25 } split /\n/, $text;
    my $old = grep { $lines{$_} } @long;
    if (@long && $old > 0.5 * @long) {
        $repeated++;
        next;
    }
    $lines{$_} = 1 for @long;
    utf8::encode($text);
    next if length $text < $LEAST;
    utf8::encode($name) if utf8::is_utf8($name);
    open(my $file, '>', "$out/$name.txt") or die "cannot write '$out/$name.txt': $!\n";
    print $file $text or die "cannot write '$out/$name.txt': $!\n";
    close $file or die "cannot write '$out/$name.txt': $!\n";
    $kept++;
    $bytes += length $text < $COUNTED ? length $text : $COUNTED;
}
printf STDERR "  %-12s %4d documents, %5.2f MB%s\n", ($out =~ m{([^/]+)$}), $kept, $bytes / 1e6,
    $repeated ? ", $repeated near-duplicates skipped" : '';
die "nothing found for '$out': has the package changed?\n" unless $kept;
