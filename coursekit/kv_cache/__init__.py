"""The KV cache of an engine: how its memory is handed out, shared between requests, filled, and rounded.

A slot is room for one token's keys and values in all layers; a block is ``page_size`` slots in a row.
"""

from coursekit.kv_cache.allocating import (
    POLICIES,
    Allocation,
    Policy,
    allocate,
    expected_waste,
    mean_for_waste,
    pages,
)
from coursekit.kv_cache.blocks import BlockManager, OutOfBlocks
from coursekit.kv_cache.codebooks import distortion, distortion_bounds, levels
from coursekit.kv_cache.live import live_engine
from coursekit.kv_cache.occupancy import Occupancy, occupancy
from coursekit.kv_cache.pool import BlockPool, read
from coursekit.kv_cache.prefixes import PrefixTree, longest_shared_prefix
from coursekit.kv_cache.recorded import EngineRow, RecordedEngines, Refusal, recorded
from coursekit.kv_cache.requests import Gain, Request, Run, Step, gain, requests, side_by_side
from coursekit.kv_cache.rounding import (
    METHODS,
    CacheRounding,
    Method,
    RoundedCache,
    RoundedCacheModel,
    TurboQuant,
    by_channel,
    by_token,
    cache_rounding,
    random_rotation,
    with_rounded_cache,
)
from coursekit.kv_cache.scheduling import BATCHINGS, Batching, Engine
from coursekit.kv_cache.serving import StepCost, fit_steps, serve, simulate
from coursekit.kv_cache.sharing import Sharing, sharing

__all__ = [
    "BATCHINGS",
    "METHODS",
    "POLICIES",
    "Allocation",
    "Batching",
    "BlockManager",
    "BlockPool",
    "CacheRounding",
    "Engine",
    "EngineRow",
    "Gain",
    "Method",
    "Occupancy",
    "OutOfBlocks",
    "Policy",
    "PrefixTree",
    "RecordedEngines",
    "Refusal",
    "Request",
    "RoundedCache",
    "RoundedCacheModel",
    "Run",
    "Sharing",
    "Step",
    "StepCost",
    "TurboQuant",
    "allocate",
    "by_channel",
    "by_token",
    "cache_rounding",
    "distortion",
    "distortion_bounds",
    "expected_waste",
    "fit_steps",
    "gain",
    "levels",
    "live_engine",
    "longest_shared_prefix",
    "mean_for_waste",
    "occupancy",
    "pages",
    "random_rotation",
    "read",
    "recorded",
    "requests",
    "serve",
    "sharing",
    "side_by_side",
    "simulate",
    "with_rounded_cache",
]
