# The order and the choice of what is read must be the same everywhere, and not alphabetical: both are by a hash.
use strict;
use warnings;

sub fnv { # FNV-1a of a name, 32 bits
    my $hash = 2166136261;
    $hash = (($hash ^ ord $_) * 16777619) & 0xFFFFFFFF for split //, $_[0];
    return $hash;
}

1;
