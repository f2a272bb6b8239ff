"""Why a card runs slower than it could: NVML's bits in words. Pure."""

# nvml.h, nvmlClocksEventReasons. An idle card, application clocks, sync boost and the display's clock cost no speed
# that the user did not choose: they are left out.
REASONS = {0x4: "power cap", 0x20: "thermal", 0x40: "thermal (hardware)", 0x80: "power brake"}
HARDWARE_SLOWDOWN = 0x8  # set together with the two hardware reasons above, which say more
ALL_WORDS = (*REASONS.values(), "hardware slowdown")


def throttle_words(reasons: int) -> tuple[str, ...]:
    """The reasons that cost speed, () when there is none."""
    words = tuple(word for bit, word in REASONS.items() if reasons & bit)
    alone = reasons & HARDWARE_SLOWDOWN and not reasons & 0xC0
    return (*words, "hardware slowdown") if alone else words
