"""Heads for segmentation: class scores (B, classes, H, W), before softmax, for every pixel of the square.

`smallest`, where a head has it, is how long the square's side is at least.
"""
