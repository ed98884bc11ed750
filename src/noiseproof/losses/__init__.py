"""Robust losses, each a drop-in for `torch.nn.functional.cross_entropy`; needs torch and nothing else.

Every module of this folder is imported, so a new loss needs its own file and no line here.
"""

from importlib import import_module as _import_module
from pkgutil import iter_modules as _iter_modules

from noiseproof.losses._kernels import build_node as build_node
from noiseproof.losses.asymmetric import AEL as AEL
from noiseproof.losses.asymmetric import AGCE as AGCE
from noiseproof.losses.asymmetric import AMSE as AMSE
from noiseproof.losses.asymmetric import AUL as AUL
from noiseproof.losses.base import LOSSES as LOSSES
from noiseproof.losses.base import Loss as Loss
from noiseproof.losses.base import WeightedSum as WeightedSum
from noiseproof.losses.base import parse as parse
from noiseproof.losses.cross_entropy_and_focal import CE as CE
from noiseproof.losses.cross_entropy_and_focal import FL as FL
from noiseproof.losses.jal_anl import ANL_CE as ANL_CE
from noiseproof.losses.jal_anl import ANL_FL as ANL_FL
from noiseproof.losses.jal_anl import JAL_CE as JAL_CE
from noiseproof.losses.jal_anl import JAL_FL as JAL_FL
from noiseproof.losses.linear import linear_loss as linear_loss
from noiseproof.losses.normalized import NCE as NCE
from noiseproof.losses.normalized import NFL as NFL
from noiseproof.losses.normalized import NNCE as NNCE
from noiseproof.losses.normalized import NNFL as NNFL
from noiseproof.losses.power import GCE as GCE
from noiseproof.losses.power import MSE as MSE
from noiseproof.losses.sigmoid import SigmoidLoss as SigmoidLoss
from noiseproof.losses.softmax_variants import ECE as ECE
from noiseproof.losses.softmax_variants import EFL as EFL
from noiseproof.losses.softmax_variants import LC as LC
from noiseproof.losses.softmax_variants import LDR as LDR
from noiseproof.losses.symmetric import MAE as MAE
from noiseproof.losses.symmetric import RCE as RCE
from noiseproof.losses.symmetric import SCE as SCE
from noiseproof.losses.value_with_gradient import value_and_grad as value_and_grad

for _module in _iter_modules(__path__, prefix=f"{__name__}."):
    _import_module(_module.name)
globals().update({entry.cls.__name__: entry.cls for entry in LOSSES})
