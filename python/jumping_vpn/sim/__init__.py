"""A world without time of its own, in which the real roles meet every fault: exploration."""
