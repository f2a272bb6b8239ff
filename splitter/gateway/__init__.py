"""One door in front of many engines: `splitter gateway`. The extra `gateway` brings what it imports."""
