"""Heads for detection. Each brings its own losses and says what it found, before overlapping boxes are sorted out.

`losses(outputs, boxes, labels)` takes, for each scene, its true boxes (n, 4), x0 y0 x1 y1 in pixels, and their classes
(n,), and gives named losses, whose sum is minimised. `found(outputs)` gives, for each scene, a dict of boxes (n, 4) in
pixels, scores (n,) in 0..1, best first, and labels (n,); the task drops those of low score and those that overlap.

A head with `sees_pictures` takes the backbone and the pictures in place of feature maps: see `windows`.
"""
