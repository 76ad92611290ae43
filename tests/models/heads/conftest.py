import pytest
import torch

SIZE = 96


@pytest.fixture(scope="module")
def batch_of_rectangles():
    """Three pictures with bright rectangles, a class a colour, one of them far off the square's shape."""
    generator = torch.Generator().manual_seed(1)
    image = torch.randint(0, 60, (3, 3, SIZE, SIZE), dtype=torch.uint8, generator=generator)
    boxes = [[[8, 8, 40, 40], [50, 50, 90, 82]], [[30, 10, 86, 36]], [[4, 40, 44, 88], [60, 4, 84, 28]]]
    labels = [[0, 1], [2], [1, 0]]
    for scene in range(3):
        for (x0, y0, x1, y1), colour in zip(boxes[scene], labels[scene], strict=True):
            image[scene, colour, y0:y1, x0:x1] = 255
    return {
        "image": image,
        "boxes": [torch.tensor(b, dtype=torch.float32) for b in boxes],
        "box_labels": [torch.tensor(n) for n in labels],
        "box_marks": [torch.zeros(len(n), dtype=torch.uint8) for n in labels],
        "id": ["a", "b", "c"],
        "size": SIZE,
        "place": [(0, 0, SIZE, SIZE)] * 3,
        "picture_size": [(SIZE, SIZE)] * 3,
    }
