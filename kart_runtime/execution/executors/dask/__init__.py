"""Executor for a Dask cluster."""
