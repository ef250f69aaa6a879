"""The styles of everything that is printed on a terminal. Imports nothing.

A terminal's background is unknown, so each colour has a contrast of at least 4.5 with white and with black (WCAG 2.1,
1.4.3). Only a relative luminance between 0.175 and 0.183 has both. The numbers are of the fixed part of the palette of 256
colours, 16 to 255, which looks the same everywhere; the first 16 colours are up to each terminal.
"""

GREY, GREEN, BLUE, RED = "color(243)", "color(29)", "color(63)", "color(131)"

LABEL = GREY  # what describes a value, and what is less important
VALUE = "bold"  # a value, in the colour of the text
BEST = f"bold {GREEN}"  # the best value, progress, and a run that is finished
BAD = f"bold {RED}"  # what failed, or is not finite
PAUSED = f"bold {BLUE}"  # what was stopped, and can be continued
ALL = (LABEL, VALUE, BEST, BAD, PAUSED)
