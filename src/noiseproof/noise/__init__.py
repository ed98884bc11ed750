"""Label noise: how given labels differ from clean ones, by name.

>>> from noiseproof import noise
>>> noisy = noise.corrupt([0, 1, 2, 3, 4] * 20, "pairflip(0.2)", num_classes=5, seed=1)
>>> noisy.rate, int(noisy.flipped.sum()), noisy.transition[4].tolist()     # the last class becomes the first
(0.2, 20, [0.2, 0.0, 0.0, 0.0, 0.8])
"""

from importlib import import_module as _import_module
from pkgutil import iter_modules as _iter_modules

from noiseproof.noise.base import NOISES as NOISES
from noiseproof.noise.base import Noise as Noise
from noiseproof.noise.base import NoisyLabels as NoisyLabels
from noiseproof.noise.base import corrupt as corrupt
from noiseproof.noise.base import fingerprint as fingerprint
from noiseproof.noise.base import parse as parse
from noiseproof.noise.class_conditional import Asymmetric as Asymmetric
from noiseproof.noise.class_conditional import Clean as Clean
from noiseproof.noise.class_conditional import Pairflip as Pairflip
from noiseproof.noise.class_conditional import Symmetric as Symmetric
from noiseproof.noise.human import Human as Human
from noiseproof.noise.instance import Instance as Instance
from noiseproof.noise.matrix_file import Transition as Transition
from noiseproof.noise.matrix_file import matrix_content as matrix_content

for _module in _iter_modules(__path__):  # a new noise is one new file
    _import_module(f"{__name__}.{_module.name}")
