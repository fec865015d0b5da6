"""Detectors: modules that are fitted on background alone and give every event one number, higher is more anomalous.

The names below are the registry: a new detector is one file and its name here (docs/contributing.md says it all).
"""

from hepad.detectors.autoencoder import AE
from hepad.detectors.base import DETECTORS, Detector, Generating, Reconstructing, build, train
from hepad.detectors.baselines import Mixture, PCAReconstruction, PixelNorm, Variable
from hepad.detectors.combination import Combination
from hepad.detectors.contrastive import Contrastive
from hepad.detectors.dagmm import DAGMM
from hepad.detectors.deep_svdd import DeepSVDD
from hepad.detectors.density import FlowDensity
from hepad.detectors.energy_based.base import EnergyDetector
from hepad.detectors.energy_based.igebm import DRL, IGEBM
from hepad.detectors.energy_based.mpdr import MPDR
from hepad.detectors.energy_based.nae import NAE
from hepad.detectors.energy_based.wnae import WNAE
from hepad.detectors.flow_matching import FlowMatching
from hepad.detectors.gan import WGAN
from hepad.detectors.glow import Glow
from hepad.detectors.latent_mixture import LatentMixture
from hepad.detectors.masked_prediction import MaskedPrediction
from hepad.detectors.neighbours import NearestNeighbours
from hepad.detectors.outlier import Outlier
from hepad.detectors.pixelcnn import PixelCNN
from hepad.detectors.saving import load, save
from hepad.detectors.vae import ConvVAE

DETECTORS.add(AE, ConvVAE, NAE, WNAE, MPDR, IGEBM, DRL, FlowDensity, LatentMixture, Contrastive, WGAN)
DETECTORS.add(DAGMM, DeepSVDD, MaskedPrediction, FlowMatching, Glow, PixelCNN, Combination)
DETECTORS.add(Variable, Mixture, PCAReconstruction, PixelNorm, NearestNeighbours, Outlier)

__all__ = ["DETECTORS", "Detector", "EnergyDetector", "Generating", "Reconstructing", "build", "load", "save"]
__all__ += ["train", *DETECTORS]
