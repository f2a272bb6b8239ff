"""What is written down: .bat and .sh as pure renderers that return files."""
