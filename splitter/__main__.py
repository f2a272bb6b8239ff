"""`python -m splitter`."""

from splitter.cli.main import main

main()
