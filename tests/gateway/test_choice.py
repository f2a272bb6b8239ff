"""The decision core: which request goes where and when. No network, no clock."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from splitter.gateway.choice import Ask, OwnerShare, View, assign, best, in_turn
from splitter.gateway.pace import Pace, generated, prompted, told

M = frozenset({"m"})


def ask(number: int = 0, **more: Any) -> Ask:
    base = Ask(number, M, 100.0, 100.0, "normal", "me", float(number), {})
    return replace(base, **more)


def view(name: str, tps: float, slots: int = 1, at_work: int = 0, free_at: tuple[float, ...] = ()) -> View:
    return View(name, M, slots, at_work, free_at, told(tps * 10, tps))


def test_the_faster_backend_is_chosen() -> None:
    assert best(ask(), [view("slow", 10), view("fast", 50)], 0.0).name == "fast"  # type: ignore[union-attr]


def test_a_request_waits_for_a_fast_backend_only_while_that_pays() -> None:
    """100 tokens: 2 s on the fast one, 10 s on the slow one."""
    slow = view("slow", 10)
    assert assign([ask()], [slow, view("fast", 50, 1, 1, (3.0,))], {}, 0.0, 30) == []
    (now,) = assign([ask()], [slow, view("fast", 50, 1, 1, (30.0,))], {}, 0.0, 30)
    assert now.backend == "slow"


def test_who_waits_for_a_backend_counts_for_the_next_one() -> None:
    """Four wait for the fast one; the slow one is free: the fifth is sooner done there."""
    asks = [ask(number) for number in range(8)]
    given = assign(asks, [view("slow", 10), view("fast", 50, 1, 1, (2.0,))], {}, 0.0, 30)
    assert [(g.ask.id, g.backend) for g in given] == [(4, "slow")]


def test_a_long_prompt_goes_where_prompts_are_fast() -> None:
    reader = View("reader", M, 1, 0, (), told(2000, 20))
    writer = View("writer", M, 1, 0, (), told(100, 60))
    long, short = ask(prompt_tokens=8000, output_tokens=50), ask(prompt_tokens=50, output_tokens=500)
    assert best(long, [reader, writer], 0.0) == reader
    assert best(short, [reader, writer], 0.0) == writer


def test_a_conversation_stays_where_its_beginning_is_cached_while_that_pays() -> None:
    cached = ask(prompt_tokens=4000, output_tokens=20, cached={"slow": 3900.0})
    slow, fast = view("slow", 20), view("fast", 40)
    assert best(cached, [slow, fast], 0.0) == slow
    assert best(replace(cached, output_tokens=2000), [slow, fast], 0.0) == fast
    busy = view("slow", 20, 1, 1, (60.0,))
    assert best(cached, [busy, fast], 0.0) == fast


def test_a_backend_without_the_model_or_an_ability_is_never_chosen() -> None:
    other = replace(view("other", 1000), models=frozenset({"x"}))
    blind = replace(view("blind", 1000), vision=False)
    sees = view("sees", 1)
    assert best(ask(vision=True), [other, blind, sees], 0.0) == sees
    assert best(ask(avoid=frozenset({"sees"})), [other, sees], 0.0) is None
    assert best(ask(), [replace(sees, slots=0)], 0.0) is None


def test_priorities_and_ageing() -> None:
    low, high = ask(1, priority="low", arrived_s=0.0), ask(2, priority="high", arrived_s=50.0)
    assert in_turn([low, high], {}, 50.0, 30) == [high, low]
    assert in_turn([low, high], {}, 70.0, 30) == [low, high]  # 70 s: two levels, and it came first


def test_a_key_with_a_thousand_requests_delays_another_by_one_round() -> None:
    flood = [ask(number, owner="flood") for number in range(1000)]
    other = ask(1000, owner="other")
    for share in (OwnerShare(4, 900.0), OwnerShare(0, 900.0)):  # with its own at work, or its one slot just free again
        assert in_turn([*flood, other], {"flood": share}, 1000.0, 1e9)[0] == other
    both = {"flood": OwnerShare(0, 900.0), "other": OwnerShare(0, 950.0)}
    assert in_turn([*flood, other], both, 1000.0, 1e9).index(other) == 1


def test_high_priority_gets_the_next_slot_in_a_flood() -> None:
    asks = [ask(number, priority="low") for number in range(500)]
    asks.append(ask(500, priority="high", arrived_s=1.0))
    given = assign(asks, [view("only", 10, 1, 0)], {}, 1.0, 30)
    assert [g.ask.id for g in given] == [500]


@given(
    st.lists(st.tuples(st.sampled_from(["high", "normal", "low"]), st.floats(0, 1e4), st.integers(0, 3)), max_size=80),
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), st.floats(1, 500)), max_size=5),
)
def test_no_slot_is_given_twice_and_no_request_either(asks: list[Any], views: list[Any]) -> None:
    waiting = [
        ask(number, priority=word, output_tokens=tokens, owner=str(owner))
        for number, (word, tokens, owner) in enumerate(asks)
    ]
    shown = [
        view(str(number), tps, slots, at_work, (100.0,) * at_work) for number, (slots, at_work, tps) in enumerate(views)
    ]
    given = assign(waiting, shown, {}, 100.0, 30)
    assert len({g.ask.id for g in given}) == len(given)
    for backend in shown:
        started = sum(g.backend == backend.name for g in given)
        assert started <= max(0, backend.slots - backend.at_work)


def test_the_pace_follows_what_is_measured() -> None:
    pace = Pace()
    for _ in range(60):
        for k in (1, 2, 4):
            pace = generated(pace, k, 0.010 + 0.002 * k)
    assert abs(pace.token_s(1) - 0.012) < 0.0005
    assert abs(pace.token_s(8) - 0.026) < 0.001
    assert round(told(1000, 50).generation_tps or 0) == 50


def test_a_prompt_that_was_cached_is_no_measure() -> None:
    pace = prompted(Pace(), 1000, 1.0)
    assert pace.prompt_tps == 1000
    assert prompted(pace, 1, 0.0001) == pace
