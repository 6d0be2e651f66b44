"""One network in many places: runtimes, a web page, Node, C, and several processes or machines that answer."""

from coursekit.deployment.converting import convert
from coursekit.deployment.programs import Program
from coursekit.deployment.runtimes import RUNTIMES, Runtime, find, node_package
from coursekit.deployment.surveying import RuntimeRow, Survey, recorded, survey

__all__ = [
    "RUNTIMES",
    "Program",
    "Runtime",
    "RuntimeRow",
    "Survey",
    "convert",
    "find",
    "node_package",
    "recorded",
    "survey",
]
