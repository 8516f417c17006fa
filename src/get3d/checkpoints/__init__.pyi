from . import published as published
from .model import load as load
