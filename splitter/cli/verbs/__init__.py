"""One thin module per verb: read the options, call the rooms, show the result."""
