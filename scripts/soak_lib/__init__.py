"""Parts of `scripts/soak`: random pipelines, programs that build them, faults, and the model of what must be there."""
