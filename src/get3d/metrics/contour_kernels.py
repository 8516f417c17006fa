"""Contours of silhouettes, with bridges between their parts, in NVIDIA Warp for the CPU and NVIDIA GPUs."""

import math

import warp as wp

from get3d.metrics.silhouette_kernels import (
    SIDE,
    WORDS,
    Bits,
    count_bits,
    first_bit,
    from_left,
    from_right,
    is_set,
    word_at,
)

__all__ = ["COEFFICIENTS", "describe_contours"]

wp.set_module_options({"enable_backward": False, "max_unroll": 0})

COEFFICIENTS = 10
SHORTEST_CONTOUR = 8
GROWTH = 3
_FULL_TURN = 2 * math.pi
MAX_TRACE = 4 * SIDE * SIDE


@wp.func
def _row_step(direction: int):
    """How the row changes one step ahead: directions 0 to 3 are row + 1, column + 1, row − 1, column − 1."""
    return (1 - direction) * (1 - (direction & 1))


@wp.func
def _column_step(direction: int):
    return (2 - direction) * (direction & 1)


@wp.func
def _next(bits: Bits, view: int, row: int, column: int, direction: int):
    """The next pixel of a trace and the direction taken there, (row, column, direction); direction −1 where none is.

    Left ahead, ahead and right ahead are tried in this order, then the same after turning right, four times.
    """
    result = wp.vec3i(row, column, -1)
    facing = direction
    attempt = int(0)
    while attempt < 4 and result[2] < 0:
        left = (facing + 3) & 3
        ahead_row = row + _row_step(facing)
        ahead_column = column + _column_step(facing)
        row_left = _row_step(left)
        column_left = _column_step(left)
        if is_set(bits, view, ahead_row + row_left, ahead_column + column_left):
            result = wp.vec3i(ahead_row + row_left, ahead_column + column_left, left)
        elif is_set(bits, view, ahead_row, ahead_column):
            result = wp.vec3i(ahead_row, ahead_column, facing)
        elif is_set(bits, view, ahead_row - row_left, ahead_column - column_left):
            result = wp.vec3i(ahead_row - row_left, ahead_column - column_left, facing)
        facing = (facing + 1) & 3
        attempt += 1
    return result


@wp.func
def _set(bits: Bits, view: int, row: int, column: int):
    word = column >> 5
    bits[view, row, word] = bits[view, row, word] | (wp.uint32(1) << wp.uint32(column & 31))


@wp.func
def _first_pixel(bits: Bits, view: int, low_row: int):
    """Row and column of the first foreground pixel, row by row; one there must be."""
    row = low_row
    word = int(0)
    while bits[view, row, word] == wp.uint32(0):
        word += 1
        if word == WORDS:
            word = 0
            row += 1
    here = bits[view, row, word]
    return wp.vec2i(row, 32 * word + first_bit(here))


@wp.func
def _trace(bits: Bits, view: int, start: wp.vec2i, low_row: int, high_row: int, trace: Bits):
    """Marks the contour in `trace` and returns its number of points, the start counted twice; −1 where it fails."""
    for row in range(low_row, high_row + 1):
        for word in range(WORDS):
            trace[view, row, word] = wp.uint32(0)
    row = start[0]
    column = start[1]
    _set(trace, view, row, column)
    passes = (
        is_set(bits, view, row + 1, column - 1)
        and not is_set(bits, view, row + 1, column)
        and (is_set(bits, view, row + 1, column + 1) or is_set(bits, view, row, column + 1))
    )
    place = wp.vec3i(row, column, 0)
    points = int(1)
    going = bool(True)
    while going:
        place = _next(bits, view, place[0], place[1], place[2])
        points += 1
        if place[2] < 0 or points > MAX_TRACE:
            points = -1
            going = False
        else:
            _set(trace, view, place[0], place[1])
            back = place[0] == row and place[1] == column
            going = not back or (passes and place[2] == 1)
    return points


@wp.func
def _flood_row(trace: Bits, flooded: Bits, view: int, row: int, neighbour: int):
    """Spreads the flood from a neighbouring row, then to both sides; whether anything changed.

    Upwards in a word a sum does it: its carry runs through the free bits above each flooded one.
    """
    changed = bool(False)
    carry = wp.uint32(1)
    for word in range(WORDS):
        free = ~trace[view, row, word]
        before = flooded[view, row, word]
        seed = (before | flooded[view, neighbour, word] | carry) & free
        after = (free & ~(free + seed)) | seed
        carry = after >> wp.uint32(31)
        if after != before:
            flooded[view, row, word] = after
            changed = True
    carry = wp.uint32(1) << wp.uint32(31)
    for step in range(WORDS):
        word = WORDS - 1 - step
        free = ~trace[view, row, word]
        before = flooded[view, row, word]
        after = (before | carry) & free
        if after != before or (free & (after >> wp.uint32(1)) & ~after) != wp.uint32(0):
            for doubling in range(5):
                shift = wp.uint32(1) << wp.uint32(doubling)
                after |= free & (after >> shift)
                free &= free >> shift
            flooded[view, row, word] = after
            changed = True
        carry = after << wp.uint32(31)
    return changed


@wp.func
def _is_one_part(bits: Bits, view: int, low_row: int, high_row: int, trace: Bits, flooded: Bits):
    """Whether more than 95 % of the foreground lies on or inside the trace: a flood from outside does not reach it."""
    for row in range(low_row - 1, high_row + 2):
        outside = row < low_row or row > high_row
        for word in range(WORDS):
            flooded[view, row, word] = wp.where(outside, ~wp.uint32(0), wp.uint32(0))
    changed = bool(True)
    while changed:
        changed = bool(False)
        for row in range(low_row, high_row + 1):
            if _flood_row(trace, flooded, view, row, row - 1):
                changed = True
        for step in range(high_row - low_row + 1):
            if _flood_row(trace, flooded, view, high_row - step, high_row - step + 1):
                changed = True
    pixels = int(0)
    kept = int(0)
    for row in range(low_row, high_row + 1):
        for word in range(WORDS):
            here = bits[view, row, word]
            pixels += count_bits(here)
            kept += count_bits(here & ~flooded[view, row, word])
    return wp.float64(kept) / wp.float64(pixels) > wp.float64(0.95)


@wp.func
def _five_wide(bits: Bits, view: int, row: int, word: int):
    here = word_at(bits, view, row, word)
    left = (here << wp.uint32(2)) | (word_at(bits, view, row, word - 1) >> wp.uint32(30))
    right = (here >> wp.uint32(2)) | (word_at(bits, view, row, word + 1) << wp.uint32(30))
    return left | right


@wp.func
def _three_wide(bits: Bits, view: int, row: int, word: int):
    return word_at(bits, view, row, word) | from_left(bits, view, row, word) | from_right(bits, view, row, word)


@wp.func
def _dilate(source: Bits, view: int, low_row: int, high_row: int, radius: int, target: Bits):
    """Grows the foreground by a square of 3 × 3 (radius 1) or one of 5 × 5 without its corners (radius 2)."""
    for row in range(low_row - radius, high_row + radius + 1):
        for word in range(WORDS):
            grown = wp.uint32(0)
            for step in range(-radius, radius + 1):
                grown |= _three_wide(source, view, row + step, word)
                if radius == 2 and wp.abs(step) < 2:
                    grown |= _five_wide(source, view, row + step, word)
            target[view, row, word] = grown


@wp.func
def _deletable(bits: Bits, view: int, row: int, word: int):
    """Which pixels may go without parting the foreground or shortening a line, by their eight neighbours.

    The background around must be one piece at most, where corners connect, and the foreground not a single pixel. As
    many pieces as the background has, so often does a side neighbour start a run of foreground that turns no corner.
    """
    right = from_right(bits, view, row, word)
    left = from_left(bits, view, row, word)
    above = word_at(bits, view, row + 1, word)
    below = word_at(bits, view, row - 1, word)
    right_above = from_right(bits, view, row + 1, word)
    left_above = from_left(bits, view, row + 1, word)
    right_below = from_right(bits, view, row - 1, word)
    left_below = from_left(bits, view, row - 1, word)
    a = right & ~(right_above & above)
    b = above & ~(left_above & left)
    c = left & ~(left_below & below)
    d = below & ~(right_below & right)
    parted = (a & b) | (c & d) | ((a | b) & (c | d))
    some = right | left | above | below
    several = (right & left) | (above & below) | ((right | left) & (above | below))
    corners = right_above | left_above | right_below | left_below
    several |= (right_above & left_above) | (right_below & left_below)
    several |= (right_above | left_above) & (right_below | left_below)
    several |= some & corners
    return ~parted & (several | ~(some | corners))


@wp.func
def _thin(bits: Bits, original: Bits, view: int, low: wp.vec2i, high: wp.vec2i, doomed: Bits):
    """Takes pixels that `original` lacks off one side after the other, until a full round takes none.

    Only rows and words from `low` to `high` hold foreground.
    """
    changed = bool(True)
    while changed:
        changed = bool(False)
        for side in range(4):
            for row in range(low[0], high[0] + 1):
                for word in range(low[1], high[1] + 1):
                    loose = bits[view, row, word] & ~original[view, row, word]
                    if loose != wp.uint32(0):
                        if side == 0:
                            loose &= ~word_at(bits, view, row - 1, word)
                        elif side == 1:
                            loose &= ~word_at(bits, view, row + 1, word)
                        elif side == 2:
                            loose &= ~from_left(bits, view, row, word)
                        else:
                            loose &= ~from_right(bits, view, row, word)
                    if loose != wp.uint32(0):
                        loose &= _deletable(bits, view, row, word)
                    doomed[view, row, word] = loose
            for row in range(low[0], high[0] + 1):
                for word in range(low[1], high[1] + 1):
                    dead = doomed[view, row, word]
                    if dead != wp.uint32(0):
                        bits[view, row, word] = bits[view, row, word] & ~dead
                        changed = True


@wp.func
def _spectrum(
    bits: Bits,
    view: int,
    start: wp.vec2i,
    points: int,
    centre: wp.vec2d,
    spectrum: wp.array2d(dtype=wp.float64),
):
    """Magnitudes of the first Fourier coefficients of the distance to the centre along the trace, over the zeroth."""
    total = wp.float64(0.0)
    real = wp.zeros(shape=(COEFFICIENTS,), dtype=wp.float64)
    imaginary = wp.zeros(shape=(COEFFICIENTS,), dtype=wp.float64)
    turn = wp.float64(_FULL_TURN) / wp.float64(points)
    place = wp.vec3i(start[0], start[1], 0)
    for point in range(points):
        distance = wp.length(wp.vec2d(wp.float64(place[0]), wp.float64(place[1])) - centre)
        total += distance
        cosine = wp.cos(turn * wp.float64(point))
        sine = wp.sin(turn * wp.float64(point))
        c = distance
        s = wp.float64(0.0)
        for k in range(COEFFICIENTS):
            previous = c
            c = previous * cosine - s * sine
            s = previous * sine + s * cosine
            real[k] = real[k] + c
            imaginary[k] = imaginary[k] + s
        place = _next(bits, view, place[0], place[1], place[2])
    for k in range(wp.min(COEFFICIENTS, points / 2)):
        spectrum[view, k] = wp.length(wp.vec2d(real[k], imaginary[k])) / total


@wp.kernel
def describe_contours(
    silhouettes: Bits,
    bounds: wp.array2d(dtype=wp.int32),
    bridged: Bits,
    trace: Bits,
    scratch: Bits,
    points: wp.array(dtype=wp.int32),
    bridges: wp.array(dtype=wp.int32),
    spectrum: wp.array2d(dtype=wp.float64),
):
    """Traces each silhouette's contour, bridged where it has several parts, and takes its Fourier coefficients.

    `bridges` tells how: 0 not, 1 and 2 by growing once or twice, 3 by the filled bounding box.
    """
    view = wp.tid()
    points[view] = -1
    low_row = bounds[view, 0]
    high_row = bounds[view, 1]
    if low_row < 0:
        return
    centre = wp.vec2d(wp.float64(low_row + high_row), wp.float64(bounds[view, 2] + bounds[view, 3]))
    centre = wp.float64(0.5) * centre
    start = _first_pixel(silhouettes, view, low_row)
    found = _trace(silhouettes, view, start, low_row, high_row, trace)
    if _is_one_part(silhouettes, view, low_row, high_row, trace, scratch):
        points[view] = found
        if found >= SHORTEST_CONTOUR:
            _spectrum(silhouettes, view, start, found, centre, spectrum)
        return
    bridge = int(1)
    low_row -= 1
    high_row += 1
    _dilate(silhouettes, view, low_row + 1, high_row - 1, 1, bridged)
    _trace(bridged, view, _first_pixel(bridged, view, low_row), low_row, high_row, trace)
    if not _is_one_part(bridged, view, low_row, high_row, trace, scratch):
        bridge = 2
        low_row -= 2
        high_row += 2
        _dilate(bridged, view, low_row + 2, high_row - 2, 2, scratch)
        for row in range(low_row, high_row + 1):
            for word in range(WORDS):
                bridged[view, row, word] = scratch[view, row, word]
        _trace(bridged, view, _first_pixel(bridged, view, low_row), low_row, high_row, trace)
        if not _is_one_part(bridged, view, low_row, high_row, trace, scratch):
            bridge = 3
            for row in range(low_row, high_row + 1):
                for word in range(WORDS):
                    first = wp.clamp(bounds[view, 2] - 32 * word, 0, 32)
                    end = wp.clamp(bounds[view, 3] + 1 - 32 * word, 0, 32)
                    ones = wp.uint32(0)
                    if end > first and row >= bounds[view, 0] and row <= bounds[view, 1]:
                        ones = (~wp.uint32(0) >> wp.uint32(32 - (end - first))) << wp.uint32(first)
                    bridged[view, row, word] = ones
    bridges[view] = bridge
    low = wp.vec2i(low_row, wp.max(bounds[view, 2] - GROWTH, 0) >> 5)
    high = wp.vec2i(high_row, wp.min(bounds[view, 3] + GROWTH, SIDE - 1) >> 5)
    _thin(bridged, silhouettes, view, low, high, scratch)
    start = _first_pixel(bridged, view, low_row)
    found = _trace(bridged, view, start, low_row, high_row, trace)
    points[view] = found
    if found >= SHORTEST_CONTOUR:
        _spectrum(bridged, view, start, found, centre, spectrum)
