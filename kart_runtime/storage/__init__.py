"""Storage of values: targets, codecs and stores."""
