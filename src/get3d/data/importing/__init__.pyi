from .command import import_pictures as import_pictures
from .config import ImportConfig as ImportConfig
