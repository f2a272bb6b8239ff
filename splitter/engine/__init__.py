"""How an engine is told: EngineCommand and the builders, parsers, finders and dry runs of each engine."""
