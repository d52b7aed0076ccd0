"""Exporters, which send what is recorded of a run to another tool: while it runs, or afterwards by `kart export`."""
