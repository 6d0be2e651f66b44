"""One network in many places: runtimes, a web page, Node, C, several processes, several machines.

Its modules load on first use: who only wants the web server of ``serving`` gets nothing else.
"""

from typing import TYPE_CHECKING, Any

from coursekit._core import imports

if TYPE_CHECKING:
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

_ON_FIRST_USE = {
    "browsing": ("Page", "page", "shrink"),
    "converting": ("convert",),
    "programs": ("Program",),
    "ray_serve": ("ClusterRow", "ClusterRun", "app_source", "cluster", "recorded_cluster"),
    "replicas": ("Load", "Replicas"),
    "runtimes": ("RUNTIMES", "Runtime", "c_source", "find", "node_package"),
    "surveying": ("RuntimeRow", "Survey", "recorded", "survey"),
}
_HOMES = {name: module for module, names in _ON_FIRST_USE.items() for name in names}
_MODULES = (*_ON_FIRST_USE, "serving")


def __getattr__(name: str) -> Any:
    """Load what is called ``name`` when it is first used (PEP 562), one of the modules themselves, too."""
    if name in _MODULES:
        return imports.whole(f"coursekit.deployment.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'coursekit.deployment' has no attribute {name!r}")
    return getattr(imports.whole(f"coursekit.deployment.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__]
