from .command import run as run
from .config import BenchConfig as BenchConfig
