"""One network in many places: runtimes, a web page, Node, C, several processes, several machines."""

from coursekit.deployment.browsing import Page, page, shrink
from coursekit.deployment.converting import convert
from coursekit.deployment.programs import Program
from coursekit.deployment.ray_serve import ClusterRow, ClusterRun, app_source, cluster, recorded_cluster
from coursekit.deployment.replicas import Load, Replicas
from coursekit.deployment.runtimes import RUNTIMES, Runtime, c_source, find, node_package
from coursekit.deployment.surveying import RuntimeRow, Survey, recorded, survey

__all__ = [
    "RUNTIMES",
    "ClusterRow",
    "ClusterRun",
    "Load",
    "Page",
    "Program",
    "Replicas",
    "Runtime",
    "RuntimeRow",
    "Survey",
    "app_source",
    "c_source",
    "cluster",
    "convert",
    "find",
    "node_package",
    "page",
    "recorded",
    "recorded_cluster",
    "shrink",
    "survey",
]
