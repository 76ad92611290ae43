"""Heads for segmentation: class scores (B, classes, H, W), before softmax, for every pixel of the square."""
