"""The panels a measure can ask for."""

from interp.figures.panels import AnyPanel, Bars, Curves, Density, Heatmap, Points, Scatter, Table, default, of_array

__all__ = ["AnyPanel", "Bars", "Curves", "Density", "Heatmap", "Points", "Scatter", "Table", "default", "of_array"]
