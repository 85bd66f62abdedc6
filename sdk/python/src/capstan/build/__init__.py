"""Makes a component of an action or a collector: `python -m capstan.build SRC -o OUT.wasm`."""

from ._build import BuildError, Built, build

__all__ = ["BuildError", "Built", "build"]
