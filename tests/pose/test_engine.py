from realtime.pose.engine import even_parts


def test_batches_are_bounded_and_differ_by_at_most_one_person():
    for count in range(200):
        parts = list(even_parts(count, 16))
        assert [i for part in parts for i in range(part.start, part.stop)] == list(range(count))
        lengths = {part.stop - part.start for part in parts}
        assert not lengths or (max(lengths) <= 16 and max(lengths) - min(lengths) <= 1)
