"""The guided run in a real terminal (tmux), with a driver, a release server and a Hub of its own."""
