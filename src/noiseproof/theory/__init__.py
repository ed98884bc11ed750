"""Conditions under which a loss tolerates label noise, as functions, for any loss that has `per_class(logits)`.

    is_symmetric, is_active, is_passive, asymmetry_ratio    what kind of loss it is
    is_asymmetric(loss, weights)                            does the noise leave the minimiser where it belongs
    variation_ratio                                         how unevenly it pulls implausible and certain labels
    amse_condition, smallest_a                              the same for AMSE, in closed form
    tolerance(loss, transition)                             class by class of a transition matrix
    excess_risk_bound                                       how wrong a classifier can be, from its noisy risk

Weights are what a sample of one true class is given: w_k = P(given label k | sample). Every answer is a small
frozen object that is true or false as its verdict and says why when printed. The proofs are in docs/theory.md.
"""

from noiseproof.theory.amse import Bound as Bound
from noiseproof.theory.amse import Condition as Condition
from noiseproof.theory.amse import SmallestA as SmallestA
from noiseproof.theory.amse import amse_condition as amse_condition
from noiseproof.theory.amse import excess_risk_bound as excess_risk_bound
from noiseproof.theory.amse import smallest_a as smallest_a
from noiseproof.theory.asymmetry import Asymmetry as Asymmetry
from noiseproof.theory.asymmetry import is_asymmetric as is_asymmetric
from noiseproof.theory.kinds import Activity as Activity
from noiseproof.theory.kinds import Ratio as Ratio
from noiseproof.theory.kinds import Symmetry as Symmetry
from noiseproof.theory.kinds import asymmetry_ratio as asymmetry_ratio
from noiseproof.theory.kinds import is_active as is_active
from noiseproof.theory.kinds import is_passive as is_passive
from noiseproof.theory.kinds import is_symmetric as is_symmetric
from noiseproof.theory.tolerance import ClassTolerance as ClassTolerance
from noiseproof.theory.tolerance import Tolerance as Tolerance
from noiseproof.theory.tolerance import tolerance as tolerance
from noiseproof.theory.variation import variation_ratio as variation_ratio
