"""Prompts for measuring: the same for the same seed, and no two alike from the first word on: no cache can help."""

import hashlib
from collections.abc import Iterator

TEXT = """
time person year way day thing man world life hand part child eye woman place work week case point company number
group problem fact house water room mother area money story month lot right study book word business issue side
kind head service friend father power hour game line end member law car city name team minute idea body back
parent face level office door health art war history party result change morning reason research girl guy moment
air teacher force
"""
WORDS = tuple(TEXT.split())


def numbers(seed: int, repetition: int) -> Iterator[int]:
    """Endless 16-bit numbers that depend on both arguments alone."""
    block = 0
    while True:
        digest = hashlib.sha256(f"{seed}/{repetition}/{block}".encode()).digest()
        yield from (int.from_bytes(digest[i : i + 2], "little") for i in range(0, len(digest), 2))
        block += 1


def prompt_text(n_words: int, seed: int, repetition: int) -> str:
    """`n_words` words; the first one names the repetition."""
    choice = numbers(seed, repetition)
    words = [WORDS[next(choice) % len(WORDS)] for _ in range(n_words - 1)]
    return " ".join([f"{next(choice)}-{repetition}", *words])
