"""raymm: which multimodal fusion model holds up as modalities go missing?

Importing this package imports neither torch nor Ray: a sweep starts many small processes that
need only names and settings.
"""

__version__ = "0.1.0"
