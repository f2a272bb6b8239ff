"""Down at a failure, back after a cool-down, slowly at first."""

from splitter.gateway.standing import COOL_MOST_S, Standing, after_failure, after_probe, after_success


def test_what_was_never_down_is_up_at_once() -> None:
    assert after_probe(Standing(), "ready", 0.0).slots(8) == 8


def test_what_failed_returns_slowly_after_its_cool_down() -> None:
    down = after_failure(Standing("up"), 10.0, "it cannot be reached")
    assert down.slots(8) == 0
    assert after_probe(down, "ready", 10.5).state == "down"
    back = after_probe(down, "ready", 11.5)
    shares = [back.slots(8)]
    for second in range(3):
        back = after_success(back, 8, 12.0 + second)
        shares.append(back.slots(8))
    assert shares == [1, 2, 4, 8]
    assert back.state == "up"


def test_failures_of_one_moment_count_once_and_the_pause_grows() -> None:
    down = after_failure(Standing("up"), 10.0, "x")
    assert after_failure(down, 10.1, "x").failures == 1
    clock_s = 10.0
    for _ in range(9):
        clock_s = down.cool_until_s + 0.1
        down = after_failure(after_probe(down, "ready", clock_s), clock_s, "x")
    assert down.cool_until_s - clock_s == COOL_MOST_S


def test_failures_are_forgotten_in_time() -> None:
    down = after_failure(Standing("up"), 10.0, "x")
    again = after_failure(Standing("up", failures=5, failed_at_s=10.0), 500.0, "x")
    assert again.failures == down.failures == 1


def test_one_silent_probe_is_a_busy_machine_two_are_none() -> None:
    once = after_probe(Standing("up"), "silent", 1.0)
    assert once.serves
    assert not after_probe(once, "silent", 3.0).serves
    assert after_probe(once, "ready", 2.0).silent == 0


def test_a_backend_says_when_it_wants_to_be_asked_again() -> None:
    assert after_failure(Standing("up"), 10.0, "busy", 7.0).cool_until_s == 17.0


def test_loading_gets_nothing_and_comes_back() -> None:
    loading = after_probe(Standing("up"), "loading", 1.0)
    assert loading.slots(4) == 0
    assert after_probe(loading, "ready", 2.0).slots(4) == 4
