"""Library of `scripts/bench`: programs of the peers, measurement of a child process, sections, tables and goals."""
