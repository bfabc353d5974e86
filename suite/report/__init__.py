"""Helpers for report pages: one offline HTML file, plots as SVG, drawn annotations, provenance tables."""
