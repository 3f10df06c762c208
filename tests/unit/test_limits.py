import sys
from itertools import pairwise

import pytest

from xmpp_server.util.limits import Allowance, Places, SlowDown, TokenBucket, address_key


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize(
    ("ip", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("2001:DB8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
    ],
)
def test_an_ipv6_address_is_known_by_its_site_and_an_ipv4_address_by_itself(ip: str, key: str) -> None:
    assert address_key(ip) == key


def test_what_is_no_address_has_no_key() -> None:
    with pytest.raises(ValueError):
        address_key("a.example")


def test_a_bucket_lets_a_burst_pass_and_then_asks_for_a_pause_as_long_as_the_debt(clock: Clock) -> None:
    bucket = TokenBucket(10, 50, clock)
    assert bucket.take(50) == 0
    assert bucket.take(5) == pytest.approx(0.5)
    clock.now += 0.5
    assert bucket.take(1) == pytest.approx(0.1)


def test_a_bucket_fills_no_higher_than_its_burst(clock: Clock) -> None:
    bucket = TokenBucket(10, 50, clock)
    clock.now += 3600
    assert bucket.take(50) == 0
    assert bucket.take() > 0


def test_over_time_a_bucket_lets_its_rate_pass_and_no_more(clock: Clock) -> None:
    bucket = TokenBucket(100, 10, clock)
    start = clock.now
    for _ in range(1000):
        clock.now += bucket.take(3)
    assert clock.now - start == pytest.approx((3000 - 10) / 100)


def test_the_first_failures_cost_nothing_and_each_further_one_doubles_the_wait(clock: Clock) -> None:
    slow = SlowDown(clock, free=3, first=1, longest=10)
    waits = []
    for _ in range(9):
        waits.append(slow.delay("juliet"))
        slow.failed("juliet")
        clock.now += waits[-1]
    assert waits == [0, 0, 0, 1, 2, 4, 8, 10, 10]
    assert slow.delay("romeo") == 0


def test_who_waited_long_enough_of_his_own_accord_waits_no_more(clock: Clock) -> None:
    slow = SlowDown(clock, free=1, first=4, longest=60)
    slow.failed("juliet")
    clock.now += 3
    assert slow.delay("juliet") == pytest.approx(1)
    clock.now += 100
    assert slow.delay("juliet") == 0


def test_many_attempts_at_the_same_time_guess_no_faster_than_one(clock: Clock) -> None:
    slow = SlowDown(clock, free=3, first=1, longest=1000)
    waits = []
    for _ in range(9):
        waits.append(slow.delay("juliet"))
        slow.failed("juliet")
    assert waits[:3] == [0, 0, 0]
    gaps = [later - earlier for earlier, later in pairwise(waits[2:])]
    assert gaps == [1, 2, 4, 8, 16, 32]


def test_nobody_waits_longer_than_the_longest_wait(clock: Clock) -> None:
    slow = SlowDown(clock, free=0, first=1, longest=30)
    for _ in range(5000):
        assert slow.delay("juliet") <= 30
        slow.failed("juliet")


def test_a_success_forgives_the_failures(clock: Clock) -> None:
    slow = SlowDown(clock, free=1)
    slow.failed("juliet")
    slow.failed("juliet")
    assert slow.delay("juliet") > 0
    slow.succeeded("juliet")
    assert slow.delay("juliet") == 0
    slow.failed("juliet")
    assert slow.delay("juliet") == 1


def test_a_success_of_someone_who_never_failed_is_nothing(clock: Clock) -> None:
    slow = SlowDown(clock)
    slow.succeeded("juliet")
    assert slow.delay("juliet") == 0


def test_failures_are_forgotten_after_a_while(clock: Clock) -> None:
    slow = SlowDown(clock, free=1, forget=900)
    for _ in range(10):
        slow.failed("juliet")
    clock.now += 899
    slow.failed("juliet")
    assert slow.delay("juliet") > 0
    clock.now += 900
    assert slow.delay("juliet") == 0
    slow.failed("juliet")
    assert slow.delay("juliet") == 1


def test_a_million_names_take_no_more_room_than_the_table_has(clock: Clock) -> None:
    slow = SlowDown(clock, free=1, keys=100)
    slow.failed("juliet")
    for number in range(5000):
        slow.failed(f"{number}" + "x" * 1000)
        if not number % 50:
            slow.failed("juliet")  # who goes on failing is not pushed out by others
    assert slow.delay("juliet") > 0
    assert slow.delay("0" + "x" * 1000) == 0
    assert len(slow._entries) == 100
    assert sys.getsizeof(slow._entries) < 20_000


def test_asking_about_names_keeps_nothing(clock: Clock) -> None:
    slow = SlowDown(clock)
    for number in range(1000):
        slow.delay(str(number))
    assert not slow._entries


def test_each_key_has_its_places_and_all_keys_have_theirs() -> None:
    places = Places(each=2, total=3)
    assert [places.enter("a"), places.enter("a"), places.enter("a")] == [True, True, False]
    assert places.enter("b")
    assert not places.enter("c")
    places.leave("a")
    assert places.enter("c")
    assert not places.enter("a")


def test_a_key_that_left_takes_no_room() -> None:
    places = Places(each=1, total=10)
    for number in range(1000):
        assert places.enter(str(number))
        assert not places.enter(str(number))
        places.leave(str(number))
    assert not places._taken


def test_a_queue_is_full_once_another_attempt_would_wait_no_longer_than_those_in_it(clock: Clock) -> None:
    slow = SlowDown(clock, free=1, first=1, longest=4)
    assert not slow.is_full("a")
    for _ in range(8):
        slow.delay("a")
        slow.failed("a")
    assert slow.is_full("a")
    assert not slow.is_full("b")
    clock.now += 1
    assert not slow.is_full("a")


def test_an_allowance_is_used_up_and_comes_back_with_time(clock: Clock) -> None:
    allowance = Allowance(clock, count=4, period=100)
    assert [allowance.take("a") for _ in range(6)] == [True] * 4 + [False] * 2
    clock.now += 24
    assert not allowance.take("a")
    clock.now += 2
    assert allowance.take("a")
    assert not allowance.take("a")


def test_an_allowance_is_not_saved_up_beyond_its_count(clock: Clock) -> None:
    allowance = Allowance(clock, count=2, period=10)
    clock.now += 1000
    assert [allowance.take("a") for _ in range(3)] == [True, True, False]


def test_the_allowance_of_one_key_is_not_that_of_another(clock: Clock) -> None:
    allowance = Allowance(clock, count=1, period=10)
    assert allowance.take("a")
    assert allowance.take("b")
    assert not allowance.take("a")


def test_the_table_of_allowances_is_bounded(clock: Clock) -> None:
    allowance = Allowance(clock, count=1, period=1000, keys=10)
    for number in range(1000):
        allowance.take(str(number))
    assert len(allowance._used) == 10
    assert not allowance.take("999")
