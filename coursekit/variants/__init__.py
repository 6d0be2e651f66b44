"""The dashboard: variants of one network, built where they are missing and measured in one sitting.

All rows are made from one network, so that they can be compared. What notebooks 05 to 08 recorded came from
other sittings and partly from other networks, so the dashboard's rows stand on the scoreboard under names of
their own, ``dashboard-baseline`` and so on; ``Variant.recorded`` names the notebooks' record of the same kind
(baseline: fp32, pruned: pruned-structured, distilled: student-distilled, the others: the row's own name).
A row is missing if the board has none from this machine, or if its network is not in the results folder: a
record holds figures, and a clock needs the network itself.
"""

from coursekit.variants.choosing import Decisions, decisions
from coursekit.variants.examples import Examples
from coursekit.variants.files import Network
from coursekit.variants.orders import Pipeline, Pipelines, pipeline, pipelines
from coursekit.variants.rows import BUDGETS, VARIANTS, Budget, Row, Sitting, Variant, dominates, front
from coursekit.variants.sittings import SECONDS, Progress, Variants, build, folder, measure

__all__ = [
    "BUDGETS",
    "SECONDS",
    "VARIANTS",
    "Budget",
    "Decisions",
    "Examples",
    "Network",
    "Pipeline",
    "Pipelines",
    "Progress",
    "Row",
    "Sitting",
    "Variant",
    "Variants",
    "build",
    "decisions",
    "dominates",
    "folder",
    "front",
    "measure",
    "pipeline",
    "pipelines",
]
