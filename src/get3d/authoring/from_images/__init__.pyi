from .command import import_images as import_images
from .config import ImportConfig as ImportConfig
