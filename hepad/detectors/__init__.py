"""Detectors: modules that are fitted on background alone and give every event one number, higher is more anomalous.

The import lines below are the registry: a new detector is one file, one import line and one YAML entry, and the
contract tests pick it up by themselves.
"""

from hepad.detectors.autoencoder import AE
from hepad.detectors.base import Detector, Generating, Reconstructing, build, load, save
from hepad.detectors.baselines import Mixture, PCAReconstruction, PixelNorm, Variable
from hepad.detectors.energy import EnergyDetector
from hepad.detectors.mpdr import MPDR
from hepad.detectors.nae import NAE
from hepad.detectors.scalar import DRL, IGEBM
from hepad.detectors.vae import ConvVAE
from hepad.detectors.wnae import WNAE

_ALL = (AE, ConvVAE, NAE, WNAE, MPDR, IGEBM, DRL, Variable, Mixture, PCAReconstruction, PixelNorm)
DETECTORS = {cls.__name__: cls for cls in _ALL}

__all__ = ["DETECTORS", "Detector", "EnergyDetector", "Generating", "Reconstructing", "build", "load", "save", *DETECTORS]
