"""`splitter ui`: its API, its door, and its pages in a real browser."""
