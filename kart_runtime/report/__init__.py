"""Report of a run: one HTML file with graph, timeline, tables and previews, made only of what was recorded."""

from kart_runtime.report.write import NoReport, check_place, write_report

__all__ = ["NoReport", "check_place", "write_report"]
