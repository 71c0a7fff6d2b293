"""The panels a measure can ask for, one file each."""

from interp.figures.bars import Bars
from interp.figures.curves import Curves
from interp.figures.density import Density
from interp.figures.heatmap import Heatmap
from interp.figures.many_curves import ManyCurves
from interp.figures.mosaic import Mosaic
from interp.figures.panel import DrawnPanel, Panel
from interp.figures.phase_diagram import PhaseDiagram
from interp.figures.points import Points
from interp.figures.scatter import Scatter
from interp.figures.table import Table

__all__ = [
    "Bars",
    "Curves",
    "Density",
    "DrawnPanel",
    "Heatmap",
    "ManyCurves",
    "Mosaic",
    "Panel",
    "PhaseDiagram",
    "Points",
    "Scatter",
    "Table",
]
