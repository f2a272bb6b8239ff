"""The words: the only room that imports typer or rich."""
