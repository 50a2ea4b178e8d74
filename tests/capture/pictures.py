"""Pictures with coloured corners, which show how they are turned, and a dot that shows their number."""

import numpy as np
import pillow_heif
from PIL import Image

SIZE = (64, 48)
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
pillow_heif.register_heif_opener()  # to write HEIC


def drawn(number=0, mode="RGB", size=SIZE):
    """Return a picture: red top left, green top right, blue bottom left, white bottom right, a dot further right."""
    rgb = np.full((size[1], size[0], 3), 90, np.uint8)
    rgb[:16, :16], rgb[:16, -16:], rgb[-16:, :16], rgb[-16:, -16:] = RED, GREEN, BLUE, WHITE
    rgb[20:28, 6 * number : 6 * number + 8] = (255, 255, 0)
    return Image.fromarray(rgb).convert(mode)


def write_animation(path, count=8, **keys):
    """Write a file of several pictures, 100 ms each."""
    pictures = [drawn(number) for number in range(count)]
    times = {} if path.suffix == ".tif" else {"duration": 100}
    pictures[0].save(path, save_all=True, append_images=pictures[1:], **(times | keys))
    return path


def is_drawn(image, number=0, within=6.0, mode="RGB"):
    """Whether a BGR picture is the drawn one, except for the loss of its compression (mean difference)."""
    wanted = np.asarray(drawn(number, mode).convert("RGB"))[..., ::-1]
    return image.shape == wanted.shape and np.abs(image.astype(int) - wanted).mean() < within


def read_all(source):
    """Return all pictures of a source, and close it."""
    try:
        return list(iter(source.read, None))
    finally:
        source.close()
