"""Report of a run: one HTML file with graph, timeline, tables and previews, made only of what was recorded."""

from kart_runtime.report.write import check_place, write_report

__all__ = ["check_place", "write_report"]
