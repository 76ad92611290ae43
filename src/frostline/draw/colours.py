"""The colours of every picture.

Those of Okabe and Ito (2008, Color Universal Design), which colour-blind eyes tell apart, without yellow; and greys.
"""

BLUE, ORANGE, GREEN, PINK, RED, SKY = "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9"
INK, QUIET, FAINT, PALE = "#1f2933", "#66737f", "#c3ccd4", "#e6eaee"
