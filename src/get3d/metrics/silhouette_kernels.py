"""From triangles to silhouettes as bits, and their measures, in NVIDIA Warp for the CPU and NVIDIA GPUs.

A silhouette is 256 rows of eight 32-bit words; bit j of word w is column 32 w + j, and row 0 is at the bottom. So a
row is handled in eight steps, and a silhouette fits into a processor's first cache.
"""

import warp as wp

__all__ = [
    "CELLS",
    "SIDE",
    "SUBPIXELS",
    "WORDS",
    "Bits",
    "count_bits",
    "draw_silhouettes",
    "first_bit",
    "from_left",
    "from_right",
    "gather_cells",
    "is_set",
    "measure_silhouettes",
    "project_vertices",
    "word_at",
]

wp.set_module_options({"enable_backward": False, "max_unroll": 0})

SIDE = 256
_HALF_SIDE = SIDE // 2
WORDS = 8
SUBPIXELS = 256
_HALF = SUBPIXELS // 2

CELLS = 101
"""Side of the table of basis functions of the region descriptor: −50 … 50."""

_MIDDLE = CELLS // 2
_CELLS_AND_ONE = CELLS + 1

Bits = wp.array3d(dtype=wp.uint32)


@wp.func
def is_set(bits: Bits, view: int, row: int, column: int):
    """Whether a pixel is foreground; it must lie inside."""
    return ((bits[view, row, column >> 5] >> wp.uint32(column & 31)) & wp.uint32(1)) != wp.uint32(0)


@wp.func
def word_at(bits: Bits, view: int, row: int, word: int):
    """A word of a silhouette; zero outside."""
    if row < 0 or row >= SIDE or word < 0 or word >= WORDS:
        return wp.uint32(0)
    return bits[view, row, word]


@wp.func
def from_left(bits: Bits, view: int, row: int, word: int):
    """The word whose every bit is its left neighbour, the one of the next lower column."""
    return (word_at(bits, view, row, word) << wp.uint32(1)) | (word_at(bits, view, row, word - 1) >> wp.uint32(31))


@wp.func
def from_right(bits: Bits, view: int, row: int, word: int):
    """The word whose every bit is its right neighbour, the one of the next higher column."""
    return (word_at(bits, view, row, word) >> wp.uint32(1)) | (word_at(bits, view, row, word + 1) << wp.uint32(31))


@wp.func
def count_bits(word: wp.uint32):
    """How many bits are set."""
    return int(wp.bit_count(word))


@wp.func
def first_bit(word: wp.uint32):
    """The number of the lowest bit that is set; one there must be."""
    return count_bits((word & (~word + wp.uint32(1))) - wp.uint32(1))


@wp.func
def _first_centre(x: int):
    """The first pixel whose centre is at or after x, which is in subpixels."""
    return (x + _HALF - 1) >> 8


@wp.func
def _crossing(low: wp.vec2i, high: wp.vec2i, y: int):
    """The first pixel whose centre is at or right of the edge from `low` to `high` on the line at y."""
    run = wp.int64(high[0] - low[0])
    rise = wp.int64(high[1] - low[1])
    numerator = (wp.int64(low[0]) - wp.int64(_HALF)) * rise + run * wp.int64(y - low[1])
    denominator = rise * wp.int64(SUBPIXELS)
    quotient = numerator / denominator
    if numerator > quotient * denominator:
        quotient += wp.int64(1)
    return int(quotient)


@wp.func
def _subpixels(axis: wp.vec3, point: wp.vec3):
    return int(wp.rint(float(SUBPIXELS * _HALF_SIDE) * (wp.dot(axis, point) + 1.0)))


@wp.kernel
def project_vertices(
    vertices: wp.array(dtype=wp.vec3),
    axes: wp.array2d(dtype=wp.vec3),
    screen: wp.array2d(dtype=wp.vec2i),
):
    """Where vertices in [−1, 1]³ are in each view, along its axes to the right and up, in 1/256 pixel.

    In single precision and rounded to subpixels, as a graphics driver does it.
    """
    view, vertex = wp.tid()
    point = vertices[vertex]
    screen[view, vertex] = wp.vec2i(_subpixels(axes[view, 0], point), _subpixels(axes[view, 1], point))


@wp.kernel
def draw_silhouettes(
    screen: wp.array2d(dtype=wp.vec2i),
    faces: wp.array2d(dtype=wp.int64),
    face_mesh: wp.array(dtype=wp.int64),
    silhouettes: Bits,
):
    """Sets the pixels whose centres lie in face f, seen from view v; a centre on an edge counts for one side only.

    Vertices are [views, V] on the screen in 1/256 pixel, so that all arithmetic is exact.
    """
    view, face = wp.tid()
    a = screen[view, int(faces[face, 0])]
    b = screen[view, int(faces[face, 1])]
    c = screen[view, int(faces[face, 2])]
    low = wp.min(a, wp.min(b, c))
    high = wp.max(a, wp.max(b, c))
    row = wp.max(_first_centre(low[1]), 0)
    end_row = wp.min(_first_centre(high[1]), SIDE)
    if row >= end_row or _first_centre(low[0]) >= _first_centre(high[0]):
        return
    image = int(face_mesh[face]) * screen.shape[0] + view
    if a[1] > b[1]:
        swap = a
        a = b
        b = swap
    if b[1] > c[1]:
        swap = b
        b = c
        c = swap
    if a[1] > b[1]:
        swap = a
        a = b
        b = swap
    while row < end_row:
        y = SUBPIXELS * row + _HALF
        one = _crossing(a, c, y)
        other = int(0)
        if y < b[1]:
            other = _crossing(a, b, y)
        else:
            other = _crossing(b, c, y)
        column = wp.max(wp.min(one, other), 0)
        end_column = wp.min(wp.max(one, other), SIDE)
        while column < end_column:
            word = column >> 5
            end = wp.min(end_column, (word + 1) << 5)
            ones = ~wp.uint32(0) >> wp.uint32(32 - (end - column))
            wp.atomic_or(silhouettes, image, row, word, ones << wp.uint32(column & 31))
            column = end
        row += 1


@wp.kernel
def measure_silhouettes(
    silhouettes: Bits,
    bounds: wp.array2d(dtype=wp.int32),
    counts: wp.array2d(dtype=wp.int32),
    reach: wp.array(dtype=wp.int32),
    moments: wp.array2d(dtype=wp.int64),
):
    """Lowest and highest row and column; pixels, and those with a background neighbour; the farthest pixel; moments.

    Distances and moments are about the middle of the bounds, in half pixels, so that they are whole numbers: `reach`
    is the greatest squared distance, `moments` the sums of x², y² and x y.
    """
    view = wp.tid()
    low_row = int(SIDE)
    high_row = int(-1)
    low_column = int(SIDE)
    high_column = int(-1)
    pixels = int(0)
    rim = int(0)
    for row in range(SIDE):
        for word in range(WORDS):
            here = silhouettes[view, row, word]
            if here == wp.uint32(0):
                continue
            low_row = wp.min(low_row, row)
            high_row = row
            low_column = wp.min(low_column, 32 * word + first_bit(here))
            high = here
            for step in range(5):
                high |= high >> (wp.uint32(1) << wp.uint32(step))
            high_column = wp.max(high_column, 32 * word + count_bits(high) - 1)
            pixels += count_bits(here)
            inner = here
            for side in range(3):
                near = row + side - 1
                inner &= word_at(silhouettes, view, near, word)
                inner &= from_left(silhouettes, view, near, word) & from_right(silhouettes, view, near, word)
            rim += count_bits(here & ~inner)
    if high_row < 0:
        low_row = -1
        low_column = -1
        high_column = -1
    bounds[view, 0] = low_row
    bounds[view, 1] = high_row
    bounds[view, 2] = low_column
    bounds[view, 3] = high_column
    counts[view, 0] = pixels
    counts[view, 1] = rim

    farthest = int(0)
    xx = wp.int64(0)
    yy = wp.int64(0)
    xy = wp.int64(0)
    row = low_row
    while pixels > 0 and row <= high_row:
        y = 2 * row - low_row - high_row
        in_row = int(0)
        sum = int(0)
        squares = int(0)
        greatest = int(0)
        for word in range(WORDS):
            rest = silhouettes[view, row, word]
            while rest != wp.uint32(0):
                x = 2 * (32 * word + first_bit(rest)) - low_column - high_column
                rest &= rest - wp.uint32(1)
                in_row += 1
                sum += x
                squares += x * x
                greatest = wp.max(greatest, x * x)
        if in_row > 0:
            farthest = wp.max(farthest, greatest + y * y)
        xx += wp.int64(squares)
        yy += wp.int64(in_row * y * y)
        xy += wp.int64(sum * y)
        row += 1
    reach[view] = farthest
    moments[view, 0] = xx
    moments[view, 1] = yy
    moments[view, 2] = xy


@wp.kernel
def gather_cells(
    silhouettes: Bits,
    bounds: wp.array2d(dtype=wp.int32),
    scale: wp.array(dtype=wp.float64),
    cells: wp.array3d(dtype=wp.float64),
):
    """The share of a silhouette's pixels in each cell of the table: every pixel lies between four cells."""
    view = wp.tid()
    half = wp.float64(0.5)
    one = wp.float64(1.0)
    middle = wp.float64(_MIDDLE)
    centre_row = half * wp.float64(bounds[view, 0] + bounds[view, 1])
    centre_column = half * wp.float64(bounds[view, 2] + bounds[view, 3])
    row = bounds[view, 0]
    while row >= 0 and row <= bounds[view, 1]:
        along = wp.zeros(shape=(_CELLS_AND_ONE,), dtype=wp.float64)
        for word in range(WORDS):
            rest = silhouettes[view, row, word]
            while rest != wp.uint32(0):
                x = (wp.float64(32 * word + first_bit(rest)) - centre_column) * scale[view] + middle
                rest &= rest - wp.uint32(1)
                cell = wp.clamp(int(x), 0, CELLS - 1)
                part = x - wp.float64(cell)
                along[cell] = along[cell] + (one - part)
                along[cell + 1] = along[cell + 1] + part
        y = (wp.float64(row) - centre_row) * scale[view] + middle
        cell = wp.clamp(int(y), 0, CELLS - 1)
        part = y - wp.float64(cell)
        for column in range(CELLS):
            cells[view, cell, column] = cells[view, cell, column] + (one - part) * along[column]
            if cell + 1 < CELLS:
                cells[view, cell + 1, column] = cells[view, cell + 1, column] + part * along[column]
        row += 1
