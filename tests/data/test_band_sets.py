"""The order of batches where images have different bands."""

from __future__ import annotations

from collections import Counter

import numpy as np

from domainclip.data.band_sets import BandSetOrder

SETS = [("B02", "B03")] * 23 + [("B02",)] * 9 + [("B04",)] * 3 + [("B02", "B03")] * 2


def test_each_batch_is_of_one_set_and_an_epoch_shows_each_row_at_most_once():
    order = BandSetOrder(SETS, 4, seed=3)
    assert order.steps_per_epoch == 25 // 4 + 9 // 4 + 1 and order.repeating == [3]
    for epoch in range(3):
        seen: Counter[int] = Counter()
        for step in range(order.steps_per_epoch):
            rows, said = order.global_batch(epoch * order.steps_per_epoch + step)
            assert said == epoch and len(rows) == 4 and len({SETS[row] for row in rows}) == 1
            seen.update(rows.tolist())
        repeated = {row for row, count in seen.items() if count > 1}
        assert {SETS[row] for row in repeated} == {("B04",)} and {32, 33, 34} <= set(seen)
        assert len(seen) == 24 + 8 + 3


def test_order_follows_from_seed_and_step_alone():
    def batches(**more):
        order = BandSetOrder(**{"sets": SETS, "global_size": 4, "seed": 3, **more})
        return [tuple(order.global_batch(step)[0]) for step in range(27)]

    assert batches() == batches() and batches() != batches(seed=4)
    first, second = batches()[:9], batches()[9:18]
    assert first != second
    sets_of = [[SETS[rows[0]] for rows in part] for part in (first, second)]
    assert sets_of[0] != sets_of[1], "sets come in another order each epoch"
    late = BandSetOrder(SETS, 4, 3)
    assert tuple(late.global_batch(26)[0]) == batches()[26], "no step before it need be asked for"


def test_all_rows_come_in_the_end():
    order = BandSetOrder(SETS, 4, seed=0)
    seen = np.concatenate([order.global_batch(step)[0] for step in range(20 * order.steps_per_epoch)])
    assert set(seen.tolist()) == set(range(len(SETS)))
