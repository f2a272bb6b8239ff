"""`splitter demo`: the whole way on any machine."""
EXAMPLES = """Example:

splitter demo
"""


def demo() -> None:
    """Walk the whole way on this machine: example model, embedded engine, an answer, tokens per second."""
