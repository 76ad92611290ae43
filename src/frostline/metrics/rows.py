"""What a test says of each scene, one row a scene: enough to compute its metrics again over any of the scenes."""

OVERLAPS = tuple(0.5 + 0.05 * k for k in range(10))  # IoUs at which COCO asks whether a prediction is right
# Name of a column -> its type as pyarrow calls it. Of lists, those of one scene that belong together are as long.
COLUMNS = {
    "id": "string",
    "loss": "double",  # of the scene alone
    "quality": "double",  # 0..1, of the scene; null where nothing could be found
    "mistake": "double",  # 0 where nothing is wrong, and the larger the worse
    # Classification and localization: names of classes, and the probability of what is predicted.
    "truth": "string",
    "predicted": "string",
    "score": "float",
    "box": "list<float>",  # x0 y0 x1 y1 in pixels of the picture
    # Detection: what was found, the surest first, and the classes of what is there.
    "boxes": "list<float>",  # x0 y0 x1 y1 in pixels of the picture, one after another
    "scores": "list<float>",
    "classes": "list<int32>",
    "right": "list<int16>",  # bit k: it is right at an IoU of 0.5 + 0.05 k
    "ignored": "list<int16>",  # bit k: it counts neither way at that IoU
    "objects": "list<int32>",
    # Segmentation: pixels of each class.
    "both": "list<int64>",  # right
    "real": "list<int64>",  # in truth
    "found": "list<int64>",  # predicted, where the truth is known
}
