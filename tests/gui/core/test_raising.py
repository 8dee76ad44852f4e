"""The press that brings a window to the front, and those that follow."""

from emtomo.gui.core.raising import RaisingClick, overlap


class Clock:
    now = 10.0

    def __call__(self):
        return self.now


def test_rectangles_that_only_touch_do_not_cover_each_other():
    assert overlap((0, 0, 10, 10), (9, 9, 5, 5)) and overlap((0, 0, 10, 10), (2, 2, 3, 3))
    assert not overlap((0, 0, 10, 10), (10, 0, 5, 5)) and not overlap((0, 0, 10, 10), (2, -5, 3, 5))


def test_the_press_that_raises_is_distinguished_from_the_next():
    clock = Clock()
    raising = RaisingClick(clock)
    assert not raising.only_raises()  # in front from the beginning
    raising.look(covered=True)
    raising.look(covered=False)  # the window manager raises first, then hands the press on
    clock.now += 0.02
    assert raising.only_raises()
    clock.now += 0.05
    assert not raising.only_raises()  # a quick second click is meant


def test_a_window_raised_long_before_takes_the_press():
    clock = Clock()
    raising = RaisingClick(clock)
    raising.look(covered=True)
    raising.look(covered=False)
    clock.now += 2
    assert not raising.only_raises()


def test_a_new_window_comes_to_the_front_by_itself():
    raising = RaisingClick(Clock())
    raising.look(covered=True)  # mapped below, then raised by the window manager
    assert not raising.opened  # a press that comes now asks whether it is covered still
    raising.look(covered=False)
    assert raising.opened and not raising.only_raises()


def test_closing_what_covers_a_window_raises_nothing():
    raising = RaisingClick(Clock())
    raising.look(covered=True)
    raising.look(covered=False, closed=True)
    assert not raising.only_raises()


def test_where_a_click_raises_nothing_only_the_first_is_held_back():
    raising = RaisingClick(Clock())
    raising.look(covered=True)
    assert raising.only_raises()
    raising.look(covered=True)
    assert not raising.only_raises()
    raising.look(covered=False)
    raising.look(covered=True)
    assert raising.only_raises()
