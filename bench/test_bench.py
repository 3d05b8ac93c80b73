"""What is computed from measurements, without measuring: `python3 -m unittest discover bench`."""

import sys
import unittest

sys.dont_write_bytecode = True

import report
import svg
from nats import Nats
from processes import Failed
from scenarios.itself import quantile


def connection(unread):
    """One that has read these bytes."""
    nats = Nats.__new__(Nats)
    nats.unread = unread
    return nats


class Figures(unittest.TestCase):
    def test_a_quantile_is_that_of_what_came_in_between_and_lies_within_its_bucket(self):
        bucket = 'lag_bucket{le="%s"}'
        before = {bucket % "0.1": 100.0, bucket % "0.5": 100.0, bucket % "+Inf": 100.0}
        after = {bucket % "0.1": 100.0, bucket % "0.5": 200.0, bucket % "+Inf": 200.0}
        self.assertAlmostEqual(quantile(before, after, "lag", 0.5), 0.3)
        self.assertAlmostEqual(quantile(before, after, "lag", 1.0), 0.5)
        self.assertEqual(quantile(after, after, "lag", 0.99), 0.0)

    def test_a_goal_is_told_by_the_median_and_by_its_direction(self):
        check = {"goal": 2, "is_least": True, "values": [1, 3, 2]}
        self.assertEqual(report.held(check), "held")
        self.assertEqual(report.held({**check, "values": [1, 3, 1.9]}), "**not held**")
        self.assertEqual(report.held({**check, "is_least": False, "values": [1, 3, 2.1]}), "**not held**")
        self.assertEqual(report.held({**check, "goal": None}), "shown beside")

    def test_a_share_of_a_goal_is_above_one_where_it_is_held(self):
        check = {"what": "w", "unit": "", "goal": 4, "is_least": False, "values": [2, 4, 8]}
        [(_, least, median, most)] = report.over_goals({"s": {"checks": [check]}})
        self.assertEqual((least, median, most), (0.5, 1, 2))

    def test_sides_with_a_number_are_points_of_lines(self):
        sides = {"a 1": [{"rate": 1}, {"rate": 3}], "a 64": [{"rate": 5}], "b 64": [{"rate": 7}]}
        self.assertEqual(report.curves(sides, lambda run: run["rate"]), ({"a": [2, 5], "b": [None, 7]}, [1, 64]))

    def test_an_axis_has_marks_in_its_range(self):
        self.assertEqual(svg.steps(0.9, 25), [1, 2, 5, 10, 20])


class Protocol(unittest.TestCase):
    def test_a_message_is_taken_when_it_is_all_there(self):
        whole = b"MSG _INBOX.a 1 3\r\nyes\r\n"
        for length in range(len(whole)):
            self.assertEqual(connection(whole[:length]).take([]), 0)
        found = []
        self.assertEqual(connection(whole + b"PI").take(found), len(whole))
        self.assertEqual(found, [b"yes"])

    def test_headers_are_no_part_of_the_answer_and_a_refusal_is_told(self):
        head = b"NATS/1.0\r\nA: b\r\n\r\n"
        found = []
        connection(b"HMSG _INBOX.a 1 %d %d\r\n%syes\r\n" % (len(head), len(head) + 3, head)).take(found)
        self.assertEqual(found, [b"yes"])
        for head in (b"NATS/1.0 503\r\n\r\n", b"NATS/1.0\r\nNats-Service-Error: invalid\r\n\r\n"):
            with self.assertRaises(Failed):
                connection(b"HMSG _INBOX.a 1 %d %d\r\n%s\r\n" % (len(head), len(head), head)).take([])


if __name__ == "__main__":
    unittest.main()
