"""The page: `splitter ui`. The HTTP API and the pages over app; the extra `web` brings what it imports."""
